"""What an event says: one dataclass for each kind of line in ``events.jsonl``.

A field added later has a default, so that lines written before it are read as they were meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

TimePart = Literal["data", "forward", "backward", "update", "validation", "other"]
Outcome = Literal["completed", "stopped", "paused", "failed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunStarted:
    """An attempt begins: everything derived from settings, data and machine before the first step.

    Attributes:
        start_step: Steps already done (0 unless resumed); readers drop recorded points after it.
        total_steps: Steps at which the run is complete.
        facts: Resolved numbers for people and readers: ``device``, ``precision``, ``parameters``,
            ``trainable_parameters``, ``classes``, ``train_images``, ``val_images``, ``groups``, ...
    """

    kind: Literal["run_started"] = "run_started"
    start_step: int
    total_steps: int
    epochs: int
    steps_per_epoch: int
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkProgress:
    """Long work that is not training: reading data, downloading weights. ``total`` is None while unknown."""

    kind: Literal["progress"] = "progress"
    what: str
    done: float
    total: float | None = None
    unit: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainMetrics:
    """One step is done. ``step`` counts steps done, so the first event has step 1; ``epoch`` counts from 1."""

    kind: Literal["train_metrics"] = "train_metrics"
    step: int
    epoch: int
    metrics: Mapping[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class EvalMetrics:
    """A split was evaluated after ``step`` steps."""

    kind: Literal["eval_metrics"] = "eval_metrics"
    step: int
    epoch: int
    split: str
    metrics: Mapping[str, float]
    seconds: float = 0.0
    is_best: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class TimeSpent:
    """Where the time since the last event of this kind, or since the attempt began to train, went.

    Attributes:
        seconds: By ``TimePart``: waiting for pictures, forward pass and loss, backward pass, update of the weights,
            validation, and all else, such as checkpoints.
    """

    kind: Literal["time_spent"] = "time_spent"
    step: int
    seconds: Mapping[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class ClockMoved:
    """The date went on by ``seconds`` without time passing for the process: the machine slept, or its clock was set."""

    kind: Literal["clock_moved"] = "clock_moved"
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointSaved:
    """A checkpoint is complete on disk; ``path`` is relative to the run folder."""

    kind: Literal["checkpoint_saved"] = "checkpoint_saved"
    step: int
    path: str
    is_best: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """Text for a person."""

    kind: Literal["message"] = "message"
    level: Literal["info", "warning", "error"] = "info"
    text: str
    step: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """Something to mark on the curves.

    Attributes:
        step: Steps done when it happened.
        label: A few words beside the mark; ``text`` is the sentence behind it.
        changes: Settings changed here; a resume makes the changes again.
        planned: The rates since (see ``facts``).
        is_ghost: Nothing happened: it marks what another setting would have done.
        rewind_to: The run went back to this step and does again what came after it; readers drop the points after it,
            as they do for ``RunStarted.start_step``. None: it did not.
    """

    kind: Literal["mark"] = "mark"
    step: int
    label: str
    text: str = ""
    changes: Mapping[str, Any] = field(default_factory=dict)
    planned: Mapping[str, Any] = field(default_factory=dict)
    is_ghost: bool = False
    rewind_to: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFinished:
    """An attempt ends. ``error`` is the message for the user when ``outcome`` is failed."""

    kind: Literal["run_finished"] = "run_finished"
    outcome: Outcome
    step: int
    error: str | None = None
    summary: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class UnknownEvent:
    """A kind, or a shape of a known kind, written by another version; kept, never an error."""

    kind: str
    fields: Mapping[str, Any]


Payload = (
    RunStarted
    | WorkProgress
    | TrainMetrics
    | EvalMetrics
    | TimeSpent
    | ClockMoved
    | CheckpointSaved
    | Message
    | Mark
    | RunFinished
    | UnknownEvent
)
KINDS: dict[str, type] = {
    c.__dataclass_fields__["kind"].default: c
    for c in (
        RunStarted,
        WorkProgress,
        TrainMetrics,
        EvalMetrics,
        TimeSpent,
        ClockMoved,
        CheckpointSaved,
        Message,
        Mark,
        RunFinished,
    )
}
