"""Changes that are made again after going back: those of the log since a checkpoint, and those of the settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fine_tuner.config.live_changes import parse_change, wishes_of
from fine_tuner.config.settings import Settings
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.log.events import CheckpointSaved, Event, Mark, RunStarted, read_events

Made = tuple[int, Mapping[str, Any]]  # steps done, and setting to value


def changes_to_make(settings: Settings, folder: RunFolder, newest: Path | None) -> list[Made]:
    """Changes in the order in which they are made.

    Args:
        settings: Of the run; those that they ask for before the checkpoint are in its state.
        folder: Of the run.
        newest: Checkpoint that the attempt begins at; None begins anew.
    """
    asked = wishes_of(map(parse_change, settings.schedule.changes))
    events, _ = read_events(folder.events)
    saved = _saved_at(newest, events)
    done = [(m.step, dict(m.changes)) for e in events if e.seq < saved and isinstance(m := e.payload, Mark)]
    again = _changes_since(saved, events)
    return sorted([*again, *(one for one in asked if one not in done and one not in again)], key=lambda one: one[0])


def _saved_at(newest: Path | None, events: list[Event]) -> int:
    """Number of the event after which nothing is in a checkpoint's state."""
    if newest is None:
        return -1
    path, step = f"checkpoints/{newest.name}", int(newest.name.rpartition("-")[2])
    saved = [e.seq for e in events if isinstance(e.payload, CheckpointSaved) and e.payload.path == path]
    if saved:
        return saved[-1]
    # killed between writing it and saying so: the next attempt began at it
    began = [e.seq for e in events if isinstance(e.payload, RunStarted) and e.payload.start_step == step]
    return began[0] - 1 if began else max((e.seq for e in events), default=-1)


def _changes_since(saved: int, events: list[Event]) -> list[Made]:
    """Changes that the log has after a checkpoint, whoever went back to it since: a resume, or the run itself."""
    made: list[Made] = []
    to_repeat: list[Made] = []  # by whoever went back to the same checkpoint
    for event in events:
        if event.seq <= saved:
            continue
        match event.payload:
            case RunStarted():
                made, to_repeat = [], made + to_repeat
            case Mark(step=step, changes=changes, rewind_to=rewind_to) if changes:
                if rewind_to is not None:
                    made, to_repeat = [], made + to_repeat
                made.append((step, dict(changes)))
                if made[-1] in to_repeat:
                    to_repeat.remove(made[-1])
    return made + to_repeat
