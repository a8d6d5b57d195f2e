"""Losses against torch's, torchvision's, MONAI's and segmentation_models_pytorch's, on batches drawn at random.

Drawn are sizes, how sure the network is, how much is void, which classes are absent, weights and parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss as focal_of_torchvision

from fine_tuner.losses.functional import binary_cross_entropy, cross_entropy, focal_loss, sigmoid_focal_loss
from fine_tuner.losses.overlap import dice_loss, jaccard_loss, lovasz_loss, tversky_loss

K, VOID = 5, 255
few = settings(max_examples=12, deadline=None)
seeds, sureness = st.integers(0, 10**6), st.sampled_from([0.1, 2.0, 20.0])
gammas = st.sampled_from([0.0, 0.5, 1.0, 2.0, 5.0])


@pytest.fixture(scope="module")
def monai() -> ModuleType:
    """Its losses; imported late, for that takes seconds."""
    return pytest.importorskip("monai.losses", reason="MONAI is not installed (requirements-dev.txt)")


@pytest.fixture(scope="module")
def smp() -> ModuleType:
    """The losses of segmentation_models_pytorch."""
    reason = "segmentation_models_pytorch is not installed (requirements-dev.txt)"
    return pytest.importorskip("segmentation_models_pytorch.losses", reason=reason)


@st.composite
def masks(draw: st.DrawFn, *, void: float = 0.9) -> tuple[Tensor, Tensor]:
    """Logits ``(B, K, H, W)`` and targets in which some classes may be absent and up to ``void`` of the pixels void."""
    generator = torch.Generator().manual_seed(draw(seeds))
    shape = draw(st.integers(1, 4)), draw(st.integers(1, 6)), draw(st.integers(1, 7))
    classes = torch.tensor(sorted(draw(st.sets(st.integers(0, K - 1), min_size=1))))
    targets = classes[torch.randint(0, len(classes), shape, generator=generator)]
    share = draw(st.floats(0, void)) if void else 0
    targets = torch.where(torch.rand(shape, generator=generator) < share, VOID, targets)
    targets[0, 0, 0] = classes[0]  # what counts nowhere is 0 here and NaN elsewhere
    logits = draw(sureness) * torch.randn(shape[0], K, *shape[1:], generator=generator)
    return logits.requires_grad_(), targets


def _assert_same(ours: Tensor, theirs: Tensor, logits: Tensor, *, rtol: float = 1e-5) -> None:
    """Values and gradients are equal, but for the order of float32 sums."""
    torch.testing.assert_close(ours, theirs, rtol=rtol, atol=1e-6)
    expected, actual = (torch.autograd.grad(loss, logits)[0] for loss in (theirs, ours))
    torch.testing.assert_close(actual, expected, rtol=10 * rtol, atol=1e-6)


@few
@given(batch=masks(), weights=st.lists(st.floats(0.01, 50), min_size=K, max_size=K))
def test_weighted_cross_entropy_with_void_is_torch_s(batch: tuple[Tensor, Tensor], weights: list[float]) -> None:
    logits, targets = batch
    given_too = {"weight": torch.tensor(weights), "ignore_index": VOID}
    _assert_same(cross_entropy(logits, targets, **given_too), F.cross_entropy(logits, targets, **given_too), logits)


@few
@given(batch=masks(), smoothing=st.floats(0, 0.9))
def test_smoothed_cross_entropy_with_void_is_torch_s(batch: tuple[Tensor, Tensor], smoothing: float) -> None:
    logits, targets = batch
    given_too = {"label_smoothing": smoothing, "ignore_index": VOID}
    _assert_same(cross_entropy(logits, targets, **given_too), F.cross_entropy(logits, targets, **given_too), logits)


@few
@given(batch=masks(void=0), gamma=gammas)
def test_focal_loss_is_monai_s(monai: ModuleType, batch: tuple[Tensor, Tensor], gamma: float) -> None:
    """MONAI's mean is over the K terms of each pixel, of which all but the true class's are 0."""
    logits, targets = batch
    reference = K * monai.FocalLoss(use_softmax=True, to_onehot_y=True, gamma=gamma)(logits, targets[:, None])
    torch.testing.assert_close(focal_loss(logits, targets, gamma=gamma), reference, rtol=1e-4, atol=1e-6)


@few
@given(seed=seeds, count=st.integers(1, 20), sure=sureness, gamma=gammas, alpha=st.sampled_from([None, 0.1, 0.25, 0.9]))
def test_focal_loss_of_labels_is_torchvision_s(
    seed: int, count: int, sure: float, gamma: float, alpha: float | None
) -> None:
    logits, targets = _labels(seed, count, sure)
    reference = focal_of_torchvision(
        logits, targets, alpha=-1 if alpha is None else alpha, gamma=gamma, reduction="mean"
    )
    value = sigmoid_focal_loss(logits, targets, gamma=gamma, alpha=alpha)
    torch.testing.assert_close(value, reference, rtol=1e-4, atol=1e-6)


@few
@given(seed=seeds, count=st.integers(1, 20), sure=sureness, weight=st.floats(0.01, 100))
def test_binary_cross_entropy_is_torch_s(seed: int, count: int, sure: float, weight: float) -> None:
    logits, targets = _labels(seed, count, sure)
    reference = F.binary_cross_entropy_with_logits(logits, targets, pos_weight=torch.tensor(weight))
    _assert_same(binary_cross_entropy(logits, targets, positive_weight=weight), reference, logits)


@few
@given(batch=masks(), alpha=st.floats(0.05, 1), beta=st.floats(0.05, 1))
def test_overlap_with_void_and_absent_classes_is_that_of_segmentation_models(
    smp: ModuleType, batch: tuple[Tensor, Tensor], alpha: float, beta: float
) -> None:
    """There an absent class adds 0 to the mean over all K; here it is left out of the mean."""
    logits, targets = batch
    share = len(set(targets.unique().tolist()) - {VOID}) / K
    for value, reference in (
        (dice_loss(logits, targets, ignore_index=VOID), smp.DiceLoss("multiclass", ignore_index=VOID)),
        (
            jaccard_loss(logits, targets, ignore_index=VOID),
            smp.TverskyLoss("multiclass", alpha=1.0, beta=1.0, ignore_index=VOID),
        ),
        (
            tversky_loss(logits, targets, alpha=alpha, beta=beta, ignore_index=VOID),
            smp.TverskyLoss("multiclass", alpha=alpha, beta=beta, ignore_index=VOID),
        ),
    ):
        _assert_same(share * value, reference(logits, targets), logits, rtol=1e-4)


@few
@given(seed=seeds, count=st.integers(1, 4), per_image=st.booleans(), smooth=st.sampled_from([0.1, 1.0]))
def test_overlap_with_smoothing_is_monai_s(
    monai: ModuleType, seed: int, count: int, per_image: bool, smooth: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(0, K, (count, 5, 6), generator=generator)
    logits = (2 * torch.randn(count, K, 5, 6, generator=generator)).requires_grad_()
    ours = {"smooth": smooth, "per_image": per_image, "include_absent": True}
    theirs = {"softmax": True, "to_onehot_y": True, "smooth_nr": smooth, "smooth_dr": smooth, "batch": not per_image}
    tversky = {"alpha": 0.3, "beta": 0.7}
    for value, reference in (
        (dice_loss(logits, targets, **ours), monai.DiceLoss(**theirs)),
        (dice_loss(logits, targets, squared=True, **ours), monai.DiceLoss(squared_pred=True, **theirs)),
        (tversky_loss(logits, targets, **tversky, **ours), monai.TverskyLoss(**tversky, **theirs)),
    ):
        _assert_same(value, reference(logits, targets[:, None]), logits)


@few
@given(batch=masks())
def test_lovasz_with_void_and_absent_classes_is_that_of_segmentation_models(
    smp: ModuleType, batch: tuple[Tensor, Tensor]
) -> None:
    logits, targets = batch
    reference = smp.LovaszLoss("multiclass", ignore_index=VOID)(logits, targets)
    torch.testing.assert_close(lovasz_loss(logits, targets, ignore_index=VOID), reference, rtol=1e-4, atol=1e-5)


@few
@given(seed=seeds, count=st.integers(2, 20), sure=st.sampled_from([0.1, 2.0]))
def test_overlap_of_labels_is_that_of_segmentation_models(smp: ModuleType, seed: int, count: int, sure: float) -> None:
    logits, targets = _labels(seed, count, sure)
    share = targets.any(0).float().mean()
    as_map = logits[..., None, None], targets[..., None, None]
    for ours, theirs in ((dice_loss, smp.DiceLoss), (jaccard_loss, smp.JaccardLoss)):
        _assert_same(share * ours(logits, targets), theirs("multilabel")(*as_map), logits, rtol=1e-4)


@few
@given(batch=masks(), variant=st.sampled_from(range(6)))
def test_a_void_pixel_is_as_if_it_were_not_there(batch: tuple[Tensor, Tensor], variant: int) -> None:
    logits, targets = batch
    loss_fn = (cross_entropy, focal_loss, dice_loss, tversky_loss, jaccard_loss, lovasz_loss)[variant]
    counted = targets != VOID
    others = logits.movedim(1, -1)[counted].T[None], targets[counted][None]  # (1, K, P), (1, P)
    _assert_same(loss_fn(logits, targets, ignore_index=VOID), loss_fn(*others), logits, rtol=1e-4)


@settings(max_examples=30, deadline=None)
@given(
    batch=masks(void=1.0), loss_fn=st.sampled_from([dice_loss, tversky_loss, jaccard_loss, lovasz_loss]),
    size=st.sampled_from([1.0, 20.0, 88.0, 95.0, 103.0, 104.0, 1e4, 1e30]), smooth=st.sampled_from([0.0, 1e-6, 1.0]),
    per_image=st.booleans(), include_background=st.booleans(), include_absent=st.booleans(), whole=st.booleans(),
)  # fmt: skip
def test_overlap_is_finite_however_sure_the_network_is(
    batch: tuple[Tensor, Tensor],
    loss_fn: Callable[..., Tensor],
    size: float,
    smooth: float,
    whole: bool,
    **regions: bool,
) -> None:
    logits, targets = batch
    logits = (size * (logits.detach().sign() if whole else logits.detach())).clamp(-3e38, 3e38).requires_grad_()
    smoothing = {} if loss_fn is lovasz_loss else {"smooth": smooth}
    value = loss_fn(logits, targets, ignore_index=VOID, **smoothing, **regions)
    (gradient,) = torch.autograd.grad(value, logits)
    assert -1e-5 <= value.item() <= 1 + 1e-5, "float32 sums"
    assert gradient.isfinite().all()
    assert not gradient.movedim(1, -1)[targets == VOID].any()


def _labels(seed: int, count: int, sure: float) -> tuple[Tensor, Tensor]:
    """Logits and labels ``(B, K)`` of which the rarest may be nowhere."""
    generator = torch.Generator().manual_seed(seed)
    logits = sure * torch.randn(count, K, generator=generator)
    rarity = torch.tensor([0.6, 0.4, 0.2, 0.05, 0.0])
    return logits.requires_grad_(), (torch.rand(count, K, generator=generator) < rarity).float()
