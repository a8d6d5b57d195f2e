"""How a command tells on standard error how far it is: a bar or lines for people, events for programs (``--json``).

An event is one line of strict JSON, ``{"progress": "Decoding images", "done": 256, "total": 10000}``; ``total`` is null
where nobody knows. What belongs to one kind of work comes beside it: ``find-lr`` adds ``"point": [rate, loss]``. Other
lines on standard error are warnings, of ours or of a library.
"""

from __future__ import annotations

import atexit
import json
import sys
import time
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Tell(Protocol):
    """Takes what is done at present; ``more`` is for programs only."""

    def __call__(self, what: str, done: float, total: float | None = None, **more: Any) -> None:
        """Say that ``what`` is at ``done`` of ``total``."""


def progress_lines(*, is_json: bool, pause_seconds: float = 0.0) -> Tell:
    """Tells on standard error: a bar with the time left in a terminal, else at most a line per ``pause_seconds``."""
    if not is_json and sys.stderr.isatty():
        return Bar()
    told_at = time.monotonic() if pause_seconds else float("-inf")

    def tell(what: str, done: float, total: float | None = None, **more: Any) -> None:
        nonlocal told_at
        now = time.monotonic()
        if now - told_at < pause_seconds:
            return
        told_at = now
        if is_json:
            event = {"progress": what, "done": round(done), "total": total and round(total), **more}
            line = json.dumps(event, allow_nan=False)
        else:
            line = f"{what} {done:.0f}" + (f"/{total:.0f}" if total else "")
        sys.stderr.write(line + "\n")
        sys.stderr.flush()

    return tell


class Bar:
    """One line of a terminal: what is done, how much of it, and the time left; it is gone once that is done."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __call__(self, what: str, done: float, total: float | None = None, **more: Any) -> None:
        """See ``Tell``."""
        if total is not None and done >= total:
            self.close()
            return
        if self._progress is None:
            self._progress = _progress_line()
            self._progress.start()
            self._task = self._progress.add_task(what, total=total)
            atexit.register(self.close)  # a terminal gets its cursor back, however the command ends
        assert self._task is not None
        self._progress.update(self._task, description=what, completed=done, total=total)

    def close(self) -> None:
        """Take the line away; does nothing if there is none."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
            atexit.unregister(self.close)


def _progress_line() -> Progress:
    """Rich is loaded where somebody looks only."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(),
        console=Console(stderr=True), transient=True, refresh_per_second=4,
    )  # fmt: skip
