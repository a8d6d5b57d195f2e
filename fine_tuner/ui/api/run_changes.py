"""``POST api/runs/ID/set``: change the rate or the length of a run that trains, between two of its steps."""

from __future__ import annotations

import threading
from typing import Any

from fastapi import APIRouter, HTTPException

from fine_tuner.base.errors import ConfigError, RunError
from fine_tuner.config.live_changes import EPOCHS, checked
from fine_tuner.runs import control
from fine_tuner.runs.store import RunStore
from fine_tuner.runs.view.status import look
from fine_tuner.ui.api import texts


class RunChangeRoutes:
    """The route, on the runs."""

    def __init__(self, store: RunStore) -> None:
        self._store = store
        self._one_at_a_time = threading.Lock()

    def router(self) -> APIRouter:
        """Of the one route; goes before the routes of runs, which take any action."""
        router = APIRouter(prefix="/api")
        router.post("/runs/{run_id}/set")(self.change)
        return router

    def change(self, run_id: str, change: dict[str, Any]) -> dict[str, Any]:
        """Hand a change to the run's worker, which makes it before its next step."""
        try:
            asked = checked(change)
        except ConfigError as error:
            raise HTTPException(422, str(error)) from None
        try:
            run = self._store.get(run_id)
        except RunError as error:
            raise HTTPException(404, str(error)) from None
        if not look(run).is_training:
            raise HTTPException(409, texts.NOT_TRAINING.format(run=run_id))
        facts = self._store.view(run_id).facts
        if (epochs := asked.get(EPOCHS.path)) and epochs * facts.steps_per_epoch <= facts.step:
            raise HTTPException(422, texts.EPOCHS_OVER.format(epochs=epochs, done=facts.step // facts.steps_per_epoch))
        with self._one_at_a_time:
            if "set" in control.pending(run):
                raise HTTPException(409, texts.CHANGE_WAITS)
            control.request(run, "set", **asked)
        return {"run": run_id, "asked": asked}
