"""Every optimizer on offer is torch's class of the same name, with the same parameters and the same steps."""

from __future__ import annotations

import dataclasses
import inspect
import io

import pytest
import torch
from torch import nn

from fine_tuner.base.errors import ConfigError
from fine_tuner.config.io import CHOICES, parse
from fine_tuner.config.sections.optimizers import OptimizerBase, check_optimizer
from fine_tuner.memory.forecast import optimizer_states
from fine_tuner.optim import build_optimizer, can_fuse, torch_arguments

VARIANTS = CHOICES["optim"].variants
EVERY = pytest.mark.parametrize("name", VARIANTS)
SHARED = {f.name for f in dataclasses.fields(OptimizerBase)}
HOW_NOT_WHAT = {"self", "params", "maximize", "foreach", "capturable", "differentiable", "fused"}
LEFT_OUT = {("Adam", "decoupled_weight_decay"), ("Adafactor", "eps")}  # that Adam is AdamW; that eps may hold a None


def make_groups(dtype: torch.dtype = torch.float32) -> list[dict]:
    torch.manual_seed(0)
    head = [nn.Parameter(torch.randn(4, 3, dtype=dtype)), nn.Parameter(torch.randn(4, dtype=dtype))]
    backbone = [nn.Parameter(torch.randn(5, 2, 3, 3, dtype=dtype))]
    return [
        {"params": head, "lr": 1e-2, "weight_decay": 0.0, "name": "head"},
        {"params": backbone, "lr": 1e-3, "weight_decay": 0.1, "name": "backbone"},
    ]


def take_steps(optimizer: torch.optim.Optimizer, steps: int, *, seed: int = 1) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for _ in range(steps):
        for p in parameters:
            p.grad = torch.randn(p.shape, generator=generator).to(p.dtype)
        optimizer.step()
    return [p.detach().clone() for p in parameters]


def test_at_least_ten_optimizers_are_offered() -> None:
    assert len(VARIANTS) >= 10


@EVERY
def test_its_fields_are_the_torch_class_s_parameters(name: str) -> None:
    torch_names = set(inspect.signature(getattr(torch.optim, name).__init__).parameters)
    expected = {p for p in torch_names if p not in HOW_NOT_WHAT and (name, p) not in LEFT_OUT}
    assert set(torch_arguments(VARIANTS[name]())) == expected


@EVERY
def test_its_steps_are_the_torch_class_s(name: str) -> None:
    settings = VARIANTS[name]()
    ours = take_steps(build_optimizer(settings, make_groups()), 5)
    plain = take_steps(getattr(torch.optim, name)(make_groups(), **torch_arguments(settings)), 5)
    if can_fuse(name, ours):
        torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-6, msg="one fused kernel rounds in another order")
    else:
        assert all(torch.equal(a, b) for a, b in zip(ours, plain, strict=True))


@EVERY
def test_groups_keep_their_rate_decay_and_name(name: str) -> None:
    groups = build_optimizer(VARIANTS[name](), make_groups()).param_groups
    assert [(g["lr"], g["weight_decay"], g["name"]) for g in groups] == [(1e-2, 0.0, "head"), (1e-3, 0.1, "backbone")]


@EVERY
def test_a_group_without_rate_and_decay_takes_the_settings(name: str) -> None:
    settings = VARIANTS[name](lr=0.02, weight_decay=0.03)
    group = build_optimizer(settings, [{"params": [nn.Parameter(torch.zeros(2))], "name": "head"}]).param_groups[0]
    assert (group["lr"], group["weight_decay"]) == (0.02, 0.03)


@EVERY
def test_resumed_equals_uninterrupted(name: str) -> None:
    whole = build_optimizer(VARIANTS[name](), make_groups())
    take_steps(whole, 3)
    parameters = [p for g in whole.param_groups for p in g["params"]]
    middle = [p.detach().clone() for p in parameters]
    file = io.BytesIO()
    torch.save(whole.state_dict(), file)
    file.seek(0)
    resumed = build_optimizer(VARIANTS[name](), make_groups())
    with torch.no_grad():
        for p, saved in zip((p for g in resumed.param_groups for p in g["params"]), middle, strict=True):
            p.copy_(saved)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert all(
        torch.equal(a, b) for a, b in zip(take_steps(whole, 3, seed=2), take_steps(resumed, 3, seed=2), strict=True)
    )


@EVERY
def test_it_lowers_a_quadratic(name: str) -> None:
    p = nn.Parameter(torch.full((8,), 3.0))
    optimizer = build_optimizer(VARIANTS[name](lr=0.05 if name != "Adadelta" else 10.0), [{"params": [p]}])
    before = p.square().sum().item()
    for _ in range(200):
        optimizer.zero_grad()
        p.square().sum().backward()
        optimizer.step()
    assert p.square().sum().item() < 0.6 * before


@EVERY
def test_has_momentum_says_whether_a_schedule_can_cycle_it(name: str) -> None:
    defaults = build_optimizer(VARIANTS[name](), make_groups()).defaults
    assert VARIANTS[name].has_momentum == ("momentum" in defaults or "betas" in defaults)


@EVERY
def test_settings_groups_are_not_changed_by_building(name: str) -> None:
    groups = make_groups()
    before = [{k: v for k, v in g.items() if k != "params"} for g in groups]
    build_optimizer(VARIANTS[name](), groups)
    assert [{k: v for k, v in g.items() if k != "params"} for g in groups] == before


@pytest.mark.parametrize("name", ["AdamW", "Adam", "SGD", "Adagrad"])
def test_one_fused_kernel_is_used_where_torch_has_one(name: str) -> None:
    assert build_optimizer(VARIANTS[name](), make_groups()).defaults["fused"] is True


def test_parameters_that_no_kernel_takes_are_not_fused() -> None:
    assert not can_fuse("AdamW", [nn.Parameter(torch.zeros(2, device="meta"))])
    assert not can_fuse("RMSprop", [nn.Parameter(torch.zeros(2))])


@pytest.mark.parametrize("change", [{"momentum": 0.0}, {"dampening": 0.5}])
def test_nesterov_without_plain_momentum_is_explained_at_its_field(change: dict) -> None:
    settings = parse({"optim": {"name": "SGD", "nesterov": True, **change}}).optim
    with pytest.raises(ConfigError, match=r"needs momentum > 0 and dampening 0") as caught:
        check_optimizer(settings)
    assert set(caught.value.fields) == {"optim.nesterov"}
    with pytest.raises(ConfigError):
        build_optimizer(settings, make_groups())


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("AdamW", "betas", [0.9, 1.0]),
        ("AdamW", "betas", [-0.1, 0.9]),
        ("AdamW", "betas", [0.9]),
        ("SGD", "momentum", 1.0),
        ("RMSprop", "alpha", 1.5),
        ("Adagrad", "eps", 0),
        ("Adadelta", "rho", -1),
        ("Adafactor", "d", 0.5),
        ("Adam", "lr", 0),
        ("NAdam", "lr", "abc"),
    ],
)
def test_a_bad_parameter_is_refused_at_its_field(name: str, field: str, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        parse({"optim": {"name": name, field: value}})
    assert set(caught.value.fields) == {f"optim.{field}"}


def test_nothing_to_train_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"no parameter to train"):
        build_optimizer(VARIANTS["SGD"](), [{"params": [], "name": "head"}])


@EVERY
def test_num_states_is_the_number_of_tensors_of_the_parameter_s_shape_that_torch_keeps(name: str) -> None:
    weight = nn.Parameter(torch.ones(4, 3))
    settings = VARIANTS[name](lr=0.01)
    optimizer = build_optimizer(settings, [{"params": [weight]}])
    weight.sum().backward()
    optimizer.step()
    kept = [
        value for value in optimizer.state[weight].values() if torch.is_tensor(value) and value.shape == weight.shape
    ]
    assert len(kept) == optimizer_states(settings)
