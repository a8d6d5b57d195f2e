"""Changes of rate or length that an attempt makes by itself: those of the log it resumes from, and of its settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fine_tuner.config.changes import parse_change, wishes_of
from fine_tuner.config.settings import Settings
from fine_tuner.runs.events import CheckpointSaved, Event, Mark, RunStarted, read_events
from fine_tuner.runs.layout import RunFolder

Made = tuple[int, Mapping[str, Any]]  # steps done, and setting to value


def changes_to_make(settings: Settings, folder: RunFolder, newest: Path | None) -> list[Made]:
    """Changes in the order in which they are made.

    Args:
        settings: Of the run; those that they ask for before the checkpoint are in its state.
        folder: Of the run.
        newest: Checkpoint that the attempt begins at; None begins anew.
    """
    asked = wishes_of(map(parse_change, settings.schedule.changes))
    if newest is None:
        return asked
    events, _ = read_events(folder.events)
    saved = _saved_at(f"checkpoints/{newest.name}", events)
    done = [(m.step, dict(m.changes)) for e in events if e.seq < saved and isinstance(m := e.payload, Mark)]
    again = _changes_since(saved, events)
    return sorted([*again, *(one for one in asked if one not in done and one not in again)], key=lambda one: one[0])


def _saved_at(path: str, events: list[Event]) -> int:
    """Number of the event that names a checkpoint; beyond all events if none does."""
    return max(
        (e.seq for e in events if isinstance(e.payload, CheckpointSaved) and e.payload.path == path), default=1 << 62
    )


def _changes_since(saved: int, events: list[Event]) -> list[Made]:
    """Changes that the log has after a checkpoint."""
    made: list[Made] = []
    to_repeat: list[Made] = []  # by an attempt that began at the same checkpoint
    for event in events:
        match event.payload:
            case RunStarted() if event.seq > saved:
                made, to_repeat = [], made + to_repeat
            case Mark(step=step, changes=changes) if changes and event.seq > saved:
                made.append((step, dict(changes)))
                if made[-1] in to_repeat:
                    to_repeat.remove(made[-1])
    return made + to_repeat
