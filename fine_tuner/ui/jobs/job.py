"""A job: work of seconds to hours that the page starts, follows, may cancel, and whose result it keeps.

A job does one piece of work at a time, in a thread that waits for the process where it runs. Its state is kept here, so
that any number of pages may watch, and one that comes later finds the result. What is done is a ``Work``: a command
line answered by an assistant (``Command``), or a function that asks itself whether to stop (``Stoppable``).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from fine_tuner.launch.assistant import CANCELLED, Assistant, Reply, Ticket
from fine_tuner.ui.jobs import texts
from fine_tuner.ui.jobs.questions import Answer, read_reply

SAID_CHARACTERS = 200
Hear = Callable[[Mapping[str, Any]], None]
"""Takes an event of ``cli/progress.py``: ``progress``, ``done``, ``total``, and what belongs to the kind of work."""


class Work(Protocol):
    """Something to do, once."""

    def run(self, hear: Hear) -> Answer | None:
        """Do it and wait for its end; None if it was cancelled."""

    def cancel(self) -> None:
        """End it, wherever it is: it never begins if it waits for its turn. Nobody else's work is touched."""


class Command:
    """A command line with ``--json``.

    Args:
        assistant: Who runs it.
        argv: The command line without the program.
        timeout: Seconds from its turn on; None: as the assistant says.
        then: Called at the end, with the reply.
    """

    def __init__(
        self,
        assistant: Assistant,
        argv: Sequence[str],
        *,
        timeout: float | None = None,
        then: Callable[[Reply], object] = lambda reply: None,
    ) -> None:
        self._assistant = assistant
        self._argv = list(argv)
        self._timeout = timeout
        self._then = then
        self._ticket = Ticket()

    def run(self, hear: Hear) -> Answer | None:
        """The JSON that it prints, or its errors."""

        def on_line(line: str) -> None:
            event = read_event(line)
            if event is not None:
                hear(event)

        reply = self._assistant.call(self._argv, self._timeout, on_line=on_line, ticket=self._ticket)
        self._then(reply)
        return None if reply.code == CANCELLED else read_reply(reply)

    def cancel(self) -> None:
        """End this request of the assistant's."""
        self._assistant.cancel(self._ticket)


class Stoppable:
    """A function that is given ``hear`` and ``should_stop`` and returns its result as JSON values."""

    def __init__(self, function: Callable[[Hear, Callable[[], bool]], Mapping[str, Any]]) -> None:
        self._function = function
        self._stop = threading.Event()

    def run(self, hear: Hear) -> Answer | None:
        """What the function returns."""
        if self._stop.is_set():
            return None
        value = self._function(hear, self._stop.is_set)
        return None if self._stop.is_set() else Answer(value=value)

    def cancel(self) -> None:
        """Have it told."""
        self._stop.set()


class Turn:
    """Jobs of which one works at a time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.jobs: list[Job] = []


class Job:
    """One kind of work, again and again; safe to use from several threads.

    Args:
        turn: Shared with the jobs that may not work at the same time; None: with none.
        replaces: New work ends that which is under way; else it is not begun.
    """

    def __init__(self, turn: Turn | None = None, *, replaces: bool = False) -> None:
        self._turn = turn or Turn()
        self._turn.jobs.append(self)
        self._replaces = replaces
        self._number = 0
        self._began = 0.0
        self._work: Work | None = None
        self._state: dict[str, Any] = {"status": "idle"}
        self._points: list[Any] = []

    @property
    def is_running(self) -> bool:
        """Whether work is under way, or waits for its turn."""
        return self._work is not None

    def start(self, make: Callable[[int], Work], **about: Any) -> bool:
        """Begin in the background; False if other work is under way and is not replaced.

        Args:
            make: The work, given its number.
            about: What the state says beside: JSON values.
        """
        with self._turn.lock:
            if any(job.is_running for job in self._turn.jobs if job is not self or not self._replaces):
                return False
            before, self._number = self._work, self._number + 1
            work = self._work = make(self._number)
            self._began, self._points = time.monotonic(), []
            self._state = {"status": "running", "number": self._number, "says": "", "done": 0, "total": None, **about}
            number = self._number
        if before is not None:
            before.cancel()
        threading.Thread(target=self._run, args=(work, number), name="job", daemon=True).start()
        return True

    def cancel(self, number: int | None = None) -> bool:
        """End the work under way, or only if it is ``number``; False if there was nothing to end."""
        with self._turn.lock:
            work = self._work
            if work is None or number not in (None, self._number):
                return False
            self._end({"status": "cancelled"})
        work.cancel()
        return True

    def state(self) -> dict[str, Any]:
        """Where it stands; JSON values.

        ``status`` is idle, running, done, failed or cancelled. With work there are its ``number``, what it ``says``,
        ``done`` of ``total``, its ``points`` so far, ``seconds``, and what ``start`` was told about it; at the end its
        ``result``, or ``errors`` by dotted path of a setting.
        """
        with self._turn.lock:
            state = dict(self._state)
            if self._work is not None:
                state["seconds"] = time.monotonic() - self._began
            return state | ({"points": list(self._points)} if self._points else {})

    def _run(self, work: Work, number: int) -> None:
        try:
            answer = work.run(lambda event: self._hear(event, number))
        except Exception as error:  # the page must hear of it, whatever it was
            answer = Answer(errors={"": texts.JOB_BROKE.format(error=f"{type(error).__name__}: {error}")})
        with self._turn.lock:
            if self._number != number or self._work is None:  # cancelled or replaced meanwhile
                return
            if answer is None:
                self._end({"status": "cancelled"})
            elif answer.value is None:
                self._end({"status": "failed", "errors": dict(answer.errors)})
            else:
                self._end({"status": "done", "result": answer.value})

    def _hear(self, event: Mapping[str, Any], number: int) -> None:
        with self._turn.lock:
            if self._number != number or self._work is None:
                return
            says = str(event["progress"])[:SAID_CHARACTERS]
            self._state |= {"says": says, "done": event.get("done", 0), "total": event.get("total")}
            if "point" in event:
                self._points.append(event["point"])

    def _end(self, end: Mapping[str, Any]) -> None:
        """Keep the end; the lock is held."""
        self._work = None
        self._state |= {**end, "seconds": time.monotonic() - self._began}


def read_event(line: str) -> dict[str, Any] | None:
    """The progress event on a line; None for any other line."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "progress" in event else None
