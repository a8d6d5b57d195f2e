"""Steps on their way into the log: each is recorded once its numbers are back from the device, in order."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from fine_tuner.runs.log.events import Payload, TrainMetrics
from fine_tuner.training.loop.async_copy import AsyncCopy
from fine_tuner.training.loop.bad_step import BadStepError
from fine_tuner.training.loop.loss_scale import LossScale
from fine_tuner.training.loop.position import StepPlace


class StepLog:
    """Emits ``TrainMetrics``.

    Args:
        device: Where the numbers are.
        loss_scale: Told of every loss scale.
        emit: Where events go.
        is_in_step: Other ranks do the same: what a step brings is looked at after the next one, on all of them, and
            not whenever it arrives.
    """

    def __init__(
        self,
        device: torch.device,
        loss_scale: LossScale,
        *,
        emit: Callable[[Payload], None],
        is_in_step: bool = False,
    ) -> None:
        self._device, self._loss_scale, self._emit = device, loss_scale, emit
        self._is_in_step = is_in_step
        self.forget()
        self.restart_clock()

    def forget(self) -> None:
        """Drop the steps whose numbers have not arrived: they are undone."""
        self.copies = AsyncCopy(self._device)
        self.last: StepPlace | None = None

    def restart_clock(self) -> None:
        """What was done until now is no part of the next step."""
        self._last_step_at = time.perf_counter()

    def record(
        self, place: StepPlace, loss: float, grad_norm: Tensor, scale: Tensor | None, readings: Mapping[str, float]
    ) -> None:
        """Take a step that was made.

        Args:
            place: Of the step.
            loss: Mean over its images.
            grad_norm: Before clipping, unscaled; scalar on the device.
            scale: Loss scale after the step, on the device; None without.
            readings: Further metrics.

        Raises:
            BadStepError: If the gradient of this step, or of one before, was not finite.
        """
        now = time.perf_counter()
        seconds, self._last_step_at = now - self._last_step_at, now
        metrics = {"train/loss": loss, **{f"train/lr/{name}": lr for name, lr in place.lrs.items()}}
        metrics["train/images_per_second"] = place.images / max(seconds, 1e-9)
        self.copies.queue((place, metrics | dict(readings)), grad_norm, *([] if scale is None else [scale]))
        self.emit(wait=False)

    def emit(self, *, wait: bool) -> None:
        """Emit the steps whose numbers have arrived, or all of them.

        Raises:
            BadStepError: At the first gradient that was not finite, unless the loss scale takes care of it.
        """
        newest = 1 if self._is_in_step and not wait else 0
        for (place, metrics), (grad_norm, *scale) in self.copies.arrived(wait=wait or self._is_in_step, keep=newest):
            metrics |= {"train/grad_norm": grad_norm, **self._loss_scale.see(scale[0] if scale else None)}
            was_skipped = self._loss_scale.in_a_row > 0
            if not math.isfinite(grad_norm) and (not was_skipped or self._loss_scale.is_hopeless):
                raise BadStepError("gradient", grad_norm, place)
            self.last = place
            self._emit(TrainMetrics(step=place.step, epoch=place.epoch, metrics=metrics))
