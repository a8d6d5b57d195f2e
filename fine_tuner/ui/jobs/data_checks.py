"""The check of the data on the page: one at a time, in a process of its own, so that plans go on meanwhile.

===============================  ========================================================================
``POST api/check``               check the data of the settings in the form; ends one that is under way
``GET api/check``                how far it is, its report, or what went wrong
``POST api/check/cancel``        end it
``GET api/check/{number}/{name}``  a small picture of an example, made by the check
===============================  ========================================================================
"""

from __future__ import annotations

import re
import shutil
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastapi import APIRouter, HTTPException
from fastapi.responses import FileResponse

from fine_tuner.base.errors import ConfigError
from fine_tuner.config.io import to_tree
from fine_tuner.launch.assistant import CANCELLED, Assistant, Reply
from fine_tuner.ui.form.argv import check_argv, settings_of_argv
from fine_tuner.ui.form.folders import Allowed, path_errors
from fine_tuner.ui.jobs import texts
from fine_tuner.ui.jobs.checked import Question
from fine_tuner.ui.jobs.questions import read_reply

_PROGRESS = re.compile(r"^(.+) (\d+)(?:/(\d+))?$")
LONGEST_SECONDS = 24 * 3600.0  # a data set may have to be downloaded first


class DataChecks:
    """One check after another; safe to use from several threads.

    Args:
        assistant: Runs them; of its own, since cancelling ends the process.
    """

    def __init__(self, assistant: Assistant) -> None:
        self._assistant = assistant
        self._lock = threading.Lock()
        self._number = 0
        self._state: dict[str, Any] = {"status": "idle"}
        self._root: Path | None = None

    def start(self, argv: Sequence[str]) -> None:
        """Begin a check in the background; the one under way is ended."""
        self.cancel()
        with self._lock:
            self._number += 1
            number = self._number
            about = {"number": number, "argv": list(argv)}
            self._state = {"status": "running", **about, "says": "", "done": 0, "total": None}
            folder = self._new_folder(number)
        command = [*argv, "--thumbnails", str(folder), "--json"]
        threading.Thread(target=self._run, args=(command, about), name="check-data", daemon=True).start()

    def cancel(self) -> None:
        """End the check under way, if there is one."""
        with self._lock:
            if self._state["status"] != "running":
                return
            self._state = {"status": "cancelled", "number": self._number}
        self._assistant.cancel()

    def state(self) -> dict[str, Any]:
        """``status`` (idle, running, done, failed, cancelled), and what goes with it; JSON-able."""
        with self._lock:
            return dict(self._state)

    def picture(self, number: int, name: str) -> Path | None:
        """The file of a thumbnail; None if it is none of the last check's."""
        if self._root is None or number != self._number:
            return None
        path = self._root / str(number) / Path(name).name
        return path if path.suffix == ".png" and path.is_file() else None

    def close(self) -> None:
        """End the process and delete the pictures."""
        self._assistant.close()
        if self._root is not None:
            shutil.rmtree(self._root, ignore_errors=True)

    def _new_folder(self, number: int) -> Path:
        if self._root is None:
            self._root = Path(tempfile.mkdtemp(prefix="fine-tuner-check-"))
        for old in self._root.iterdir():
            shutil.rmtree(old, ignore_errors=True)
        return self._root / str(number)

    def _run(self, command: Sequence[str], about: dict[str, Any]) -> None:
        number = about["number"]
        reply = self._assistant.call(command, LONGEST_SECONDS, on_line=lambda line: self._hear(line, number))
        end = self._end_of(reply)
        with self._lock:
            if self._number == number and self._state["status"] == "running":
                self._state = end | about

    def _hear(self, line: str, number: int) -> None:
        found = _PROGRESS.match(line.strip())
        if found is None:
            return
        what, done, total = found.groups()
        with self._lock:
            if self._number == number and self._state["status"] == "running":
                self._state |= {"says": what, "done": int(done), "total": int(total) if total else None}

    @staticmethod
    def _end_of(reply: Reply) -> dict[str, Any]:
        if reply.code == CANCELLED:
            return {"status": "cancelled"}
        answer = read_reply(reply)
        if answer.value is None:
            return {"status": "failed", "errors": dict(answer.errors)}
        return {"status": "done", "report": answer.value}


class CheckRoutes:
    """The routes on the checks; the guard lets only the owner reach them."""

    def __init__(self, checks: DataChecks, allowed: Allowed) -> None:
        self._checks = checks
        self._allowed = allowed

    def router(self) -> APIRouter:
        """All of them."""
        router = APIRouter(prefix="/api/check")
        router.get("")(self.state)
        router.post("")(self.start)
        router.post("/cancel")(self.cancel)
        router.get("/{number}/{name}")(self.picture)
        return router

    def state(self) -> dict[str, Any]:
        """Where the check stands."""
        return self._checks.state()

    def start(self, question: Question) -> dict[str, Any]:
        """Begin; a path that the page may not name is refused at its setting."""
        try:
            settings = settings_of_argv(question.argv)
        except ConfigError as error:
            return {"status": "failed", "errors": dict(error.fields)}
        refused = path_errors(to_tree(settings), self._allowed)
        if errors := {path: text for path, text in refused.items() if path.startswith("data.")}:
            return {"status": "failed", "errors": errors}
        self._checks.start(check_argv(settings))
        return self._checks.state()

    def cancel(self) -> dict[str, Any]:
        """End it; asking twice is asking once."""
        self._checks.cancel()
        return self._checks.state()

    def picture(self, number: int, name: str) -> FileResponse:
        """A thumbnail."""
        path = self._checks.picture(number, name)
        if path is None:
            raise HTTPException(404, texts.NO_PICTURE)
        return FileResponse(path, media_type="image/png", headers={"Cache-Control": "private, max-age=3600"})
