"""The state that a run goes back to: when it is resumed, and when its numbers went bad."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from torch import Tensor

from fine_tuner.base.errors import TrainingError
from fine_tuner.models.saved import load_saved
from fine_tuner.runs.layout import RunFolder
from fine_tuner.tasks.build import Assembly
from fine_tuner.training.loop.trainer import Trainer
from fine_tuner.training.recovery.checkpoint import WEIGHTS, CheckpointStore, load_state
from fine_tuner.training.recovery.replayed_changes import Made, changes_to_make


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
        if self._checkpoints.newest() is None:
            with self._trainer.learner.exported():
                weights = {name: t.cpu().clone() for name, t in self._assembly.model.state_dict().items()}
            self._start = weights, copy.deepcopy(self._trainer.state_dict())
        self.restore()

    def forget_start(self) -> None:
        """There is a checkpoint now."""
        self._start = None

    def restore(self) -> None:
        """Go back, and have every change since made again at its step."""
        newest = self._checkpoints.newest()
        if newest is not None:
            load_saved(newest / WEIGHTS, self._assembly.model)
            self._trainer.load_state_dict(load_state(newest))
        elif self._start is not None:
            weights, state = self._start
            self._assembly.model.load_state_dict(weights)
            self._trainer.load_state_dict(copy.deepcopy(state))
        else:
            raise TrainingError(f"No checkpoint is left in {self._run.checkpoints} to go back to. Start the run again.")
        self._replay(changes_to_make(self._assembly.settings, self._run, newest))
        self._assembly.freezing.set_epoch(self._trainer.position.epoch)
