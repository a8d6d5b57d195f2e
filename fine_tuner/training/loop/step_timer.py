"""Where the time goes: what a step waits for and works on, measured without slowing it."""

from __future__ import annotations

import time
from collections import Counter

import torch

from fine_tuner.distributed.devices import finish
from fine_tuner.runs.log.payloads import TimePart

EVERY_SECONDS = 5.0  # between tellings
_DEVICE_STRIDE = 16  # steps from one that is measured to the next, where measuring means waiting for the device


class StepTimer:
    """Seconds by part (``runs/log/payloads.py``), since they were last taken.

    A device works behind the host's back, so that the host's clock tells nothing unless it waits for the device at
    every border of parts. That is done in one step of sixteen there, and in every step on a CPU, where there is
    nothing to wait for; the time of all steps is then shared out as it was in those.

    >>> timer = StepTimer(torch.device("cpu"))
    >>> timer.begin_step(1); timer.lap("data"); timer.lap("forward"); timer.end_step()
    >>> sorted(timer.take())
    ['data', 'forward', 'other']
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stride = 1 if device.type == "cpu" else _DEVICE_STRIDE
        self._is_measured = False
        self._lap_at = self._step_at = 0.0
        self._measured: Counter[TimePart] = Counter()
        self.restart()

    def restart(self) -> None:
        """What was done until now is not told."""
        self._taken_at = time.perf_counter()
        self._steps_seconds = self._validation_seconds = 0.0
        self._measured.clear()

    def begin_step(self, step: int) -> None:
        """A step begins; ``step`` counts those done before."""
        self._is_measured = step % self._stride == 0
        if self._is_measured:
            finish(self._device)
        self._lap_at = self._step_at = time.perf_counter()

    def lap(self, part: TimePart) -> None:
        """What was done since the last lap, or the step's begin, was ``part``."""
        if self._is_measured:
            finish(self._device)
            now = time.perf_counter()
            self._measured[part] += now - self._lap_at
            self._lap_at = now

    def end_step(self) -> None:
        """The step is done: its time counts. That of a step that was given up is ``other``."""
        self._steps_seconds += time.perf_counter() - self._step_at

    def add_validation(self, seconds: float) -> None:
        """A validation took so long."""
        self._validation_seconds += seconds

    @property
    def is_due(self) -> bool:
        """Whether it is time to tell."""
        return bool(self._measured) and time.perf_counter() - self._taken_at > EVERY_SECONDS

    def take(self) -> dict[str, float]:
        """Seconds by part since they were taken before, in milliseconds' precision; their sum is the time between."""
        seconds = time.perf_counter() - self._taken_at
        measured = self._measured.total()
        share = self._steps_seconds / measured if measured > 0 else 0.0
        spent = {str(part): took * share for part, took in self._measured.items()}
        if self._validation_seconds:
            spent["validation"] = self._validation_seconds
        spent["other"] = max(0.0, seconds - sum(spent.values()))
        self.restart()
        return {part: round(took, 3) for part, took in spent.items()}
