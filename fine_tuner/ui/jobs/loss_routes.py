"""The Loss section's routes: curves of a loss, and the editor of the user's own.

The user's code is text here. It runs in the child process of its check (``kinds.py``), and in a run that Train starts.
"""

from __future__ import annotations

import ast
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, Field

from fine_tuner.base.errors import InputError
from fine_tuner.config.argv import argv_of
from fine_tuner.config.sections.losses import CUSTOM, CustomLoss
from fine_tuner.config.settings import TASKS, Settings
from fine_tuner.losses.code import MAX_BYTES
from fine_tuner.losses.signature import keywords_of, possible_losses
from fine_tuner.losses.templates import templates_for
from fine_tuner.losses.verdicts import custom_losses
from fine_tuner.planning.loss_checks import last_report
from fine_tuner.ui.jobs.loss_files import ConflictError, LossFiles
from fine_tuner.ui.jobs.questions import Answer, Question, checked_argv, checked_settings
from fine_tuner.ui.jobs.services import Services

LOSS_PATHS = ("loss.", "second_loss.")


class CodeFile(BaseModel):
    """Text for a file.

    Attributes:
        base: Hash of what the editor read from there, empty for a new file.
        free: If something else has the name, take the next one that nothing has.
    """

    path: Annotated[str, Field(max_length=4096)]
    text: Annotated[str, Field(max_length=MAX_BYTES)]
    base: Annotated[str, Field(max_length=64)] = ""
    free: bool = False


class CodeText(BaseModel):
    """What the editor holds, and the arguments as they are set."""

    text: Annotated[str, Field(max_length=MAX_BYTES)]
    arguments: Annotated[str, Field(max_length=4096)] = ""


class LossRoutes:
    """The routes on the app's services; all of them are the owner's."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._files = LossFiles(services.allowed, services.losses_folder)

    def router(self) -> APIRouter:
        """All of them."""
        router = APIRouter(prefix="/api/loss")
        router.post("/curve")(self.curve)
        router.post("/inputs")(self.inputs)
        router.get("/code")(self.code)
        router.get("/file")(self.read_file)
        router.post("/file")(self.write_file)
        router.post("/signature")(self.signature)
        return router

    # ------------------------------------------------------------- curves
    def curve(self, question: Question) -> dict[str, Any]:
        """Value and gradient of the loss chosen; of the user's own what its last check has drawn."""
        settings = checked_settings(question, self._services.allowed, only=LOSS_PATHS)
        if isinstance(settings, Answer):
            return settings.to_json()
        if CUSTOM in (settings.loss.name, settings.second_loss.name):
            return self._curve_of_code(settings).to_json()
        command = ["loss-curve", *argv_of(settings), "--json"]
        return self._services.questions.answer(command, visitor=question.visitor, number=question.number).to_json()

    @staticmethod
    def _curve_of_code(settings: Settings) -> Answer:
        loss: CustomLoss = next(iter(custom_losses(settings).values()))
        report = last_report(loss, task=settings.task) or {}
        about = {"name": report.get("entry") or loss.file.rpartition("/")[2], "task": settings.task}
        return Answer(value={**about, "formula": "", "source": "", "panels": report.get("panels", [])})

    # ------------------------------------------------------------- code
    def inputs(self, question: Question) -> dict[str, Any]:
        """What the user's code can be given, with an example of the data chosen; none of the code is run."""
        self._require_code()
        argv = checked_argv(question, self._services.allowed)
        if isinstance(argv, Answer):
            return argv.to_json()
        command = ["loss-inputs", *argv, "--json"]
        return self._services.questions.answer(command, visitor=question.visitor, number=question.number).to_json()

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
            return self._files.write(file.path, file.text, base=file.base, free=file.free)
        except ConflictError as error:
            raise HTTPException(409, str(error)) from None
        except InputError as error:
            raise HTTPException(422, str(error)) from None

    def signature(self, code: CodeText) -> dict[str, Any]:
        """The losses that a text defines with their arguments, and what is set of these; nothing of it is run."""
        self._require_code()
        try:
            values = {k.arg: ast.unparse(k.value) for k in keywords_of(code.arguments)}
        except ValueError:  # half typed: the check says what is wrong
            values = {}
        return {"losses": [asdict(loss) for loss in possible_losses(code.text)], "values": values}

    def _require_code(self) -> None:
        if not self._services.allowed.code:
            raise HTTPException(403, self._services.allowed.why_no_code)
