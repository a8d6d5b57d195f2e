"""Wishes from outside, asked for between steps: requests in ``control/`` and signals."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Literal

from fine_tuner.runs.control import clear, pending
from fine_tuner.runs.layout import RunFolder

Wish = Literal["stop", "pause"]


class RunControl:
    """What the user wants of the run. SIGINT and SIGTERM are the wish to stop.

    A second SIGINT interrupts at once, for a person who does not want to wait for the step.
    """

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._is_signalled = False

    def listen(self) -> None:
        """Take SIGINT and SIGTERM as the wish to stop; only the main thread can."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._on_signal)
            signal.signal(signal.SIGINT, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._is_signalled and number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self._is_signalled = True

    def wanted(self) -> Wish | None:
        """The wish to end this attempt, if there is one."""
        requests = pending(self._run)
        if self._is_signalled or "stop" in requests:
            return "stop"
        return "pause" if "pause" in requests else None

    def done(self) -> None:
        """Forget the wishes: they are fulfilled."""
        clear(self._run, "stop", "pause")
