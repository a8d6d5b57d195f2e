"""Wishes from outside: files below ``control/`` and signals."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Literal

Wish = Literal["stop", "pause"]


class RunControl:
    """Asked between steps. A file ``control/stop`` or ``control/pause`` is a wish, and so is SIGINT or SIGTERM.

    A second SIGINT interrupts at once, for a person who does not want to wait for the step.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._signalled = False

    def listen(self) -> None:
        """Take SIGINT and SIGTERM as the wish to stop; only from the main thread."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._on_signal)
            signal.signal(signal.SIGINT, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._signalled and number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self._signalled = True

    def wanted(self) -> Wish | None:
        """What the user wants of the run now."""
        if self._signalled or (self._folder / "stop").exists():
            return "stop"
        return "pause" if (self._folder / "pause").exists() else None

    def clear(self) -> None:
        """Forget wishes of an earlier attempt, or those just honoured."""
        for name in ("stop", "pause"):
            (self._folder / name).unlink(missing_ok=True)
