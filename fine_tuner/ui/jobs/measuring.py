"""Measurements asked for on the page: precisions compared, the largest batch found. One at a time, each in a process.

================================  =======================================================================
``POST api/measure/KIND``         start, for the settings in the form; 409 while a measurement is under way
``GET api/measure/KIND``          how far it is, its result or what went wrong
``POST api/measure/KIND/cancel``  end it; nothing is left behind
================================  =======================================================================

KIND is ``precisions`` or ``batch``. The process begins and ends with the measurement, so that what it
reads of its own memory is not that of earlier questions.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, HTTPException
from pydantic import Field

from fine_tuner.launch.assistant import CANCELLED, Assistant, Reply
from fine_tuner.ui.form.folders import Allowed
from fine_tuner.ui.jobs import texts
from fine_tuner.ui.jobs.checked import Question, checked_argv
from fine_tuner.ui.jobs.questions import Ask, read_reply

COMMANDS: Mapping[str, str] = {"precisions": "compare-precisions", "batch": "find-batch"}
_STEP = re.compile(r"^step (\d+)/(\d+)  (.+)$")


class Wish(Question):
    """A measurement that the page asks for.

    Attributes:
        global_batch: Images that are to make one step; None: as many as fit at once. Of ``batch`` only.
    """

    global_batch: Annotated[int | None, Field(ge=1, le=10_000_000)] = None


class Process(Protocol):
    """What runs one command: an ``Assistant``."""

    def call(
        self, argv: Sequence[str], timeout: float | None = None, *, on_line: Callable[[str], None] | None = None
    ) -> Reply:
        """Run it."""

    def close(self) -> None:
        """End it."""


class Asked:
    """A process in name only: ``ask`` answers."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def call(
        self, argv: Sequence[str], timeout: float | None = None, *, on_line: Callable[[str], None] | None = None
    ) -> Reply:
        """The answer."""
        reply = self._ask(argv)
        return Reply(reply.code, reply.out, reply.err)

    def close(self) -> None:
        """Nothing to end."""


class Measuring:
    """One measurement after another; safe to use from several threads.

    Args:
        make_assistant: A process that runs one command.
    """

    def __init__(self, make_assistant: Callable[[], Process] = Assistant) -> None:
        self._make = make_assistant
        self._lock = threading.Lock()
        self._number = 0
        self._running: tuple[str, Process] | None = None
        self._states: dict[str, dict[str, Any]] = {kind: {"status": "idle"} for kind in COMMANDS}

    def start(self, kind: str, argv: Sequence[str]) -> bool:
        """Begin in the background; False if a measurement is under way."""
        with self._lock:
            if self._running is not None:
                return False
            self._number += 1
            self._states[kind] = {"status": "running", "number": self._number, "done": 0, "steps": 0, "says": ""}
            assistant = self._make()
            self._running = (kind, assistant)
        command = [COMMANDS[kind], *argv, "--json"]
        threading.Thread(target=self._run, args=(kind, command, assistant), name="measuring", daemon=True).start()
        return True

    def cancel(self, kind: str) -> None:
        """End the measurement, if it is under way."""
        with self._lock:
            running = self._running
            if running is None or running[0] != kind:
                return
            self._states[kind] = {"status": "cancelled", "number": self._states[kind]["number"]}
        running[1].close()

    def state(self, kind: str) -> dict[str, Any]:
        """``status`` (idle, running, done, failed, cancelled), and what goes with it; JSON-able."""
        with self._lock:
            return dict(self._states[kind])

    def close(self) -> None:
        """End the process."""
        with self._lock:
            running = self._running
        if running is not None:
            running[1].close()

    def _run(self, kind: str, command: Sequence[str], assistant: Process) -> None:
        reply = assistant.call(command, on_line=lambda line: self._hear(kind, line))
        assistant.close()
        end = self._end_of(reply)
        with self._lock:
            self._running = None
            if self._states[kind]["status"] == "running":
                self._states[kind] = end | {"number": self._states[kind]["number"]}

    def _hear(self, kind: str, line: str) -> None:
        """Take a line of progress."""
        found = _STEP.match(line.strip())
        with self._lock:
            state = self._states[kind]
            if state["status"] != "running":
                return
            if found is None:
                state["says"] = line.strip()[:200]
            else:
                state |= {"done": int(found[1]), "steps": int(found[2]), "says": found[3][:200]}

    @staticmethod
    def _end_of(reply: Reply) -> dict[str, Any]:
        if reply.code == CANCELLED:
            return {"status": "cancelled"}
        answer = read_reply(reply)
        if answer.value is None:
            return {"status": "failed", "errors": dict(answer.errors)}
        return {"status": "done", "result": answer.value}


class MeasuringRoutes:
    """The routes on measurements; the guard lets only the owner reach them."""

    def __init__(self, measuring: Measuring, allowed: Allowed) -> None:
        self._measuring = measuring
        self._allowed = allowed

    def router(self) -> APIRouter:
        """All of them."""
        router = APIRouter(prefix="/api/measure/{kind}")
        router.get("")(self.state)
        router.post("")(self.start)
        router.post("/cancel")(self.cancel)
        return router

    def state(self, kind: str) -> dict[str, Any]:
        """Where the measurement stands."""
        return self._measuring.state(_known(kind))

    def start(self, kind: str, wish: Wish) -> dict[str, Any]:
        """Begin; with wrong settings nothing is started and the answer says which."""
        argv = checked_argv(wish, self._allowed)
        if not isinstance(argv, list):
            return {"status": "failed", "errors": dict(argv.errors)}
        if _known(kind) == "batch" and wish.global_batch is not None:
            argv = [*argv, "--global-batch", str(wish.global_batch)]
        if not self._measuring.start(kind, argv):
            raise HTTPException(409, texts.MEASURING_BUSY)
        return self._measuring.state(kind)

    def cancel(self, kind: str) -> dict[str, Any]:
        """End it; asking twice is asking once."""
        self._measuring.cancel(_known(kind))
        return self._measuring.state(kind)


def _known(kind: str) -> str:
    if kind not in COMMANDS:
        raise HTTPException(404, f"There is no measurement {kind!r}. There are: {', '.join(COMMANDS)}.")
    return kind
