"""The set-up's routes: plans, previews, networks, folders. All of them are the owner's; those of runs are in live.py.

Sync functions: FastAPI runs them in threads, so a question that waits for the assistant holds up nobody else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from fine_tuner.base.errors import ConfigError
from fine_tuner.config.io import to_tree
from fine_tuner.config.settings import TASKS
from fine_tuner.planning.loss_checks import refusals
from fine_tuner.ui import texts
from fine_tuner.ui.form.folders import Allowed, list_folders, path_errors
from fine_tuner.ui.form.form import argv_of
from fine_tuner.ui.form.updates import settings_of_argv
from fine_tuner.ui.jobs.plans import Answer

if TYPE_CHECKING:
    from fine_tuner.ui.services import Services
from fine_tuner.ui.form.without_code import without_code


class Question(BaseModel):
    """What the page asks about the settings in the form.

    Attributes:
        argv: Preset and overrides, as on the command line.
        visitor: One browser tab; with ``number`` it tells which questions are overtaken.
        draw: Which pictures; counts reshuffles.
        only: Pictures of this class; empty: of any.
    """

    argv: Annotated[list[Annotated[str, Field(max_length=4096)]], Field(max_length=200)]
    visitor: Annotated[str, Field(max_length=64)] = ""
    number: int = 0
    draw: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    only: Annotated[str, Field(max_length=400)] = ""


class Routes:
    """The routes on the app's services."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def router(self) -> APIRouter:
        """All of them."""
        router = APIRouter(prefix="/api")
        router.post("/plan")(self.plan)
        router.post("/preview")(self.preview)
        router.get("/preview/{key}/{name}")(self.picture)
        router.get("/networks")(self.networks)
        router.get("/folders")(self.folders)
        return router

    def plan(self, question: Question) -> dict[str, Any]:
        """What a run with these settings would do."""
        argv = checked_argv(question, self._services.allowed)
        if isinstance(argv, Answer):
            return argv.to_json()
        command = ["plan", *argv, "--json"]
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

    def folders(self, path: Annotated[str, Query(max_length=4096)] = "") -> dict[str, Any]:
        """Folders inside a folder, for choosing data; the allowed roots for an empty path."""
        if not path:
            return {"path": "", "folders": [str(root) for root in self._services.data_roots]}
        found = list_folders(path, self._services.allowed.roots)
        if found is None:
            raise HTTPException(404, texts.NO_SUCH_FOLDER)
        return {"path": found[0], "folders": found[1]}


def checked_argv(question: Question, allowed: Allowed, *, keep_code: bool = False) -> list[str] | Answer:
    """The command's arguments, made anew from settings that are valid and within what is allowed here.

    Args:
        question: As asked.
        allowed: What this page permits.
        keep_code: The command runs the user's own loss, so it must have passed its check. Else the task's own loss
            stands in for it, which makes no difference to a plan, to pictures and to planned rates.
    """
    try:
        settings = settings_of_argv(question.argv)
    except ConfigError as error:
        return Answer(errors=error.fields)
    errors = path_errors(to_tree(settings), allowed)
    if keep_code and not errors:
        errors = refusals(settings)
    return Answer(errors=errors) if errors else argv_of(settings if keep_code else without_code(settings))
