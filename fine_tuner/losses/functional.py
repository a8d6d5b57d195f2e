"""Losses that are a mean over positions: one function per formula. Losses of regions are in ``overlap.py``.

All of them compute in float32, also under autocast and for half-precision logits, and return a scalar. A mean over no
positions (an empty batch, every pixel ignored) is 0 with a zero gradient. B is the batch, K the classes or labels, D
the numbers of a regression; ``...`` stands for nothing or ``H, W``.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from fine_tuner.losses.formula_parts import (
    NO_INDEX,
    check_classes,
    check_same_shape,
    class_indices,
    counted_over,
    has_labels,
    in_float32,
    mean,
    nonzero,
)


def numbers(targets: Tensor, **_: object) -> float:
    """How many numbers there are in ``targets``."""
    return float(targets.numel())


def positions(
    targets: Tensor, *, weight: Tensor | None = None, ignore_index: int = NO_INDEX, **_: object
) -> Tensor | float:
    """How many positions of class indices count, each by the weight of its class; of labels all numbers."""
    if targets.is_floating_point():
        return numbers(targets)
    indices, valid = class_indices(targets, ignore_index)
    return valid.sum() if weight is None else (weight.double()[indices] * valid).sum()


@in_float32
@counted_over(positions)
def cross_entropy(
    logits: Tensor,
    targets: Tensor,
    *,
    weight: Tensor | None = None,
    label_smoothing: float = 0.0,
    ignore_index: int = NO_INDEX,
) -> Tensor:
    """Weighted mean of ``-log p_t``, the log-probability of the true class.

    Args:
        logits: ``(B, K, ...)``, unnormalised.
        targets: ``(B, ...)``, int64 class indices or ``ignore_index``.
        weight: ``(K,)``, how much each class counts; the mean divides by the weights of the targets, so that only
            ratios matter.
        label_smoothing: Probability taken from the true class and spread over all K, in ``[0, 1)``. A weight is that of
            the position, by its true class, and smoothing does not distort it.
        ignore_index: Positions with this target contribute neither to the sum nor to the count.

    Returns:
        Scalar; 0 if no position counts.

    Raises:
        ValueError: If the shapes disagree or targets are not int64.

    Source: ``torch.nn.functional.cross_entropy``; smoothing of Szegedy et al. 2016, https://arxiv.org/abs/1512.00567.
    Differs: 0, not NaN, where nothing counts. With ``weight`` a position's whole smoothed loss has the weight of its
    true class, as Keras's ``class_weight`` and importance weights have it (King and Zeng 2001). torch weighs each
    summand of the smoothed loss by the class it is about, yet divides by the weights of the true classes: a rare class
    of weight 50 then gets most of the smoothing's loss, and the network learns to predict it everywhere.

    >>> cross_entropy(torch.zeros(1, 2), torch.tensor([0]))
    tensor(0.6931)
    """
    check_classes(logits, targets)
    nll = F.cross_entropy(logits, targets, ignore_index=ignore_index, reduction="none", label_smoothing=label_smoothing)
    weights = _weights(targets, weight, ignore_index, logits)
    return (nll * weights).sum() / nonzero(weights.sum())


def _weights(targets: Tensor, weight: Tensor | None, ignore_index: int, logits: Tensor) -> Tensor:
    """``(B, ...)`` in the logits' dtype: how much each position counts."""
    indices, valid = class_indices(targets, ignore_index)
    if weight is None:
        return valid.to(logits.dtype)
    return weight.to(logits.dtype)[indices] * valid


@in_float32
@counted_over(numbers)
def binary_cross_entropy(logits: Tensor, targets: Tensor, *, positive_weight: float = 1.0) -> Tensor:
    """Mean of ``-(w t log p + (1 - t) log(1 - p))`` with ``p = sigmoid(logits)``.

    Args:
        logits: ``(B, K)``.
        targets: ``(B, K)``, 0 or 1 (or between), any number type.
        positive_weight: w, how much a label that is there counts against one that is not; > 0.

    Raises:
        ValueError: If the shapes differ.

    Source: ``torch.nn.functional.binary_cross_entropy_with_logits``.

    >>> binary_cross_entropy(torch.zeros(1, 1), torch.ones(1, 1), positive_weight=2.0)
    tensor(1.3863)
    """
    check_same_shape(logits, targets)
    weight = logits.new_tensor(positive_weight)
    return mean(
        F.binary_cross_entropy_with_logits(logits, targets.to(logits.dtype), pos_weight=weight, reduction="none")
    )


@in_float32
@counted_over(positions)
def brier_loss(logits: Tensor, targets: Tensor, *, ignore_index: int = NO_INDEX) -> Tensor:
    """Mean of ``(p - t)^2`` over positions and classes: the MSE of probabilities.

    Args:
        logits: ``(B, K, ...)``; softmax over K gives p. For labels ``(B, K)``; sigmoid gives p.
        targets: ``(B, ...)``, int64 class indices (t is their one-hot), or ``(B, K)`` labels of 0 and 1.
        ignore_index: Positions with this target do not count.

    Raises:
        ValueError: If the shapes disagree.

    Source: Brier 1950, eq. 2, https://doi.org/10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2. Differs: divided by K,
    as ``torch.nn.MSELoss`` does, so the worst value for classes is 2 / K.

    >>> brier_loss(torch.zeros(1, 2), torch.tensor([0]))
    tensor(0.2500)
    """
    if has_labels(logits, targets):
        return mean((logits.sigmoid() - targets.to(logits.dtype)).square())
    indices, valid = class_indices(targets, ignore_index)
    one_hot = torch.zeros_like(logits).scatter_(1, indices.unsqueeze(1), 1.0)
    per_position = (logits.softmax(1) - one_hot).square().mean(1)
    return (per_position * valid).sum() / nonzero(valid.sum())


@in_float32
@counted_over(numbers)
def mse_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean of ``e^2``, ``e = outputs - targets``, over ``(B, D)`` numbers.

    Raises:
        ValueError: If the shapes differ; they are never broadcast.

    Source: ``torch.nn.functional.mse_loss``. Its minimum is the mean of the targets.
    """
    check_same_shape(outputs, targets)
    return mean((outputs - targets.to(outputs.dtype)).square())


@in_float32
@counted_over(numbers)
def l1_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean of ``|e|``, ``e = outputs - targets``, over ``(B, D)`` numbers; the gradient at ``e = 0`` is 0.

    Raises:
        ValueError: If the shapes differ; they are never broadcast.

    Source: ``torch.nn.functional.l1_loss``. Its minimum is the median of the targets.
    """
    check_same_shape(outputs, targets)
    return mean((outputs - targets.to(outputs.dtype)).abs())


@in_float32
@counted_over(numbers)
def smooth_l1_loss(outputs: Tensor, targets: Tensor, *, beta: float = 1.0) -> Tensor:
    """Mean of ``e^2 / (2 beta)`` where ``|e| < beta``, else ``|e| - beta / 2``, over ``(B, D)`` numbers.

    Args:
        outputs: ``(B, D)``.
        targets: ``(B, D)``.
        beta: Error at which squared turns into absolute, > 0, in the unit of the targets.

    Raises:
        ValueError: If the shapes differ; they are never broadcast.

    Source: ``torch.nn.functional.smooth_l1_loss``; Girshick 2015, eq. 3, https://arxiv.org/abs/1504.08083 (beta = 1).
    """
    check_same_shape(outputs, targets)
    return mean(F.smooth_l1_loss(outputs, targets.to(outputs.dtype), beta=beta, reduction="none"))


@in_float32
@counted_over(numbers)
def huber_loss(outputs: Tensor, targets: Tensor, *, delta: float = 1.0) -> Tensor:
    """Mean of ``e^2 / 2`` where ``|e| < delta``, else ``delta (|e| - delta / 2)``: ``delta`` times smooth L1.

    Args:
        outputs: ``(B, D)``.
        targets: ``(B, D)``.
        delta: Error at which squared turns into absolute, > 0, in the unit of the targets.

    Raises:
        ValueError: If the shapes differ; they are never broadcast.

    Source: ``torch.nn.functional.huber_loss``; Huber 1964, https://doi.org/10.1214/aoms/1177703732.
    """
    check_same_shape(outputs, targets)
    return mean(F.huber_loss(outputs, targets.to(outputs.dtype), delta=delta, reduction="none"))


@in_float32
@counted_over(positions)
def focal_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    gamma: float = 2.0,
    weight: Tensor | None = None,
    ignore_index: int = NO_INDEX,
) -> Tensor:
    """Weighted mean of ``-(1 - p_t)^gamma log p_t`` over positions, with softmax over K classes.

    Equals cross entropy at ``gamma = 0``.

    Args:
        logits: ``(B, K, ...)``, unnormalised.
        targets: ``(B, ...)``, int64 class indices or ``ignore_index``.
        gamma: Focusing exponent, >= 0.
        weight: ``(K,)``, how much each class counts; only ratios matter.
        ignore_index: Positions with this target contribute neither to the sum nor to the count.

    Returns:
        Scalar; 0 if no position counts.

    Raises:
        ValueError: If the shapes disagree or targets are not int64.

    Source: Lin et al. 2017, eq. 4, https://arxiv.org/abs/1708.02002. Differs: softmax for exclusive classes, a
    weighted mean in place of the alpha of eq. 5, and a mean over all positions, not over foreground anchors.

    >>> focal_loss(torch.zeros(1, 2), torch.tensor([0]), gamma=1.0)
    tensor(0.3466)
    """
    check_classes(logits, targets)
    nll = F.cross_entropy(logits, targets, ignore_index=ignore_index, reduction="none")  # (B, ...)
    weights = _weights(targets, weight, ignore_index, logits)
    return (_discount(nll, gamma) * nll * weights).sum() / nonzero(weights.sum())


@in_float32
@counted_over(numbers)
def sigmoid_focal_loss(logits: Tensor, targets: Tensor, *, gamma: float = 2.0, alpha: float | None = None) -> Tensor:
    """Mean of ``-alpha_t (1 - p_t)^gamma log p_t`` over labels, with ``p = sigmoid(logits)``.

    Equals binary cross entropy at ``gamma = 0`` without alpha.

    Args:
        logits: ``(B, K)``.
        targets: ``(B, K)``, 0 or 1.
        gamma: Focusing exponent, >= 0.
        alpha: Weight of labels that are there; those that are not get ``1 - alpha``. None: all count 1.

    Raises:
        ValueError: If the shapes differ.

    Source: Lin et al. 2017, eq. 5, https://arxiv.org/abs/1708.02002; as ``torchvision.ops.sigmoid_focal_loss``, whose
    alpha is 0.25 by default and -1 for none. Differs: labels between 0 and 1 are taken as 1 from 0.5 up.
    """
    check_same_shape(logits, targets)
    positive = targets >= 0.5
    nll = F.binary_cross_entropy_with_logits(logits, positive.to(logits.dtype), reduction="none")
    losses = _discount(nll, gamma) * nll
    if alpha is not None:
        losses = losses * torch.where(positive, alpha, 1.0 - alpha)
    return mean(losses)


def _discount(nll: Tensor, gamma: float) -> Tensor:
    """``(1 - p_t)^gamma`` from ``nll = -log p_t``, exact for p_t near 1.

    The clamp gives a zero gradient instead of ``0^(gamma - 1) * 0 = NaN`` for gamma below 1 where p_t rounds to 1.
    """
    return (-torch.expm1(-nll)).clamp_min(torch.finfo(nll.dtype).tiny).pow(gamma)
