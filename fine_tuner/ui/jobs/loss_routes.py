"""The Loss section's routes: curves of a loss, and the editor and check of the user's own.

The user's code is text here. It runs in the child process of a check, and in a run that Train starts.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, Field

from fine_tuner.base.errors import ConfigError, InputError
from fine_tuner.config.io import to_tree
from fine_tuner.config.sections.losses import CustomLoss
from fine_tuner.config.settings import TASKS, Settings
from fine_tuner.losses.code import MAX_BYTES
from fine_tuner.losses.templates import templates_for
from fine_tuner.planning.loss_checks import custom_losses, last_report
from fine_tuner.ui.form.argv import argv_of, settings_of_argv
from fine_tuner.ui.form.folders import CUSTOM, path_errors
from fine_tuner.ui.jobs import texts
from fine_tuner.ui.jobs.loss_files import ConflictError, LossFiles
from fine_tuner.ui.jobs.questions import Answer
from fine_tuner.ui.jobs.services import Services

Argv = Annotated[list[Annotated[str, Field(max_length=4096)]], Field(max_length=200)]


class CurveQuestion(BaseModel):
    """Which loss to draw; see ``routes.Question``."""

    argv: Argv
    visitor: Annotated[str, Field(max_length=64)] = ""
    number: int = 0


class CheckRequest(BaseModel):
    """Which loss of these settings to check: ``loss`` or ``second_loss``."""

    argv: Argv
    section: Annotated[str, Field(pattern="^(loss|second_loss)$")] = "loss"


class CodeFile(BaseModel):
    """Text for a file; ``base`` is the hash of what the editor read from there, empty for a new file."""

    path: Annotated[str, Field(max_length=4096)]
    text: Annotated[str, Field(max_length=MAX_BYTES)]
    base: Annotated[str, Field(max_length=64)] = ""


class LossRoutes:
    """The routes on the app's services; all of them are the owner's."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._files = LossFiles(services.allowed, services.losses_folder)

    def router(self) -> APIRouter:
        """All of them."""
        router = APIRouter(prefix="/api/loss")
        router.post("/curve")(self.curve)
        router.get("/code")(self.code)
        router.get("/file")(self.read_file)
        router.post("/file")(self.write_file)
        router.post("/check")(self.check)
        router.get("/check/{name}")(self.check_state)
        router.post("/check/{name}/cancel")(self.cancel)
        return router

    # ------------------------------------------------------------- curves
    def curve(self, question: CurveQuestion) -> dict[str, Any]:
        """Value and gradient of the loss chosen; of the user's own what its last check has drawn."""
        try:
            settings = settings_of_argv(question.argv)
        except ConfigError as error:
            return Answer(errors=error.fields).to_json()
        if CUSTOM in (settings.loss.name, settings.second_loss.name):
            return self._curve_of_code(settings).to_json()
        command = ["loss-curve", *argv_of(settings), "--json"]
        return self._services.questions.answer(command, visitor=question.visitor, number=question.number).to_json()

    def _curve_of_code(self, settings: Settings) -> Answer:
        errors = path_errors(to_tree(settings), self._services.allowed)
        if errors:
            return Answer(errors=errors)
        loss: CustomLoss = next(iter(custom_losses(settings).values()))
        report = last_report(loss, task=settings.task) or {}
        about = {"name": report.get("entry") or loss.file.rpartition("/")[2], "task": settings.task}
        return Answer(value={**about, "formula": "", "source": "", "panels": report.get("panels", [])})

    # ------------------------------------------------------------- code
    def code(self, task: Annotated[str, Query(max_length=40)]) -> dict[str, Any]:
        """Whether code may be written here, where it goes, and what to start from."""
        if task not in TASKS:
            raise HTTPException(404, f"There is no task {task!r}. Tasks: {', '.join(TASKS)}.")
        is_allowed = self._services.allowed.code
        offered = templates_for(task) if is_allowed else ()
        return {
            "allowed": is_allowed,
            "reason": self._services.allowed.why_no_code,
            "folder": str(self._files.folder),
            "templates": [{"label": t.label, "text": t.text} for t in offered],
        }

    def read_file(self, path: Annotated[str, Query(max_length=4096)]) -> dict[str, Any]:
        """A file for the editor."""
        self._require_code()
        try:
            return self._files.read(path)
        except InputError as error:
            raise HTTPException(404, str(error)) from None

    def write_file(self, file: CodeFile) -> dict[str, Any]:
        """Save what the editor holds."""
        self._require_code()
        try:
            return self._files.write(file.path, file.text, base=file.base)
        except ConflictError as error:
            raise HTTPException(409, str(error)) from None
        except InputError as error:
            raise HTTPException(422, str(error)) from None

    # ------------------------------------------------------------- check
    def check(self, request: CheckRequest) -> dict[str, Any]:
        """Begin a check: ``{"check": id}``, or ``{"errors": ...}`` by dotted path."""
        self._require_code()
        try:
            settings = settings_of_argv(request.argv)
        except ConfigError as error:
            return {"check": None, "errors": dict(error.fields)}
        errors = path_errors(to_tree(settings), self._services.allowed)
        if not errors and request.section not in custom_losses(settings):
            errors = {f"{request.section}.name": texts.NO_CODE_CHOSEN}
        if errors:
            return {"check": None, "errors": errors}
        return {"check": self._services.loss_checks.start(settings, request.section), "errors": {}}

    def check_state(self, name: str) -> dict[str, Any]:
        """How far a check is; its report at the end."""
        self._require_code()
        state = self._services.loss_checks.state(name)
        if state is None:
            raise HTTPException(404, texts.NO_CHECK)
        return state

    def cancel(self, name: str) -> dict[str, Any]:
        """End a check."""
        self._require_code()
        return {"cancelled": self._services.loss_checks.cancel(name)}

    def _require_code(self) -> None:
        if not self._services.allowed.code:
            raise HTTPException(403, self._services.allowed.why_no_code)
