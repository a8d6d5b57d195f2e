"""Steps on their way into the log: each is recorded once its numbers are back from the device, in order."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fine_tuner.runs.log.events import Payload, TrainMetrics
from fine_tuner.training.loop.async_copy import Readback
from fine_tuner.training.loop.loss_scale import Health
from fine_tuner.training.loop.progress import Progress


@dataclass(frozen=True, kw_only=True, slots=True)
class StepPlace:
    """Which step it is; ``step`` and ``epoch`` count from 1, ``first_micro_step`` over the run from 0."""

    step: int
    epoch: int
    first_micro_step: int
    micro_steps: int
    images: int
    lrs: Mapping[str, float]

    @classmethod
    def of(
        cls, micro_batches: Sequence[tuple[Tensor, Any]], progress: Progress, optimizer: torch.optim.Optimizer
    ) -> StepPlace:
        """Place of the step that comes next, made of these micro-batches."""
        return cls(
            step=progress.step + 1,
            epoch=progress.epoch + 1,
            first_micro_step=progress.micro_step,
            micro_steps=len(micro_batches),
            images=sum(len(targets) for _, targets in micro_batches),
            lrs={group["name"]: group["lr"] for group in optimizer.param_groups},
        )


class BadStepError(Exception):
    """A loss, gradient or weight is NaN or infinite; caught by the trainer's loop.

    Attributes:
        what: ``loss``, ``gradient`` or ``weights``.
        value: The loss, the norm of the gradient, or NaN.
        place: The step that brought it; of weights the last one recorded.
    """

    def __init__(self, what: str, value: float, place: StepPlace) -> None:
        self.what, self.value, self.place = what, value, place
        super().__init__(what, value, place)

    @property
    def is_before_update(self) -> bool:
        """Whether the weights are still those before the step."""
        return self.what == "loss"

    def __str__(self) -> str:
        rates = ", ".join(f"{name} {lr:.3g}" for name, lr in self.place.lrs.items())
        what = {
            "loss": f"The training loss is {self.value}",
            "gradient": f"The gradient is not finite (its norm is {self.value})",
            "weights": "The weights are not finite",
        }[self.what]
        end = " The weights were not updated." if self.is_before_update else ""
        return f"{what} at step {self.place.step} (epoch {self.place.epoch}, learning rate {rates}).{end}"


class StepLog:
    """Emits ``TrainMetrics``.

    Args:
        device: Where the numbers are.
        health: Told of every loss scale.
        emit: Where events go.
    """

    def __init__(self, device: torch.device, health: Health, *, emit: Callable[[Payload], None]) -> None:
        self._device, self._health, self._emit = device, health, emit
        self.forget()
        self.restart_clock()

    def forget(self) -> None:
        """Drop the steps whose numbers have not arrived: they are undone."""
        self.readback = Readback(self._device)
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
        self.readback.queue((place, metrics | dict(readings)), grad_norm, *([] if scale is None else [scale]))
        self.emit(wait=False)

    def emit(self, *, wait: bool) -> None:
        """Emit the steps whose numbers have arrived, or all of them.

        Raises:
            BadStepError: At the first gradient that was not finite, unless the loss scale takes care of it.
        """
        for (place, metrics), (grad_norm, *scale) in self.readback.arrived(wait=wait):
            metrics |= {"train/grad_norm": grad_norm, **self._health.see(scale[0] if scale else None)}
            was_skipped = self._health.in_a_row > 0
            if not math.isfinite(grad_norm) and (not was_skipped or self._health.is_hopeless):
                raise BadStepError("gradient", grad_norm, place)
            self.last = place
            self._emit(TrainMetrics(step=place.step, epoch=place.epoch, metrics=metrics))
