"""Half precision: what runs in it, what stays float32, and the order of unscale, clip and step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from fine_tuner.precision import Precision, choose_precision

from .conftest import assert_same, make_network

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("dtype", "expected"), [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_layers_run_in_the_chosen_type_and_weights_stay_float32(dtype: str, expected: torch.dtype) -> None:
    layer = nn.Linear(4, 4)
    precision = Precision(dtype, CPU)
    with precision.autocast():
        assert layer(torch.randn(2, 4)).dtype == expected
    assert layer.weight.dtype == torch.float32


def test_autocast_is_a_decorator_of_forward_too() -> None:
    layer = nn.Linear(4, 4)
    forward = Precision("bf16", CPU).autocast()(layer.forward)
    assert forward(torch.randn(2, 4)).dtype == torch.bfloat16


def test_clipping_sees_unscaled_gradients() -> None:
    weight = nn.Parameter(torch.tensor([0.0, 0.0]))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    precision = Precision("fp16", CPU)
    precision.backward((weight * torch.tensor([3.0, 4.0])).sum())  # gradient (3, 4), norm 5
    grad_norm = precision.step(optimizer, clip_norm=1.0)
    assert grad_norm.item() == pytest.approx(5.0)
    torch.testing.assert_close(weight.detach(), torch.tensor([-0.6, -0.8]))


def test_an_overflow_in_fp16_skips_the_step_halves_the_scale_and_recovers() -> None:
    weight = nn.Parameter(torch.tensor([1.0]))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    precision = Precision("fp16", CPU)
    before = precision.scale
    precision.backward(weight.sum() * float("inf"))
    precision.step(optimizer)
    assert weight.item() == 1.0
    assert precision.scale == before / 2
    precision.backward(weight.sum() * 0.25)
    precision.step(optimizer)
    assert weight.item() == 0.75


def test_the_scale_survives_a_checkpoint() -> None:
    precision, other = Precision("fp16", CPU), Precision("fp16", CPU)
    weight = nn.Parameter(torch.tensor([1.0]))
    precision.backward(weight.sum() * float("inf"))
    precision.step(torch.optim.SGD([weight], lr=1.0))
    other.load_state_dict(precision.state_dict())
    assert other.scale == precision.scale != Precision("fp16", CPU).scale


def test_nothing_is_scaled_outside_fp16() -> None:
    assert Precision("bf16", CPU).scale is None
    assert Precision("fp32", CPU).state_dict() == {}


def test_bf16_trains_to_nearly_what_fp32_does(make_trainer: Any) -> None:
    trained = {}
    for dtype in ("fp32", "bf16"):
        trainer = make_trainer(model=make_network(), dtype=dtype, optimizer=lambda g: torch.optim.SGD(g, lr=0.01))
        trainer.train()
        trained[dtype] = trainer.learner.model
    assert_same(trained["fp32"], trained["bf16"], rtol=0.02, atol=0.02, because="bf16 has 8 bits of mantissa")


def test_a_chosen_type_is_taken_as_it_is_and_auto_says_why() -> None:
    assert choose_precision("fp16", CPU).dtype == "fp16"
    chosen = choose_precision("auto", CPU)
    assert chosen.dtype in ("bf16", "fp32")
    assert "processor" in chosen.reason
