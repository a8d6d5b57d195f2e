"""``POST api/runs/ID/set``: change the rate or the length of a run that trains, between two of its steps."""

from __future__ import annotations

import threading
from typing import Any

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fine_tuner.base.errors import RunError
from fine_tuner.runs import control
from fine_tuner.runs.store import RunStore
from fine_tuner.runs.view.status import look
from fine_tuner.ui.api import texts


class RunChange(BaseModel):
    """What to change of a run at work, by the names of ``set``; exactly one of the rates, or the epochs, or both."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    lr_factor: float | None = Field(None, gt=0, le=1000, allow_inf_nan=False)
    lr: float | None = Field(None, alias="optim.lr", gt=0, le=100, allow_inf_nan=False)
    epochs: int | None = Field(None, alias="train.epochs", ge=1, le=100_000)


def _checked(change: dict[str, Any]) -> dict[str, Any]:
    """What is wished, by the names of ``set``; raises 422 with a sentence for a person."""
    try:
        asked = RunChange.model_validate(change).model_dump(by_alias=True, exclude_none=True)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_context=False)
        problems = [f"{'.'.join(map(str, e['loc']))} {e['input']!r:.40}: {e['msg']}." for e in wrong]
        raise HTTPException(422, " ".join(problems)) from None
    if not asked or ("lr_factor" in asked and "optim.lr" in asked):
        raise HTTPException(422, texts.CHANGE_ONE)
    return asked


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
        asked = _checked(change)
        try:
            run = self._store.get(run_id)
        except RunError as error:
            raise HTTPException(404, str(error)) from None
        if not look(run).is_training:
            raise HTTPException(409, texts.NOT_TRAINING.format(run=run_id))
        facts = self._store.view(run_id).counters
        if (epochs := asked.get("train.epochs")) and epochs * facts.steps_per_epoch <= facts.step:
            raise HTTPException(422, texts.EPOCHS_OVER.format(epochs=epochs, done=facts.step // facts.steps_per_epoch))
        with self._one_at_a_time:
            if "set" in control.pending(run):
                raise HTTPException(409, texts.CHANGE_WAITS)
            control.request(run, "set", **asked)
        return {"run": run_id, "asked": asked}
