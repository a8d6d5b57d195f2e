"""The learning-rate finder on the page: one sweep at a time, in a process of its own, so that plans go on meanwhile.

=========================  ==============================================================================
``POST api/finder``        start a sweep for the settings in the form; 409 while one is under way
``GET api/finder``         how far it is, the points so far, its result or what went wrong
``POST api/finder/cancel`` end it; nothing is left behind
=========================  ==============================================================================
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException
from pydantic import Field

from fine_tuner.launch.assistant import CANCELLED, Assistant, Reply
from fine_tuner.ui.form.folders import CUSTOM, Allowed
from fine_tuner.ui.jobs import texts
from fine_tuner.ui.jobs.checked import Question, checked_argv
from fine_tuner.ui.jobs.questions import read_reply

STEPS = 100
_POINT = re.compile(r"^step (\d+)/(\d+)  lr (\S+)  loss (\S+)$")


class Sweep(Question):
    """A question for the finder.

    Attributes:
        steps: Of the sweep.
    """

    steps: Annotated[int, Field(ge=2, le=1000)] = STEPS


class Finder:
    """One sweep of ``find-lr`` after another; safe to use from several threads.

    A loss of the user's own is swept as it trains, once it has passed its check; the process ends with the sweep.

    Args:
        assistant: Runs it; of its own, since cancelling ends the process.
    """

    def __init__(self, assistant: Assistant) -> None:
        self._assistant = assistant
        self._lock = threading.Lock()
        self._number = 0
        self._state: dict[str, Any] = {"status": "idle"}
        self._points: list[tuple[float, float]] = []

    @property
    def is_running(self) -> bool:
        """Whether a sweep is under way."""
        return self._state["status"] == "running"

    def start(self, argv: Sequence[str], steps: int) -> bool:
        """Begin a sweep in the background; False if one is under way."""
        with self._lock:
            if self.is_running:
                return False
            self._number += 1
            self._points = []
            self._state = {"status": "running", "number": self._number, "done": 0, "steps": steps, "says": ""}
        command = ["find-lr", *argv, "--steps", str(steps), "--json"]
        threading.Thread(target=self._run, args=(command, self._number), name="finder", daemon=True).start()
        return True

    def cancel(self) -> None:
        """End the sweep under way, if there is one."""
        with self._lock:
            if not self.is_running:
                return
            self._state = {"status": "cancelled", "number": self._number}
        self._assistant.cancel()
        threading.Thread(target=self._assistant.start, name="finder-again", daemon=True).start()

    def state(self) -> dict[str, Any]:
        """``status`` (idle, running, done, failed, cancelled), and what goes with it; JSON-able."""
        with self._lock:
            return dict(self._state) | {"points": list(self._points)}

    def close(self) -> None:
        """End the process."""
        self._assistant.close()

    def _run(self, command: Sequence[str], number: int) -> None:
        reply = self._assistant.call(command, on_line=lambda line: self._hear(line, number))
        if any(word.endswith(f".name={CUSTOM}") for word in command):  # nothing else meets what it left behind
            self._assistant.renew()
        end = self._end_of(reply)
        with self._lock:
            if self._number == number and self.is_running:
                self._state = end | {"number": number}

    def _hear(self, line: str, number: int) -> None:
        """Take a line of progress: a point of the curve, or what is done before the first."""
        found = _POINT.match(line.strip())
        with self._lock:
            if self._number != number or not self.is_running:
                return
            if found is None:
                self._state["says"] = line.strip()[:200]
                return
            done, steps, lr, loss = found.groups()
            self._state |= {"done": int(done), "steps": int(steps), "says": ""}
            if loss not in ("nan", "inf", "-inf"):
                self._points.append((float(lr), float(loss)))

    @staticmethod
    def _end_of(reply: Reply) -> dict[str, Any]:
        if reply.code == CANCELLED:
            return {"status": "cancelled"}
        answer = read_reply(reply)
        if answer.value is None:
            return {"status": "failed", "errors": dict(answer.errors)}
        return {"status": "done", "result": answer.value}


class FinderRoutes:
    """The routes on a finder; the guard lets only the owner reach them."""

    def __init__(self, finder: Finder, allowed: Allowed) -> None:
        self._finder = finder
        self._allowed = allowed

    def router(self) -> APIRouter:
        """All of them."""
        router = APIRouter(prefix="/api/finder")
        router.get("")(self.state)
        router.post("")(self.start)
        router.post("/cancel")(self.cancel)
        return router

    def state(self) -> dict[str, Any]:
        """Where the sweep stands."""
        return self._finder.state()

    def start(self, sweep: Sweep) -> dict[str, Any]:
        """Begin; with wrong settings nothing is started and the answer says which."""
        argv = checked_argv(sweep, self._allowed, keep_code=True)
        if not isinstance(argv, list):
            return {"status": "failed", "errors": dict(argv.errors)}
        if not self._finder.start(argv, sweep.steps):
            raise HTTPException(409, texts.FINDER_BUSY)
        return self._finder.state()

    def cancel(self) -> dict[str, Any]:
        """End it; asking twice is asking once."""
        self._finder.cancel()
        return self._finder.state()
