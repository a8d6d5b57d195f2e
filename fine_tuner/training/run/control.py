"""Wishes from outside, asked for between steps: requests in ``control/`` and signals."""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping
from types import FrameType
from typing import Any, Literal

from fine_tuner.runs.control import clear, pending
from fine_tuner.runs.layout import RunFolder

Wish = Literal["stop", "pause"]


class RunControl:
    """What the user wants of the run. SIGINT, SIGTERM and SIGHUP are the wish to stop.

    A second SIGINT interrupts at once, for a person who does not want to wait for the step.
    """

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._is_signalled = False
        self._replays: list[tuple[int, Mapping[str, Any]]] = []
        self._pending: dict[str, Mapping[str, Any]] = {}

    def listen(self) -> None:
        """Take SIGINT, SIGTERM and SIGHUP as the wish to stop, unless nohup ignores it; in the main thread only."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._on_signal)
            signal.signal(signal.SIGINT, self._on_signal)
            if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
                signal.signal(signal.SIGHUP, self._on_signal)  # the terminal was closed

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._is_signalled and number == signal.SIGINT:
            signal.default_int_handler(number, frame)  # raises KeyboardInterrupt
        self._is_signalled = True

    def wanted(self) -> Wish | None:
        """The wish to end this attempt, if there is one."""
        requests = pending(self._run)
        if self._is_signalled or "stop" in requests:
            return "stop"
        return "pause" if "pause" in requests else None

    def changes(self, step: int) -> list[Mapping[str, Any]]:
        """Settings to change after ``step`` steps: those of an earlier attempt that died since, then the new ones."""
        due = [wish for at, wish in self._replays if at <= step]
        self._replays = [(at, wish) for at, wish in self._replays if at > step]
        self._pending = pending(self._run)  # looked at once for all that is asked between two steps
        wish = self._pending.get("set")
        if wish is not None:
            clear(self._run, "set")
            due.append(wish)
        return due

    def replay(self, changes: list[tuple[int, Mapping[str, Any]]]) -> None:
        """Make these changes again, each after the steps given."""
        self._replays = list(changes)

    def wants_checkpoint(self) -> bool:
        """Whether a checkpoint was asked for, when ``changes`` last looked."""
        return self._take("checkpoint")

    def wants_evaluation(self) -> bool:
        """Whether an evaluation was asked for, when ``changes`` last looked."""
        return self._take("evaluate")

    def _take(self, what: str) -> bool:
        wanted = self._pending.pop(what, None) is not None
        if wanted:
            clear(self._run, what)
        return wanted

    def done(self) -> None:
        """Forget the wishes: they are fulfilled."""
        clear(self._run, "stop", "pause")
