"""What a run's log says, apart from the curves: plain values, so that they can be cached as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Remark:
    """A message, with when it was said."""

    seq: int
    time: float
    level: str
    text: str
    step: int | None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint that was complete on disk."""

    step: int
    path: str
    is_best: bool


@dataclass(slots=True)
class Facts:
    """Everything in the fold that is not a curve; plain values, so that it can be cached as JSON.

    Attributes:
        elapsed_ms: Time at work; see ``Rows``.
        attempt: Of the newest event; 0 before the first.
        rewinds: How often an attempt began after the first: readers that hold older points must take all anew.
        validated_epoch, validation_seconds: Of the last validation, and what the last few took.
        skipped: Lines that are no events.
        lost: Events that are missing between others, by their numbers.
        lost_step: Step of the last event before the first of them.
        time_spent: Seconds by ``TimePart``, all attempts together.
        step_ms: Of the last steps, (milliseconds, steps) between neighbours with nothing else between.
    """

    seq: int = -1
    time_ms: int | None = None
    elapsed_ms: int = 0
    attempt: int = 0
    rewinds: int = 0
    started: dict[str, Any] = field(default_factory=dict)
    total_steps: int = 0
    epochs: int = 0
    steps_per_epoch: int = 0
    start_step: int = 0
    step: int = 0
    epoch: int = 0
    validated_epoch: int = 0
    validation_seconds: list[float] = field(default_factory=list)
    step_ms: list[list[int]] = field(default_factory=list)
    last_train: list[int] | None = None
    attempt_steps: int = 0
    time_spent: dict[str, float] = field(default_factory=dict)
    activity: dict[str, Any] | None = None
    last_kind: str = ""
    outcome: str | None = None
    error: str | None = None
    summary: dict[str, Any] = field(default_factory=dict)
    first_time_ms: int | None = None
    skipped: int = 0
    lost: int = 0
    lost_step: int = 0


def spliced(before: Any, after: Any, step: int) -> Any:
    """Planned rates ``before`` until ``step`` and ``after`` from there; ``after`` alone if the two do not match.

    Args:
        before: ``schedule`` of a run's facts: ``steps``, rates by group in ``groups``, perhaps ``lowest`` likewise.
        after: The same for steps after ``step``; what else it holds goes before what ``before`` does.
        step: The last step for which ``before`` holds.
    """
    try:
        kept, new = (
            [i for i, s in enumerate(plan["steps"]) if (s > step) == late]
            for plan, late in ((before, False), (after, True))
        )
        joined = {"steps": [before["steps"][i] for i in kept] + [after["steps"][i] for i in new]}
        for part in ("groups", "lowest"):
            old, later = before.get(part), after.get(part)
            if part == "lowest" and (old is None or later is None):
                joined[part] = None
            else:
                joined[part] = {n: [old[n][i] for i in kept] + [ys[i] for i in new] for n, ys in later.items()}
    except (AttributeError, KeyError, IndexError, TypeError):
        return after
    return dict(before) | dict(after) | joined if isinstance(after, Mapping) else joined
