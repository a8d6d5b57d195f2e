"""What every loss owes, for each task it is offered for; cases are found in the settings themselves."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fine_tuner.config.io import FIELDS, overrides_between, parse, replace, to_tree
from fine_tuner.config.knobs import Field, tag_of
from fine_tuner.config.sections.losses import ALL_TASKS, VARIANTS, ClassWeighted, CustomLoss
from fine_tuner.config.sections.second_loss import SECOND_VARIANTS, without_weight
from fine_tuner.config.settings import Settings
from fine_tuner.config.tasks import TargetKind, default_loss, target_kind
from fine_tuner.losses.build import LOSSES, build_loss
from fine_tuner.losses.curves import loss_curve
from fine_tuner.losses.parts import is_exact, over_split, part_of, shares_of
from tests.losses.formulas import FORMULAS

OFFERED = [v for v in VARIANTS if v is not CustomLoss]
CASES = [pytest.param(v, task, id=f"{tag_of(v)}-{task}") for v in OFFERED for task in v.tasks]
MASKED = [pytest.param(v, id=tag_of(v)) for v in OFFERED if "segmentation" in v.tasks]
KNOBS = [
    pytest.param(v, task, spec, id=f"{spec.path}-{spec.variant}-{task}")
    for v in OFFERED
    for task in v.tasks
    for spec in FIELDS
    if spec.path.startswith("loss.") and spec.variant == tag_of(v) and spec.knob.applies({"task": task})
]
K = 4  # of which class 3 is never a target, so that absent classes are always met
COUNTS = (50, 30, 20, 0)


def make_batch(task: str, *, dtype: torch.dtype = torch.float32, ignored: bool = True) -> tuple[Tensor, Tensor]:
    """Logits and targets of four images with a class that is absent; masks with pixels to ignore."""
    rng = torch.Generator().manual_seed(0)
    if target_kind(task) is TargetKind.MASK:
        targets = torch.randint(0, K - 1, (4, 5, 6), generator=rng)
        targets[0] = targets[0].clamp(max=1)
        if ignored:
            targets[:, 0, :3] = 255
        return torch.randn(4, K, 5, 6, generator=rng, dtype=torch.float64).to(dtype), targets
    logits = 2 * torch.randn(8, K, generator=rng, dtype=torch.float64).to(dtype)
    if target_kind(task) is TargetKind.CLASS:
        return logits, torch.tensor([0, 1, 2, 0, 0, 1, 0, 2])
    if target_kind(task) is TargetKind.LABELS:
        labels = (torch.rand(8, K, generator=rng) < 0.4).to(torch.float32)
        labels[:, 3] = 0
        return logits, labels
    return logits, torch.randn(8, K, generator=rng)


def make_loss(variant: type, task: str, **fields: Any) -> nn.Module:
    return build_loss(variant(**fields), task=task, num_outputs=K, class_counts=COUNTS)


def another_value(spec: Field) -> Any:
    """A valid value of a setting that is not its default."""
    if spec.choices:
        return next(c for c in spec.choices if c != spec.default)
    if spec.type is bool:
        return not spec.default
    return 0.3 if spec.default is None else spec.default + 0.35 if spec.default < 0.5 else spec.default * 0.6


# ------------------------------------------------------------------- the list
def test_the_cases_are_all_there() -> None:
    assert len(VARIANTS) >= 13
    assert len(CASES) >= 27
    assert len(KNOBS) >= 50
    assert {tag_of(v) for v in OFFERED} == set(FORMULAS)


@pytest.mark.parametrize("variant", VARIANTS, ids=tag_of)
def test_says_what_it_is(variant: type) -> None:
    assert variant in LOSSES
    assert variant.tasks
    assert set(variant.tasks) <= set(ALL_TASKS)
    assert variant.formula
    assert variant.source
    assert variant.formula.isascii()
    assert (variant.__doc__ or "").splitlines()[0].endswith(".")


@pytest.mark.parametrize("task", ALL_TASKS)
def test_each_task_has_its_default_loss(task: str) -> None:
    settings = parse({"task": task})
    assert settings.loss.name == default_loss(task)
    assert task in settings.loss.tasks


# ------------------------------------------------------------- formula, gradient
@pytest.mark.parametrize(("variant", "task"), CASES)
def test_equals_its_formula_in_float64_numpy(variant: type, task: str) -> None:
    logits, targets = make_batch(task)
    expected = FORMULAS[tag_of(variant)](variant(), task, logits.double().numpy(), targets.numpy().astype(np.float64))
    value = make_loss(variant, task)(logits, targets)
    assert value.dtype == torch.float32
    assert value.shape == ()
    assert value.item() == pytest.approx(expected, rel=2e-6)  # float32 has 7 digits


@pytest.mark.parametrize(("variant", "task", "spec"), KNOBS)
def test_every_parameter_has_the_effect_of_the_formula(variant: type, task: str, spec: Field) -> None:
    name, changed = spec.path.removeprefix("loss."), another_value(spec)
    logits, targets = make_batch(task)
    settings = variant(**{name: changed})
    weights = None
    if isinstance(settings, ClassWeighted) and settings.class_weights == "balanced":
        weights = np.array([100 / (3 * n) if n else 1.0 for n in COUNTS])
    arrays = logits.double().numpy(), targets.numpy().astype(np.float64)
    expected = FORMULAS[tag_of(variant)](settings, task, *arrays, weights)
    value = make_loss(variant, task, **{name: changed})(logits, targets).item()
    assert value == pytest.approx(expected, rel=2e-6)
    assert value != pytest.approx(make_loss(variant, task)(logits, targets).item(), rel=1e-4)


@pytest.mark.parametrize(("variant", "task"), CASES)
def test_gradient_is_that_of_the_value(variant: type, task: str) -> None:
    logits, targets = make_batch(task, dtype=torch.float64)
    loss_fn, targets = make_loss(variant, task), targets[:3]
    assert torch.autograd.gradcheck(lambda z: loss_fn(z, targets), logits[:3].requires_grad_())


@pytest.mark.parametrize(("variant", "task"), CASES)
def test_order_of_the_batch_changes_nothing(variant: type, task: str) -> None:
    logits, targets = make_batch(task)
    order = torch.randperm(len(logits), generator=torch.Generator().manual_seed(1))
    loss_fn = make_loss(variant, task)
    torch.testing.assert_close(loss_fn(logits[order], targets[order]), loss_fn(logits, targets), rtol=1e-6, atol=0)


@pytest.mark.parametrize(("variant", "task"), CASES)
def test_leaves_its_arguments_alone(variant: type, task: str) -> None:
    logits, targets = make_batch(task)
    before = logits.clone(), targets.clone()
    make_loss(variant, task)(logits.requires_grad_(), targets).backward()
    assert torch.equal(logits, before[0])
    assert torch.equal(targets, before[1])


# --------------------------------------------------------------- half precision
@pytest.mark.parametrize(("variant", "task"), CASES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["fp16", "bf16"])
def test_half_precision_logits_and_autocast_give_the_float32_value(
    variant: type, task: str, dtype: torch.dtype
) -> None:
    logits, targets = make_batch(task)
    loss_fn, rounded = make_loss(variant, task), logits.to(dtype)
    with torch.autocast("cpu", dtype=dtype):
        value = loss_fn(rounded, targets)
    assert value.dtype == torch.float32
    assert torch.equal(value, loss_fn(rounded.float(), targets))


@pytest.mark.parametrize("variant", MASKED)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["fp16", "bf16"])
def test_is_finite_in_half_precision_on_masks_of_512(variant: type, dtype: torch.dtype) -> None:
    rng = torch.Generator().manual_seed(0)
    logits = (20 * torch.randn(1, 2, 512, 512, generator=rng)).to(dtype).requires_grad_()
    targets = torch.randint(0, 2, (1, 512, 512), generator=rng)
    value = build_loss(variant(), task="segmentation", num_outputs=2)(logits, targets)
    value.backward()
    assert math.isfinite(value.item())
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert logits.grad.any()


@pytest.mark.parametrize(("variant", "task"), CASES)
@pytest.mark.parametrize("scale", [100.0, -100.0, 0.0], ids=["right", "wrong", "zero"])
def test_value_and_gradient_are_finite_at_the_extremes(variant: type, task: str, scale: float) -> None:
    _, targets = make_batch(task, ignored=False)
    if target_kind(task) is TargetKind.NUMBERS:
        logits = targets + min(scale, 0)
    elif target_kind(task) is TargetKind.LABELS:
        logits = scale * (2 * targets - 1)
    else:
        logits = scale * (2 * nn.functional.one_hot(targets, K).movedim(-1, 1) - 1).float()
    logits = logits.clone().requires_grad_()
    value = make_loss(variant, task)(logits, targets)
    value.backward()
    assert math.isfinite(value.item())
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    if scale > 0:
        assert value.item() == pytest.approx(0, abs=1e-6)


# ------------------------------------------------------------ nothing to count
@pytest.mark.parametrize(("variant", "task"), CASES)
def test_an_empty_batch_gives_zero_and_a_zero_gradient(variant: type, task: str) -> None:
    logits, targets = make_batch(task)
    logits = logits[:0].requires_grad_()
    value = make_loss(variant, task)(logits, targets[:0])
    value.backward()
    assert value.item() == 0
    assert logits.grad is not None
    assert logits.grad.shape == logits.shape


@pytest.mark.parametrize("variant", MASKED)
@pytest.mark.parametrize("include_absent", [False, True])
def test_masks_to_ignore_entirely_give_zero_and_a_zero_gradient(variant: type, include_absent: bool) -> None:
    fields = {"include_absent": include_absent} if hasattr(variant(), "include_absent") else {}
    logits, targets = make_batch("segmentation")
    logits.requires_grad_()
    value = make_loss(variant, "segmentation", **fields)(logits, torch.full_like(targets, 255))
    value.backward()
    assert value.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


@pytest.mark.parametrize("variant", MASKED)
def test_ignored_pixels_change_nothing(variant: type) -> None:
    logits, targets = make_batch("segmentation")
    loss_fn, noise = make_loss(variant, "segmentation"), 50 * torch.randn_like(logits)
    elsewhere = torch.where((targets == 255).unsqueeze(1), noise, logits)
    assert torch.equal(loss_fn(logits, targets), loss_fn(elsewhere, targets))
    logits.requires_grad_()
    loss_fn(logits, targets).backward()
    assert logits.grad is not None
    assert not logits.grad.movedim(1, -1)[targets == 255].any()


def test_class_255_of_many_counts_like_any_other() -> None:
    logits = torch.zeros(2, 300)
    loss_fn = build_loss(parse({"task": "classification"}).loss, task="classification", num_outputs=300)
    assert loss_fn(logits, torch.tensor([255, 1])).item() == pytest.approx(math.log(300))
    assert loss_fn(logits, torch.tensor([255, 255])).item() == pytest.approx(math.log(300))


# ------------------------------------------------------- minimised by the right answer
def overfit_batch(task: str) -> tuple[nn.Module, Tensor, Tensor]:
    """A small network and a batch that it can learn by heart."""
    rng = torch.Generator().manual_seed(0)
    images = torch.randn(12, 3, 6, 6, generator=rng)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if target_kind(task) is TargetKind.MASK:  # the class of a pixel is its brightest channel
            network = nn.Sequential(nn.Conv2d(3, 16, 1), nn.ReLU(), nn.Conv2d(16, 3, 1))
            return network, images, images.argmax(1)
        network = nn.Sequential(nn.Flatten(), nn.Linear(108, 32), nn.ReLU(), nn.Linear(32, 3))
    if target_kind(task) is TargetKind.CLASS:
        return network, images, torch.arange(12) % 3
    if target_kind(task) is TargetKind.LABELS:
        return network, images, (torch.rand(12, 3, generator=rng) < 0.5).float()
    return network, images, torch.randn(12, 3, generator=rng)


@pytest.mark.parametrize(("variant", "task"), CASES)
def test_overfits_one_batch(variant: type, task: str) -> None:
    network, images, targets = overfit_batch(task)
    loss_fn = build_loss(variant(), task=task, num_outputs=3)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.03)
    first = loss_fn(network(images), targets).item()
    for _ in range(200):
        loss = loss_fn(network(images), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    output = network(images).detach()
    if target_kind(task) is TargetKind.NUMBERS:
        assert (output - targets).abs().mean() < 0.05
    else:
        predictions = (output > 0).float() if target_kind(task) is TargetKind.LABELS else output.argmax(1)
        assert (predictions == targets).float().mean() > 0.97
    assert loss.item() < 0.25 * first


# ------------------------------------------------------------------- parts, the sum, curves
@pytest.mark.parametrize(("variant", "task"), CASES)
def test_what_is_parted_has_the_loss_of_the_whole(variant: type, task: str) -> None:
    """A split by its batches, and a step by its micro-batches; see ``losses/parts.py``."""
    is_by_image = target_kind(task) is TargetKind.MASK and hasattr(variant(), "per")  # by batch Lovasz has no such form
    loss_fn = make_loss(variant, task, **({"per": "image"} if is_by_image else {}))
    logits, targets = make_batch(task)
    parts = list(zip(logits.split(3), targets.split(3), strict=True))
    whole, split = loss_fn(logits, targets).item(), over_split(loss_fn)
    for part in parts:
        split.add(*part)
    assert float(split.value()) == pytest.approx(whole, rel=1e-6)
    if is_exact(loss_fn):
        shares = shares_of(loss_fn, [part for _, part in parts])
        added = sum(part_of(loss_fn, share, *part) for share, part in zip(shares, parts, strict=True))
        assert float(added) == pytest.approx(whole, rel=1e-6)


@pytest.mark.parametrize(("variant", "task"), CASES)
def test_a_weighted_sum_is_the_sum(variant: type, task: str) -> None:
    logits, targets = make_batch(task)
    second = SECOND_VARIANTS[tag_of(variant)](weight=0.4)
    first = next(v for v in OFFERED if tag_of(v) == default_loss(task))
    total = build_loss(first(), task=task, num_outputs=K, second=second)(logits, targets)
    parts = make_loss(first, task)(logits, targets) + 0.4 * make_loss(variant, task)(logits, targets)
    torch.testing.assert_close(total, parts, rtol=1e-6, atol=0)


@pytest.mark.parametrize("variant", VARIANTS, ids=tag_of)
def test_as_a_second_loss_it_survives_tree_and_command_line(variant: type) -> None:
    task = variant.tasks[0]
    base = parse({"task": task})
    settings = replace(base, f"second_loss.name={tag_of(variant)}", "second_loss.weight=0.25")
    assert parse(to_tree(settings)) == settings
    assert overrides_between(base, settings) == [f"second_loss.name={tag_of(variant)}", "second_loss.weight=0.25"]
    assert without_weight(settings.second_loss) == variant()
    assert without_weight(Settings().second_loss) is None


@pytest.mark.parametrize(("variant", "task"), CASES)
def test_its_curve_falls_toward_the_right_answer(variant: type, task: str) -> None:
    curve = loss_curve(variant(), task)
    assert curve["panels"][0]["key"] == ("error" if target_kind(task) is TargetKind.NUMBERS else "probability")
    for panel in curve["panels"]:
        assert len(panel["x"]) == len(panel["value"]) == len(panel["gradient"]) >= 9
        values = panel["value"]
        if panel["key"] == "error":
            middle = len(values) // 2
            assert panel["x"][middle] == values[middle] == panel["gradient"][middle] == 0
            assert values[::-1] == pytest.approx(values)
            values = values[: middle + 1]
        assert all(a > b for a, b in pairwise(values))
        assert all(g <= 0 for g in panel["gradient"][: len(values)])
