"""Rates: those planned, at once while fields change, and those of a run at work, changed between two of its steps.

=========================  ==============================================================================
``POST api/rates``         the planned rates for the settings in the form and the last plan's numbers
``POST api/runs/ID/set``   change the rate or the length of a run that trains
=========================  ==============================================================================
"""

from __future__ import annotations

import json
import threading
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fine_tuner.base.errors import RunError
from fine_tuner.runs import control
from fine_tuner.runs.store import RunStore
from fine_tuner.runs.view.status import look
from fine_tuner.ui import texts
from fine_tuner.ui.api.routes import Question, checked_argv
from fine_tuner.ui.form.folders import Allowed
from fine_tuner.ui.form.updates import settings_of_argv
from fine_tuner.ui.jobs.finder import refuse_cross_site
from fine_tuner.ui.jobs.plans import Questions

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class RatesQuestion(Question):
    """What the page asks while a field of the schedule changes.

    Attributes:
        steps_per_epoch: Of the last plan.
        group_lrs: Of the last plan; their proportions count, the head's is that of the settings.
    """

    steps_per_epoch: Annotated[int, Field(ge=1, le=10**9)]
    group_lrs: Annotated[dict[str, Positive], Field(min_length=1, max_length=64)]


class Change(BaseModel):
    """What to change of a run at work, by the names of ``set``; exactly one of the rates, or the epochs, or both."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    lr_factor: float | None = Field(None, gt=0, le=1000, allow_inf_nan=False)
    lr: float | None = Field(None, alias="optim.lr", gt=0, le=100, allow_inf_nan=False)
    epochs: int | None = Field(None, alias="train.epochs", ge=1, le=100_000)


def _checked(change: dict[str, Any]) -> dict[str, Any]:
    """What is wished, by the names of ``set``; raises 422 with a sentence for a person."""
    try:
        wish = Change.model_validate(change).model_dump(by_alias=True, exclude_none=True)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_context=False)
        problems = [f"{'.'.join(map(str, e['loc']))} {e['input']!r:.40}: {e['msg']}." for e in wrong]
        raise HTTPException(422, " ".join(problems)) from None
    if not wish or ("lr_factor" in wish and "optim.lr" in wish):
        raise HTTPException(422, texts.CHANGE_ONE)
    return wish


class RateRoutes:
    """The routes, on what is asked of the assistant and on the runs."""

    def __init__(self, questions: Questions, store: RunStore, allowed: Allowed) -> None:
        self._questions = questions
        self._store = store
        self._allowed = allowed
        self._one_at_a_time = threading.Lock()

    def router(self) -> APIRouter:
        """All of them; goes before the routes of runs, which take any action."""
        router = APIRouter(prefix="/api")
        router.post("/rates")(self.rates)
        router.post("/runs/{run_id}/set")(self.change)
        return router

    def rates(self, question: RatesQuestion) -> dict[str, Any]:
        """The planned rates, before the plan that reads the data has come."""
        argv = checked_argv(question, self._allowed)
        if not isinstance(argv, list):
            return argv.to_json()
        settings = settings_of_argv(argv)
        head = max(question.group_lrs.values())
        lrs = {name: settings.optim.lr * (lr / head) for name, lr in question.group_lrs.items()}
        steps = ["--steps-per-epoch", str(question.steps_per_epoch)]
        steps += ["--total-steps", str(question.steps_per_epoch * settings.train.epochs)]
        command = ["preview-schedule", *argv, *steps, "--groups", json.dumps(lrs), "--json"]
        return self._questions.answer(command, visitor=question.visitor, number=question.number).to_json()

    def change(self, run_id: str, change: dict[str, Any], request: Request) -> dict[str, Any]:
        """Hand a change to the run's worker, which makes it before its next step."""
        refuse_cross_site(request)
        wish = _checked(change)
        try:
            run = self._store.get(run_id)
        except RunError as error:
            raise HTTPException(404, str(error)) from None
        if not look(run).is_training:
            raise HTTPException(409, texts.NOT_TRAINING.format(run=run_id))
        facts = self._store.view(run_id).counters
        if (epochs := wish.get("train.epochs")) and epochs * facts.steps_per_epoch <= facts.step:
            raise HTTPException(422, texts.EPOCHS_OVER.format(epochs=epochs, done=facts.step // facts.steps_per_epoch))
        with self._one_at_a_time:
            if "set" in control.pending(run):
                raise HTTPException(409, texts.CHANGE_WAITS)
            control.request(run, "set", **wish)
        return {"run": run_id, "asked": wish}
