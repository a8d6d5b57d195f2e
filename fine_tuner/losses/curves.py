"""What a loss does, as curves: value and gradient against the right answer's probability, the error, the overlap."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from fine_tuner.base.errors import ConfigError
from fine_tuner.config.sections.losses import CustomLoss, LossBase
from fine_tuner.config.sections.second_loss import SecondLossBase
from fine_tuner.config.tasks import TargetKind, target_kind
from fine_tuner.losses.build import build_loss

LossFn = Callable[[Tensor, Tensor], Tensor]
POINTS = 99
SIDE_PX = 16
SURE = 0.95
MAX_ERROR = 3.0


def loss_curve(settings: LossBase, task: str, *, second: SecondLossBase | None = None) -> dict[str, Any]:
    """Curves of a loss that the settings describe, as plain numbers for a plot.

    Args:
        settings: A loss other than the user's own, which runs only in the check's child process (its report has them).
        task: One of the four tasks.
        second: Second loss of a weighted sum.

    Returns:
        ``{"name", "task", "formula", "source", "panels": [...]}``; each panel is ``{"key", "x_label", "x",
        "value_label", "value", "gradient_label", "gradient"}`` with equally long lists; what is not finite is None.

    Raises:
        ConfigError: If the loss is the user's own code or has no meaning for the task.
    """
    for path, loss in (("loss", settings), ("second_loss", second)):
        if isinstance(loss, CustomLoss):
            raise ConfigError({f"{path}.name": "the curve of your own code is part of its check. Press Check."})
    # Two classes: the other one gets the rest. Balanced weights of equal counts change nothing.
    loss_fn = build_loss(settings, task=task, num_outputs=_outputs(task), class_counts=(1, 1), second=second)
    parts = [settings] if second is None or second.name == "none" else [settings, second]
    return {
        "name": " + ".join(part.name for part in parts),
        "task": task,
        "formula": " + w ".join(f"({part.formula})" if len(parts) > 1 else part.formula for part in parts),
        "source": "; ".join(part.source for part in parts),
        "panels": curve_panels(loss_fn, task),
    }


def _outputs(task: str) -> int:
    return 1 if target_kind(task) in (TargetKind.NUMBERS, TargetKind.LABELS) else 2


def curve_panels(loss_fn: LossFn | nn.Module, task: str) -> list[dict[str, Any]]:
    """The panels of ``loss_curve`` for any loss of (output, target)."""
    if target_kind(task) is TargetKind.NUMBERS:
        return [_panel("error", "Error: prediction - target", _errors(), _regression(loss_fn), "prediction")]
    probability = _probabilities()
    panels = [
        _panel("probability", "Probability of the right answer", probability, _answers(loss_fn, task), "its logit")
    ]
    if target_kind(task) is TargetKind.MASK:
        panels.append(_panel("overlap", "Overlap (IoU) of predicted and true region", *_overlap(loss_fn), "overlap"))
    return panels


def _panel(key: str, x_label: str, x: list[float], curve: tuple[list[float], list[float]], by: str) -> dict[str, Any]:
    value, gradient = curve
    return {
        "key": key, "x_label": x_label, "x": x, "value_label": "Loss", "value": _plain(value),
        "gradient_label": f"Gradient by {by}", "gradient": _plain(gradient),
    }  # fmt: skip


def _plain(values: list[float]) -> list[float | None]:
    return [v if math.isfinite(v) else None for v in values]


def _probabilities() -> list[float]:
    return [i / (POINTS + 1) for i in range(1, POINTS + 1)]


def _errors() -> list[float]:
    return [MAX_ERROR * (2 * i / (POINTS - 1) - 1) for i in range(POINTS)]


def _along(points: list[float], loss_at: Callable[[Tensor], Tensor]) -> tuple[list[float], list[float]]:
    """Value and derivative of ``loss_at`` at each point."""
    values, gradients = [], []
    for point in points:
        at = torch.tensor(point, requires_grad=True)
        value = loss_at(at)
        value.backward()
        values.append(float(value.detach()))
        gradients.append(math.nan if at.grad is None else float(at.grad))
    return values, gradients


def _regression(loss_fn: LossFn) -> tuple[list[float], list[float]]:
    target = torch.zeros(1, 1)
    return _along(_errors(), lambda error: loss_fn(error.view(1, 1), target))


def _answers(loss_fn: LossFn, task: str) -> tuple[list[float], list[float]]:
    """Every answer of a small batch gets the same probability of being right; by the logit's derivative.

    Classes: one image of class 0. Labels: four images, the label there in one. Masks: a square of a quarter.
    """
    target = _square() if target_kind(task) is TargetKind.MASK else torch.zeros(1, dtype=torch.int64)
    sign = torch.tensor([[1.0], [-1.0], [-1.0], [-1.0]])
    is_first = (target == 0).unsqueeze(1)

    def loss_at(logit: Tensor) -> Tensor:
        if target_kind(task) is TargetKind.LABELS:
            return loss_fn(logit * sign, (sign > 0).float())
        first, second = torch.where(is_first, logit, 0.0), torch.where(is_first, 0.0, logit)
        return loss_fn(torch.cat([first, second], 1), target)

    return _along([math.log(p / (1 - p)) for p in _probabilities()], loss_at)


def _square() -> Tensor:
    """``(1, H, W)`` mask with a square of class 1 that covers a quarter."""
    mask = torch.zeros(1, SIDE_PX, SIDE_PX, dtype=torch.int64)
    mask[:, : SIDE_PX // 2, : SIDE_PX // 2] = 1
    return mask


def _overlap(loss_fn: LossFn) -> tuple[list[float], tuple[list[float], list[float]]]:
    """Loss of a sure prediction of the same square, slid away column by column; slope by differences."""
    target, side = _square(), SIDE_PX // 2
    logit = math.log(SURE / (1 - SURE))
    overlaps, values = [], []
    for shift in range(side, -1, -1):
        predicted = target.roll(shift, dims=2)
        output = torch.cat([torch.zeros(1, 1, SIDE_PX, SIDE_PX), logit * (2.0 * predicted.unsqueeze(1) - 1)], 1)
        overlaps.append((side - shift) / (side + shift))
        values.append(float(loss_fn(output, target).detach()))
    x = torch.tensor(overlaps)
    (slope,) = torch.gradient(torch.tensor(values), spacing=(x,))
    return overlaps, (values, slope.tolist())
