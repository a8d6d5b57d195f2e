"""The set-up's routes: plans, previews, planned rates, networks. All of them are the owner's.

Sync functions: FastAPI runs them in threads, so a question that waits for the assistant holds up nobody else.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import FileResponse
from pydantic import Field

from fine_tuner.config.argv import settings_of_argv
from fine_tuner.config.settings import TASKS
from fine_tuner.ui.jobs import texts
from fine_tuner.ui.jobs.questions import Answer, Question, checked_argv
from fine_tuner.ui.jobs.services import Services

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class RatesQuestion(Question):
    """What the page asks while a field of the schedule changes.

    Attributes:
        steps_per_epoch: Of the last plan.
        group_lrs: Of the last plan; their proportions count, the head's is that of the settings.
    """

    steps_per_epoch: Annotated[int, Field(ge=1, le=10**9)]
    group_lrs: Annotated[dict[str, Positive], Field(min_length=1, max_length=64)]


class PlanQuestion(Question):
    """What the page asks once nobody touches the settings.

    Attributes:
        measure: Time a few steps, where no speed of the network is known.
    """

    measure: bool = False


class SetupRoutes:
    """The routes on the app's services."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def router(self) -> APIRouter:
        """All of them."""
        router = APIRouter(prefix="/api")
        router.post("/plan")(self.plan)
        router.post("/preview")(self.preview)
        router.get("/preview/{key}/{name}")(self.picture)
        router.post("/rates")(self.rates)
        router.get("/networks")(self.networks)
        return router

    def plan(self, question: PlanQuestion) -> dict[str, Any]:
        """What a run with these settings would do."""
        argv = checked_argv(question, self._services.allowed)
        if isinstance(argv, Answer):
            return argv.to_json()
        command = ["plan", *argv, *(["--measure"] if question.measure else []), "--json"]
        answer = self._services.questions.answer(command, visitor=question.visitor, number=question.number)
        return answer.to_json()

    def preview(self, question: Question) -> dict[str, Any]:
        """Training images as the network would see them."""
        argv = checked_argv(question, self._services.allowed)
        if isinstance(argv, Answer):
            return argv.to_json()
        asked = question.model_dump(include={"draw", "visitor", "number", "only"})
        return self._services.previews.make(argv, **asked).to_json()

    def picture(self, key: str, name: str) -> FileResponse:
        """One picture of a preview."""
        path = self._services.previews.path(key, name)
        if path is None:
            raise HTTPException(404, texts.NO_PICTURE)
        return FileResponse(path, media_type="image/png", headers={"Cache-Control": "private, max-age=3600"})

    def networks(self, task: Annotated[str, Query(max_length=40)]) -> dict[str, Any]:
        """The networks for a task, or that their list is being made."""
        if task not in TASKS:
            raise HTTPException(404, f"There is no task {task!r}. Tasks: {', '.join(TASKS)}.")
        return self._services.networks.state(task)

    def rates(self, question: RatesQuestion) -> dict[str, Any]:
        """The planned rates, before the plan that reads the data has come."""
        argv = checked_argv(question, self._services.allowed)
        if not isinstance(argv, list):
            return argv.to_json()
        settings = settings_of_argv(argv)
        head = max(question.group_lrs.values())
        lrs = {name: settings.optim.lr * (lr / head) for name, lr in question.group_lrs.items()}
        steps = ["--steps-per-epoch", str(question.steps_per_epoch)]
        steps += ["--total-steps", str(question.steps_per_epoch * settings.train.epochs)]
        command = ["preview-schedule", *argv, *steps, "--groups", json.dumps(lrs), "--json"]
        return self._services.rates.answer(command, visitor=question.visitor, number=question.number).to_json()
