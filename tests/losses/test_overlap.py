"""Losses of regions: hand-checkable values, identities between them, and what is settled about absent classes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from fine_tuner.config.sections.losses import DiceLoss, JaccardLoss, LovaszLoss, TverskyLoss
from fine_tuner.losses.build import build_loss
from fine_tuner.losses.overlap import dice_loss, jaccard_loss, lovasz_loss, tversky_loss

EXACT = {"rtol": 1e-6, "atol": 1e-7}
LOSSES = [dice_loss, tversky_loss, jaccard_loss, lovasz_loss]
OVERLAP = [DiceLoss, TverskyLoss, JaccardLoss, LovaszLoss]


@pytest.fixture
def masks() -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    targets = torch.randint(0, 3, (3, 6, 5), generator=rng)
    targets[:, 0] = 255
    return torch.randn(3, 3, 6, 5, generator=rng), targets


def sure(mask: list[list[int]]) -> Tensor:
    """Logits (1, 2, H, W) that predict a mask of 0 and 1 with certainty."""
    predicted = torch.tensor(mask)
    return 200.0 * torch.stack([1 - predicted, predicted]).unsqueeze(0) - 100.0


# ------------------------------------------------------------------ worked values
def test_dice_of_monai_s_worked_examples() -> None:
    """MONAI, tests of DiceLoss (sigmoid, smoothing 1e-6 and 1e-4): 0.307576 and, averaged over two images, 0.416657."""
    z = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).expand(2, 2, 2)
    logits = torch.stack([torch.zeros_like(z), z], 1)
    one = dice_loss(logits[:1], torch.tensor([[[1, 0], [1, 1]]]), include_background=False)
    assert one.item() == pytest.approx(0.307576, abs=1e-6)
    targets = torch.tensor([[[1, 1], [1, 1]], [[1, 0], [1, 0]]])
    two = dice_loss(logits, targets, include_background=False, per_image=True)
    assert two.item() == pytest.approx(0.416657, abs=2e-5)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (dice_loss, 1 - 2 * 1 / (2 + 3)),
        (jaccard_loss, 1 - 1 / 4),
        (lovasz_loss, 1 - 1 / 4),
        (tversky_loss, 1 - 1 / (1 + 0.3 * 1 + 0.7 * 2)),
    ],
)
def test_a_mask_of_three_predicted_as_two_with_one_in_common(loss: Callable[..., Tensor], expected: float) -> None:
    value = loss(sure([[1, 1, 0, 0]]), torch.tensor([[[1, 0, 1, 1]]]), include_background=False)
    assert value.item() == pytest.approx(expected, rel=1e-6)


# --------------------------------------------------------------------- identities
@pytest.mark.parametrize("per_image", [False, True])
def test_tversky_is_dice_and_jaccard_at_its_ends(masks: tuple[Tensor, Tensor], per_image: bool) -> None:
    shared = {"per_image": per_image, "ignore_index": 255}
    half = tversky_loss(*masks, alpha=0.5, beta=0.5, smooth=0.5, **shared)
    torch.testing.assert_close(half, dice_loss(*masks, smooth=1.0, **shared), **EXACT)
    whole = tversky_loss(*masks, alpha=1.0, beta=1.0, smooth=0.5, **shared)
    torch.testing.assert_close(whole, jaccard_loss(*masks, smooth=0.5, **shared), **EXACT)


def test_jaccard_of_one_region_follows_from_dice(masks: tuple[Tensor, Tensor]) -> None:
    logits, targets = masks[0][:, :2], masks[1].clamp(max=1)
    shared = {"include_background": False}
    dice = 1 - dice_loss(logits, targets, **shared)
    torch.testing.assert_close(1 - jaccard_loss(logits, targets, **shared), dice / (2 - dice), **EXACT)


def test_lovasz_of_hard_predictions_is_one_minus_iou() -> None:
    rng = torch.Generator().manual_seed(0)
    for _ in range(5):
        predicted, truth = (torch.randint(0, 2, (1, 8, 8), generator=rng) for _ in range(2))
        value = lovasz_loss(sure(predicted[0].tolist()), truth, include_background=False)
        iou = (predicted & truth).sum() / (predicted | truth).sum()
        torch.testing.assert_close(value, 1 - iou, **EXACT)


def test_lovasz_is_convex_in_the_errors() -> None:
    """At a mix of two predictions it is at most the mix of their losses (Berman et al. 2018, section 2.2)."""
    rng = torch.Generator().manual_seed(0)
    present = (torch.rand(40, 1, generator=rng) < 0.4).float()
    for _ in range(20):
        one, two = torch.rand(2, 40, 1, generator=rng).clamp(0.01, 0.99)
        mixed = lovasz_loss(((one + two) / 2).logit(), present)
        ends = (lovasz_loss(one.logit(), present) + lovasz_loss(two.logit(), present)) / 2
        assert mixed <= ends + 1e-6


def test_lovasz_keeps_the_digits_of_its_gradient_on_a_large_mask() -> None:
    """Subtracting neighbouring IoUs in float32, as algorithm 1 is usually written, is 3 % off here."""
    rng = torch.Generator().manual_seed(0)
    logits, present = torch.randn(2**20, 1, generator=rng), (torch.rand(2**20, 1, generator=rng) < 0.5).float()
    single, double = logits.clone().requires_grad_(), logits.double().requires_grad_()
    lovasz_loss(single, present).backward()
    lovasz_loss(double, present).backward()
    assert single.grad is not None
    assert double.grad is not None
    assert (single.grad - double.grad).norm() < 1e-5 * double.grad.norm()


@pytest.mark.parametrize("loss", LOSSES)
def test_per_image_is_the_mean_of_the_images_where_all_have_all_classes(
    loss: Callable[..., Tensor], masks: tuple[Tensor, Tensor]
) -> None:
    logits, targets = masks
    single = [loss(logits[i : i + 1], targets[i : i + 1], ignore_index=255) for i in range(3)]
    together = loss(logits, targets, ignore_index=255, per_image=True)
    torch.testing.assert_close(together, torch.stack(single).mean(), **EXACT)


# -------------------------------------------------- absent classes and background
@pytest.mark.parametrize("variant", OVERLAP)
@pytest.mark.parametrize("per", ["batch", "image"])
def test_masks_of_background_only_give_zero_and_a_zero_gradient(variant: type, per: str) -> None:
    logits = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss_fn = build_loss(variant(per=per), task="segmentation", num_outputs=3)
    value = loss_fn(logits, torch.zeros(2, 4, 4, dtype=torch.int64))
    value.backward()
    assert value.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


@pytest.mark.parametrize("variant", OVERLAP)
def test_images_without_any_label_give_zero_and_a_zero_gradient(variant: type) -> None:
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    value = build_loss(variant(), task="multilabel", num_outputs=3)(logits, torch.zeros(4, 3))
    value.backward()
    assert value.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


@pytest.mark.parametrize("loss", LOSSES)
def test_predicting_an_absent_class_is_a_full_error_if_absent_classes_count(loss: Callable[..., Tensor]) -> None:
    empty = torch.zeros(1, 1, 4, dtype=torch.int64)
    counted = {"include_background": False, "include_absent": True}
    assert loss(sure([[1, 1, 1, 1]]), empty, **counted).item() == 1
    assert loss(sure([[0, 0, 0, 0]]), empty, **counted).item() == 0
    assert loss(sure([[1, 1, 1, 1]]), empty, include_background=False).item() == 0


@pytest.mark.parametrize("loss", LOSSES)
def test_an_absent_class_does_not_change_the_mean_of_the_others(
    loss: Callable[..., Tensor], masks: tuple[Tensor, Tensor]
) -> None:
    logits, targets = masks
    with_absent = torch.cat([logits, torch.full_like(logits[:, :1], -200.0)], 1)  # a fourth class, never predicted
    torch.testing.assert_close(
        loss(with_absent, targets, ignore_index=255), loss(logits, targets, ignore_index=255), **EXACT
    )


def test_smoothing_pulls_a_missed_small_region_toward_zero_loss() -> None:
    logits, targets = sure([[0, 0, 0, 0]]), torch.tensor([[[1, 0, 0, 0]]])
    values = [dice_loss(logits, targets, smooth=s, include_background=False).item() for s in (0.0, 1.0, 3.0)]
    assert values == pytest.approx([1.0, 1 / 2, 1 / 4])
