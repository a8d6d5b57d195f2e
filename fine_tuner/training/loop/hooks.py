"""Who listens to a run, and whose wishes it hears."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from fine_tuner.runs.log.events import Payload

TrainerOutcome = Literal["completed", "stopped", "paused"]  # a failure is an exception here


class Control(Protocol):
    """Wishes from outside, asked for between steps."""

    def wanted(self) -> Literal["stop", "pause"] | None:
        """What the user wants of the run now."""

    def changes(self, step: int) -> list[Mapping[str, Any]]:
        """Settings to change after ``step`` steps; see ``Trainer.change``."""

    def wants_checkpoint(self) -> bool:
        """Whether the user wants a checkpoint now."""

    def wants_validation(self) -> bool:
        """Whether the user wants to know now how good the network is."""


@dataclass(kw_only=True)
class Hooks:
    """What the trainer calls.

    Attributes:
        emit: Takes every event.
        control: Asked between steps for wishes; None: there are none.
        save: Writes a checkpoint, told whether its weights are the best and whether it has to survive a power cut too;
            returns its path, relative to the run folder. None: the run keeps nothing.
        validated: Called by all ranks with step and epoch of a validation, before its numbers are told.
        before_epoch: Called with the number of epochs done before the first step of the next (unfreezing).
        read_memory: Readings to record with a step; empty where the last ones are fresh.
    """

    emit: Callable[[Payload], None] = lambda payload: None
    control: Control | None = None
    save: Callable[[bool, bool], str] | None = None
    validated: Callable[[int, int], None] = lambda step, epoch: None
    before_epoch: Callable[[int], None] = lambda epoch: None
    read_memory: Callable[[], Mapping[str, float]] = dict
