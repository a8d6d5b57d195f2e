"""What every formula starts with: float32 whatever the precision, shapes that agree, and counts that are not zero."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

NO_INDEX = -100
"""The target that no class has, where nothing is to be ignored; torch's own default."""


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Context in which autocast leaves the operations on ``device`` alone."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def at_least_float32(values: Tensor) -> Tensor:
    """``values`` in float32; float64 stays, so that formulas can be checked to more digits."""
    return values if values.dtype == torch.float64 else values.float()


def in_float32(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Decorator: the loss gets its logits in float32 and runs with autocast off.

    A sum over a 512 x 512 mask is up to 262,144, beyond float16's 65,504; float32 costs little next to the network.
    """

    @functools.wraps(loss)
    def wrapper(logits: Tensor, targets: Tensor, **parameters: object) -> Tensor:
        with without_autocast(logits.device):
            return loss(at_least_float32(logits), targets, **parameters)

    return wrapper


def counted_over(count: Callable[..., Tensor | float]) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Decorator: the loss is a mean, and ``count(targets, **parameters)`` tells over how much.

    The function becomes ``loss.count``. It takes the loss's parameters by keyword and uses those that it needs.
    """

    def mark(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
        loss.count = count  # type: ignore[attr-defined]
        return loss

    return mark


def check_classes(logits: Tensor, targets: Tensor) -> None:
    """Refuse targets that are not class indices for these logits.

    Raises:
        ValueError: If ``targets`` is not int64 or its shape is not that of ``logits`` without dimension 1.
    """
    expected = (*logits.shape[:1], *logits.shape[2:])
    if logits.ndim < 2 or targets.shape != expected or targets.dtype != torch.int64:
        raise ValueError(
            f"targets are {tuple(targets.shape)} {targets.dtype} for logits {tuple(logits.shape)}: class indices must "
            f"be {expected} torch.int64. Check the task, and that the network gives logits (B, K) or (B, K, H, W)."
        )


def check_same_shape(logits: Tensor, targets: Tensor) -> None:
    """Refuse targets that would be broadcast: a ``(B,)`` against a ``(B, 1)`` is silently ``(B, B)`` otherwise.

    Raises:
        ValueError: If the shapes differ.
    """
    if logits.shape != targets.shape:
        raise ValueError(
            f"targets are {tuple(targets.shape)} for outputs {tuple(logits.shape)}: one target per output is needed. "
            "Check the task, and that the network's last layer has one output per number or label."
        )


def has_labels(logits: Tensor, targets: Tensor) -> bool:
    """Whether ``targets`` hold a number per logit (multi-label), not a class index per position; shapes are checked."""
    if targets.ndim == logits.ndim:
        check_same_shape(logits, targets)
        return True
    check_classes(logits, targets)
    return False


def nonzero(count: Tensor) -> Tensor:
    """``count`` with 1 in place of 0: a mean over nothing is then 0 with a zero gradient, not NaN."""
    return torch.where(count > 0, count, torch.ones_like(count))


def mean(values: Tensor) -> Tensor:
    """Mean of all values; 0 if there are none."""
    return values.sum() / max(values.numel(), 1)


def class_indices(targets: Tensor, ignore_index: int) -> tuple[Tensor, Tensor]:
    """Indices with ignored ones made 0, and the mask of positions that count."""
    valid = targets != ignore_index
    return torch.where(valid, targets, torch.zeros_like(targets)), valid
