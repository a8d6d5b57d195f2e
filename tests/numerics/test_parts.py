"""Parts add up: micro-batches to the large batch, batches of a validation to the whole split, for every loss."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fine_tuner.config.sections import losses as variants
from fine_tuner.config.sections.losses import LossBase
from fine_tuner.data.loading.mixing import MixedTargets
from fine_tuner.losses.build import build_loss
from fine_tuner.losses.parts import is_exact, over_split, part_of, shares_of
from fine_tuner.tasks.mixed import MixedLoss
from fine_tuner.tasks.standardise import StandardisedLoss

CLASSES = 4
VOID = 255
MASKS = [
    variants.CrossEntropyLoss(class_weights="balanced", label_smoothing=0.1),
    variants.CrossEntropyLoss(),
    variants.FocalLoss(class_weights="balanced"),
    variants.MSELoss(),
    variants.DiceLoss(per="image"),
    variants.DiceLoss(per="image", include_absent=True),
    variants.TverskyLoss(per="image", include_background=True),
    variants.JaccardLoss(per="image"),
    variants.LovaszLoss(per="image"),
    variants.DiceCrossEntropyLoss(per="image", class_weights="balanced"),
]
WHOLE_BATCH = [
    variants.DiceLoss(),
    variants.DiceLoss(denominator="squared", include_absent=True),
    variants.TverskyLoss(smooth=1.0, include_absent=True),
    variants.JaccardLoss(include_background=True),
    variants.DiceCrossEntropyLoss(class_weights="balanced"),
]
LABELS = [
    variants.BinaryCrossEntropyLoss(positive_weight=3.0),
    variants.FocalLoss(alpha=0.25),
    variants.MSELoss(),
]
NUMBERS = [variants.MSELoss(), variants.L1Loss(), variants.SmoothL1Loss(), variants.HuberLoss()]
few = settings(max_examples=15, deadline=None)
splits = st.lists(st.integers(1, 3), min_size=2, max_size=4)


def _loss(variant: LossBase, task: str) -> torch.nn.Module:
    return build_loss(variant, task=task, num_outputs=CLASSES, class_counts=(900, 90, 9, 1))


def _masks(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Logits and masks in which images differ in void, classes that they have, and how much of them."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(count, CLASSES, 5, 6, generator=generator)
    targets = torch.randint(0, CLASSES, (count, 5, 6), generator=generator)
    for image in targets:
        image[torch.rand(5, 6, generator=generator) < torch.rand((), generator=generator)] = VOID
        image[image == int(torch.randint(0, CLASSES, (), generator=generator))] = 0
    return logits, targets


def _gradient(loss: Tensor, logits: Tensor) -> Tensor:
    return torch.autograd.grad(loss, logits)[0]


def _assert_parts_add_up(loss_fn: torch.nn.Module, logits: Tensor, targets: Tensor, sizes: list[int]) -> None:
    logits.requires_grad_()
    whole = loss_fn(logits, targets)
    parts = list(zip(logits.split(sizes), targets.split(sizes), strict=True))
    shares = shares_of(loss_fn, [part for _, part in parts])
    added = sum(part_of(loss_fn, share, *part) for share, part in zip(shares, parts, strict=True))
    because = "float32 sums in another order"
    torch.testing.assert_close(added, whole, rtol=1e-5, atol=1e-6, msg=lambda m: f"{because}: {m}")
    expected, actual = _gradient(whole, logits), _gradient(added, logits)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-7, msg=lambda m: f"{because}: {m}")


@pytest.mark.parametrize("variant", MASKS, ids=repr)
@few
@given(sizes=splits, seed=st.integers(0, 999))
def test_parts_of_masks_add_up_to_the_large_batch(variant: LossBase, sizes: list[int], seed: int) -> None:
    loss_fn = _loss(variant, "segmentation")
    assert is_exact(loss_fn)
    _assert_parts_add_up(loss_fn, *_masks(sum(sizes), seed), sizes)


@pytest.mark.parametrize("variant", LABELS, ids=repr)
@few
@given(sizes=splits, seed=st.integers(0, 999))
def test_parts_of_labels_add_up_to_the_large_batch(variant: LossBase, sizes: list[int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(sum(sizes), CLASSES, generator=generator)
    _assert_parts_add_up(_loss(variant, "multilabel"), logits, (logits + logits.flip(0) > 0.5).float(), sizes)


@pytest.mark.parametrize("variant", NUMBERS, ids=repr)
@few
@given(sizes=splits, seed=st.integers(0, 999), offset=st.floats(-1e4, 1e4), unit=st.floats(1e-3, 1e3))
def test_parts_of_numbers_add_up_to_the_large_batch(
    variant: LossBase, sizes: list[int], seed: int, offset: float, unit: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    targets = offset + unit * torch.randn(sum(sizes), CLASSES, generator=generator)
    outputs = targets + unit * torch.randn(sum(sizes), CLASSES, generator=generator)
    loss_fn = StandardisedLoss(_loss(variant, "regression"), [offset] * CLASSES, [unit] * CLASSES)
    _assert_parts_add_up(loss_fn, outputs, targets, sizes)


@few
@given(sizes=splits, seed=st.integers(0, 999), lam=st.floats(0, 1))
def test_parts_of_a_mixed_batch_add_up_to_it(sizes: list[int], seed: int, lam: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(sum(sizes), CLASSES, generator=generator, requires_grad=True)
    first, second = torch.randint(0, CLASSES, (2, sum(sizes)), generator=generator)
    loss_fn = MixedLoss(_loss(MASKS[0], "classification"))
    targets = MixedTargets(first, second, lam)
    ends = [sum(sizes[:n]) for n in range(len(sizes) + 1)]
    slices = [slice(*pair) for pair in pairwise(ends)]
    shares = shares_of(loss_fn, [targets[s] for s in slices])
    added = sum(part_of(loss_fn, n, logits[s], targets[s]) for n, s in zip(shares, slices, strict=True))
    torch.testing.assert_close(added, loss_fn(logits, targets), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("variant", MASKS + WHOLE_BATCH, ids=repr)
@few
@given(sizes=splits, seed=st.integers(0, 999))
def test_the_loss_of_a_split_is_that_of_one_batch(variant: LossBase, sizes: list[int], seed: int) -> None:
    loss_fn, (logits, targets) = _loss(variant, "segmentation"), _masks(sum(sizes), seed)
    split = over_split(loss_fn)
    for part in zip(logits.split(sizes), targets.split(sizes), strict=True):
        split.add(*part)
    assert float(split.value()) == pytest.approx(loss_fn(logits, targets).item(), rel=1e-5, abs=1e-6)


@few
@given(sizes=splits, seed=st.integers(0, 999))
def test_lovasz_of_a_split_is_taken_image_by_image(sizes: list[int], seed: int) -> None:
    logits, targets = _masks(sum(sizes), seed)
    split = over_split(_loss(variants.LovaszLoss(), "segmentation"))
    for part in zip(logits.split(sizes), targets.split(sizes), strict=True):
        split.add(*part)
    expected = _loss(variants.LovaszLoss(per="image"), "segmentation")(logits, targets)
    assert float(split.value()) == pytest.approx(expected.item(), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("variant", [*WHOLE_BATCH, variants.LovaszLoss()], ids=repr)
def test_a_loss_of_whole_batches_says_that_parts_change_it(variant: LossBase) -> None:
    assert not is_exact(_loss(variant, "segmentation"))


@pytest.mark.parametrize(
    "variant", [variants.DiceLoss, variants.TverskyLoss, variants.JaccardLoss], ids=lambda v: v.name
)
@pytest.mark.parametrize("gap", [0.0, 20.0, 80.0, 88.0, 95.0, 103.0, 200.0])
def test_an_absent_class_is_penalised_and_its_gradient_finite(variant: type, gap: float) -> None:
    """Class 2 is nowhere; its logits are so much lower. Its probability, where it is one, is pushed down."""
    logits = torch.zeros(1, 3, 2, 2)
    logits[:, 2] = -gap
    logits.requires_grad_()
    targets = torch.tensor([[[0, 1], [1, 0]]])
    with_absent = build_loss(variant(include_absent=True), task="segmentation", num_outputs=3)
    without = build_loss(variant(), task="segmentation", num_outputs=3)
    gradient = _gradient(with_absent(logits, targets), logits)
    assert gradient.isfinite().all()
    if gap <= 20:
        counted = 2  # regions: classes 1 and 2 beside 1 alone
        pushed = counted * gradient[:, 2] - _gradient(without(logits, targets), logits)[:, 2]
        assert (pushed >= 0).all()
        assert pushed.max() > 0
