"""Going back, when a run is resumed and when its numbers went bad: to a state, with what was changed since made again.

Made again are the changes that the run's log has since that state, and those of its settings.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from fine_tuner.base.errors import TrainingError
from fine_tuner.config.live_changes import parse_change, wishes_of
from fine_tuner.config.settings import Settings
from fine_tuner.models.saved import load_saved
from fine_tuner.runs.layout import WEIGHTS, RunFolder
from fine_tuner.runs.log.events import CheckpointSaved, Event, Mark, RunStarted, read_events
from fine_tuner.tasks.build import Assembly
from fine_tuner.training.loop.trainer import Trainer
from fine_tuner.training.recovery.checkpoint import CheckpointStore, load_state

Made = tuple[int, Mapping[str, Any]]  # steps done, and setting to value


class Rollback:
    """To the newest whole checkpoint; before there is one, to the state the run began with, kept in memory until then.

    Args:
        trainer: Goes back.
        assembly: What it trains.
        checkpoints: Of the run.
        run: Its folder, whose log has the changes since a checkpoint.
        replay: Has changes made again, each after its steps.
    """

    def __init__(
        self,
        trainer: Trainer,
        assembly: Assembly,
        *,
        checkpoints: CheckpointStore,
        run: RunFolder,
        replay: Callable[[list[Made]], None],
    ) -> None:
        self._trainer, self._assembly, self._run = trainer, assembly, run
        self._checkpoints, self._replay = checkpoints, replay
        self._start: tuple[dict[str, Tensor], dict[str, Any]] | None = None

    def begin(self) -> None:
        """At the start of an attempt: go on from the newest checkpoint, or keep the state there is."""
        if self._trainer.learner.ranks.share(self._checkpoints.newest()) is None:
            with self._trainer.learner.exported():
                weights = {name: t.cpu().clone() for name, t in self._assembly.model.state_dict().items()}
            self._start = weights, copy.deepcopy(self._trainer.state_dict())
        self.restore()

    def forget_start(self) -> None:
        """There is a checkpoint now."""
        self._start = None

    def restore(self) -> None:
        """Go back, and have every change since made again at its step."""
        ranks = self._trainer.learner.ranks
        newest = ranks.share(self._checkpoints.newest())
        if newest is not None:
            load_saved(newest / WEIGHTS, self._assembly.model)
            self._trainer.load_state_dict(load_state(newest))
        elif self._start is not None:
            weights, state = self._start
            self._assembly.model.load_state_dict(weights)
            self._trainer.load_state_dict(copy.deepcopy(state))
        else:
            raise TrainingError(f"No checkpoint is left in {self._run.checkpoints} to go back to. Start the run again.")
        made = changes_to_make(self._assembly.settings, self._run, newest) if ranks.is_first else []
        self._replay(ranks.share(made))
        self._assembly.freezing.set_epoch(self._trainer.position.epoch)


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
