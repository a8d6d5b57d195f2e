"""Losses that compare regions: Dice, Tversky, Jaccard, Lovasz.

A region is what one class (or label) covers: of the whole batch, or of one image with ``per_image``. The loss of each
region is computed and averaged. For class indices the probabilities p are a softmax, for labels a sigmoid; t is 1
where the target is the class. Ignored positions belong to no region. What papers leave open is settled here:

* A class that is in no target of the batch (of the image) is left out of the mean. With ``include_absent`` it counts:
  predicting any of it is a full error, 1, and predicting none is 0. Between, it is the largest p there: the quotients
  themselves are 1 however small p is, without a slope that would lower it, and 0 / 0 at its end. With smoothing they
  have both, and are taken as they are.
* Class 0 is background unless ``include_background``: it has no region of its own and is scored through the others, as
  nnU-Net does. A batch of background only, or with every position ignored, or empty, gives 0 and a zero gradient.
* Regions of a batch make a loss of the whole batch: in smaller parts it is another loss. Over a split (validation) the
  sums are added up, as if the split were one batch; Lovasz, which has no sums, is then taken image by image.
* All sums are float32, also under autocast; counts of target positions are exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fine_tuner.losses.formula_parts import NO_INDEX, class_indices, counted_over, has_labels, in_float32, nonzero
from fine_tuner.losses.parts import Loss, MeansOverSplit, RegionsOverSplit, SplitLoss, WholeSplit


class _Regions(NamedTuple):
    """Probabilities and truth of every class at every position, ``(B, K, P)``."""

    probs: Tensor  # (B, K, P), 0 at ignored positions
    truth: Tensor  # (B, K, P), bool, False at ignored positions
    per_image: bool

    def total(self, values: Tensor) -> Tensor:
        """Sum of ``(B, K, P)`` values over each region: ``(B, K)`` per image, else ``(K,)``."""
        return values.sum(2) if self.per_image else values.sum((0, 2))

    def flat(self, values: Tensor) -> Tensor:
        """``(B, K, P)`` values, one row per region: ``(B K, P)`` per image, else ``(K, B P)``."""
        batch, classes, positions = values.shape
        if self.per_image:
            return values.reshape(batch * classes, positions)
        return values.transpose(0, 1).reshape(classes, batch * positions)


def _regions(
    logits: Tensor, targets: Tensor, *, per_image: bool, include_background: bool, ignore_index: int
) -> _Regions:
    if has_labels(logits, targets):
        probs, truth = logits.sigmoid().unsqueeze(2), (targets >= 0.5).unsqueeze(2)
        return _Regions(probs, truth, per_image)
    logits = logits.reshape(*logits.shape[:2], math.prod(logits.shape[2:]))
    indices, valid = class_indices(targets.reshape(len(logits), 1, logits.shape[2]), ignore_index)
    classes = torch.arange(logits.shape[1], device=logits.device).unsqueeze(1)
    probs, truth = logits.softmax(1) * valid, (indices == classes) & valid
    first = 0 if include_background else 1
    return _Regions(probs[:, first:], truth[:, first:], per_image)


def _mean_over(losses: Tensor, is_present: Tensor, include_absent: bool) -> Tensor:
    """Mean of the regions' losses that count; 0 if none does."""
    counted = torch.ones_like(is_present) if include_absent else is_present
    return (losses * counted).sum() / nonzero(counted.sum())


def image_regions(
    targets: Tensor,
    *,
    include_background: bool = True,
    include_absent: bool = False,
    ignore_index: int = NO_INDEX,
    **_: object,
) -> Tensor | int:
    """How many regions the images have that count, up to a factor, where each image has regions of its own.

    Args:
        targets: ``(B, ...)``, int64 class indices.
        include_background: See the losses.
        include_absent: All classes count in every image.
        ignore_index: Is no class.
    """  # fmt: skip
    if include_absent:
        return len(targets)
    ordered = targets.flatten(1).sort(1).values
    is_first = torch.ones_like(ordered, dtype=torch.bool)
    is_first[:, 1:] = ordered.diff(dim=1) != 0
    is_counted = (ordered != ignore_index) & ((ordered != 0) | include_background)
    return (is_first & is_counted).sum()


@in_float32
def region_sums(
    logits: Tensor,
    targets: Tensor,
    *,
    squared: bool = False,
    per_image: bool = False,
    include_background: bool = True,
    ignore_index: int = NO_INDEX,
    **_: object,
) -> Tensor:
    """``(4, R)``: of each region ``sum p t``, ``sum p`` (``sum p^2`` if ``squared``), ``sum t`` and the largest p.

    The first three of a batch are the sums, the last the largest, of those of its parts.
    """
    regions = _regions(
        logits, targets, per_image=per_image, include_background=include_background, ignore_index=ignore_index
    )
    probs = regions.probs
    overlap = regions.total(probs * regions.truth)
    predicted = regions.total(probs.square() if squared else probs)
    flat = regions.flat(probs)
    largest = flat.amax(1).view_as(overlap) if flat.numel() else torch.zeros_like(overlap)
    return torch.stack([overlap, predicted, regions.total(regions.truth).to(probs.dtype), largest]).flatten(1)


def dice_of_sums(sums: Tensor, *, smooth: float = 0.0, include_absent: bool = False, **_: object) -> Tensor:
    """The Dice loss of ``region_sums``."""
    overlap, predicted, actual, largest = sums
    return _of_quotients(2.0 * overlap, predicted + actual, actual, largest, smooth, include_absent)


def tversky_of_sums(
    sums: Tensor,
    *,
    alpha: float = 0.3,
    beta: float = 0.7,
    smooth: float = 0.0,
    include_absent: bool = False,
    **_: object,
) -> Tensor:
    """The Tversky loss of ``region_sums``."""  # fmt: skip
    hits, predicted, actual, largest = sums
    size = hits + alpha * (predicted - hits) + beta * (actual - hits)
    return _of_quotients(hits, size, actual, largest, smooth, include_absent)


def jaccard_of_sums(sums: Tensor, *, smooth: float = 0.0, include_absent: bool = False, **_: object) -> Tensor:
    """The Jaccard loss of ``region_sums``."""
    return tversky_of_sums(sums, alpha=1.0, beta=1.0, smooth=smooth, include_absent=include_absent)


def _of_quotients(
    overlap: Tensor, size: Tensor, actual: Tensor, largest: Tensor, smooth: float, include_absent: bool
) -> Tensor:
    """Mean of ``1 - (overlap + s) / (size + s)`` over the regions that count, or of the largest p; see the module."""
    is_present = actual > 0
    is_quotient = is_present if smooth == 0 else torch.ones_like(is_present)
    # 1 in the place of a size that may be as small as p: its inverse is infinite, and infinity times 0 is NaN
    quotients = 1.0 - (overlap + smooth) / torch.where(is_quotient, size + smooth, torch.ones_like(size))
    return _mean_over(torch.where(is_quotient, quotients, largest), is_present, include_absent)


def of_regions(
    loss_of: Callable[..., Tensor] | None,
) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Decorator: the loss is one of regions, ``loss_of(region_sums(...), ...)``, or without sums (Lovasz).

    The function gets ``count`` (see ``counted_over``), which holds where each image has regions of its own, and
    ``over_batch(**parameters)``: the loss of a whole split where it has not.
    """

    def mark(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def over_batch(**parameters: Any) -> SplitLoss:
            if loss_of is not None:
                return RegionsOverSplit(partial(region_sums, **parameters), partial(loss_of, **parameters))
            if "per_image" in parameters:  # masks; labels are few numbers an image
                return MeansOverSplit(ImageByImage(loss, parameters | {"per_image": True}))
            return WholeSplit(partial(loss, **parameters))

        loss.over_batch = over_batch  # type: ignore[attr-defined]
        return counted_over(image_regions)(loss)

    return mark


class ImageByImage(Loss):
    """A formula with regions of its own for each image."""

    def __init__(self, formula: Callable[..., Tensor], parameters: Mapping[str, Any]) -> None:
        super().__init__()
        self.formula, self.parameters_of_formula = formula, parameters

    def means(self, logits: Tensor, targets: Tensor) -> Tensor:
        """See ``Loss``."""
        return self.formula(logits, targets, **self.parameters_of_formula).reshape(1)

    def counts(self, targets: Tensor) -> Tensor:
        """See ``Loss``."""
        counted = image_regions(targets, **self.parameters_of_formula)
        return torch.as_tensor(counted, dtype=torch.float64, device=targets.device).reshape(1)


@of_regions(dice_of_sums)
@in_float32
def dice_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    smooth: float = 0.0,
    squared: bool = False,
    per_image: bool = False,
    include_background: bool = True,
    include_absent: bool = False,
    ignore_index: int = NO_INDEX,
) -> Tensor:
    """Mean over regions of ``1 - (2 sum p t + s) / (sum p + sum t + s)``.

    Args:
        logits: ``(B, K, ...)``, unnormalised.
        targets: ``(B, ...)``, int64 class indices or ``ignore_index``; or ``(B, K)`` labels of 0 and 1.
        smooth: s, added above and below, >= 0.
        squared: Sums of p^2 and t^2 below, in place of p and t.
        per_image: One region per image and class; otherwise per class over the batch.
        include_background: Score class 0 too; labels have no background.
        include_absent: Count classes that are in no target.
        ignore_index: Positions with this target do not count.

    Returns:
        Scalar in ``[0, 1]``; 0 if no region counts.

    Raises:
        ValueError: If the shapes disagree.

    Source: Milletari et al. 2016 (V-Net), https://arxiv.org/abs/1606.04797 with ``squared``; the plain denominator as
    in Drozdzal et al. 2016, https://arxiv.org/abs/1608.04117.

    >>> dice_loss(torch.zeros(2, 2), torch.tensor([0, 1]))
    tensor(0.5000)
    """
    sums = region_sums(
        logits, targets, squared=squared, per_image=per_image, include_background=include_background,
        ignore_index=ignore_index,
    )  # fmt: skip
    return dice_of_sums(sums, smooth=smooth, include_absent=include_absent)


@of_regions(tversky_of_sums)
@in_float32
def tversky_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    alpha: float = 0.3,
    beta: float = 0.7,
    smooth: float = 0.0,
    per_image: bool = False,
    include_background: bool = True,
    include_absent: bool = False,
    ignore_index: int = NO_INDEX,
) -> Tensor:
    """Mean over regions of ``1 - (TP + s) / (TP + alpha FP + beta FN + s)``, with soft counts.

    ``TP = sum p t``, ``FP = sum p (1 - t)``, ``FN = sum (1 - p) t``. Equals Dice at ``alpha = beta = 1/2`` and the
    Jaccard loss at ``alpha = beta = 1``, for ``smooth = 0``.

    Args:
        logits: ``(B, K, ...)``, unnormalised.
        targets: ``(B, ...)``, int64 class indices or ``ignore_index``; or ``(B, K)`` labels of 0 and 1.
        alpha: Weight of false alarms, > 0.
        beta: Weight of misses, > 0.
        smooth: s, added above and below, >= 0.
        per_image: One region per image and class; otherwise per class over the batch.
        include_background: Score class 0 too; labels have no background.
        include_absent: Count classes that are in no target.
        ignore_index: Positions with this target do not count.

    Returns:
        Scalar in ``[0, 1]``; 0 if no region counts.

    Raises:
        ValueError: If the shapes disagree.

    Source: Salehi et al. 2017, eq. 1 and 2, https://arxiv.org/abs/1706.05721.
    """
    sums = region_sums(
        logits, targets, per_image=per_image, include_background=include_background, ignore_index=ignore_index
    )
    return tversky_of_sums(sums, alpha=alpha, beta=beta, smooth=smooth, include_absent=include_absent)


@of_regions(jaccard_of_sums)
@in_float32
def jaccard_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    smooth: float = 0.0,
    per_image: bool = False,
    include_background: bool = True,
    include_absent: bool = False,
    ignore_index: int = NO_INDEX,
) -> Tensor:
    """Mean over regions of ``1 - (sum p t + s) / (sum p + sum t - sum p t + s)``: one minus soft IoU.

    Args:
        logits: ``(B, K, ...)``, unnormalised.
        targets: ``(B, ...)``, int64 class indices or ``ignore_index``; or ``(B, K)`` labels of 0 and 1.
        smooth: s, added above and below, >= 0.
        per_image: One region per image and class; otherwise per class over the batch.
        include_background: Score class 0 too; labels have no background.
        include_absent: Count classes that are in no target.
        ignore_index: Positions with this target do not count.

    Returns:
        Scalar in ``[0, 1]``; 0 if no region counts.

    Raises:
        ValueError: If the shapes disagree.

    Source: Rahman and Wang 2016, eq. 3 to 5, https://doi.org/10.1007/978-3-319-50835-1_22.
    """
    sums = region_sums(
        logits, targets, per_image=per_image, include_background=include_background, ignore_index=ignore_index
    )
    return jaccard_of_sums(sums, smooth=smooth, include_absent=include_absent)


@of_regions(None)
@in_float32
def lovasz_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    per_image: bool = False,
    include_background: bool = True,
    include_absent: bool = False,
    ignore_index: int = NO_INDEX,
) -> Tensor:
    """Mean over regions of the Lovasz extension of ``1 - IoU`` at the errors ``|t - p|``.

    Where all p are 0 or 1 it is exactly ``1 - IoU``; between, it is the tightest convex function that is. Of an absent
    class (with ``include_absent``) it is the largest p.

    Args:
        logits: ``(B, K, ...)``, unnormalised.
        targets: ``(B, ...)``, int64 class indices or ``ignore_index``; or ``(B, K)`` labels of 0 and 1.
        per_image: One region per image and class; otherwise per class over the batch.
        include_background: Score class 0 too; labels have no background.
        include_absent: Count classes that are in no target.
        ignore_index: Positions with this target do not count.

    Returns:
        Scalar in ``[0, 1]``; 0 if no region counts.

    Raises:
        ValueError: If the shapes disagree.

    Source: Berman et al. 2018, eq. 9 and algorithm 1, https://arxiv.org/abs/1705.08790. Differs: labels use the
    sigmoid's errors too, not a hinge; the differences of algorithm 1 are taken in closed form: subtracting
    neighbouring IoUs in float32 puts the gradient off by 3 % on a million pixels and by 24 % on eight.
    """
    regions = _regions(
        logits, targets, per_image=per_image, include_background=include_background, ignore_index=ignore_index
    )
    errors = regions.flat(torch.where(regions.truth, 1.0 - regions.probs, regions.probs))  # (R, P)
    truth = regions.flat(regions.truth)
    order = errors.detach().argsort(dim=1, descending=True)  # ignored positions, of error 0, come last
    losses = (errors.gather(1, order) * _jaccard_steps(truth.gather(1, order), errors.dtype)).sum(1)
    return _mean_over(losses, truth.any(1), include_absent)


def _jaccard_steps(truth: Tensor, dtype: torch.dtype) -> Tensor:
    """How much ``1 - IoU`` grows as each position, in the order given, becomes an error.

    With G true positions, of which n_t are errors already, beside n_f false ones, ``1 - IoU = 1 - (G - n_t) / (G +
    n_f)``. One more true position adds ``1 / (G + n_f)``, one more false ``(G - n_t) / ((G + n_f)(G + n_f + 1))``; for
    G = 0 the first false position adds 1 and the others nothing.

    Args:
        truth: ``(R, P)`` bool, sorted by falling error.
        dtype: Of the result.

    Returns:
        ``(R, P)``; no gradient.
    """
    size = truth.sum(1, keepdim=True)  # (R, 1)
    true_so_far = truth.cumsum(1)  # int64: exact on any mask
    false_before = torch.arange(truth.shape[1], device=truth.device) - (true_so_far - truth.long())
    union = (size + false_before).to(dtype)
    step_if_false = torch.where(union > 0, (size - true_so_far) / (nonzero(union) * (union + 1.0)), 1.0)
    return torch.where(truth, 1.0 / nonzero(union), step_if_false).to(dtype)
