"""How a command tells on standard error how far it is: lines for people, or events for programs with ``--json``.

An event is one line of strict JSON, ``{"progress": "Decoding images", "done": 256, "total": 10000}``; ``total`` is null
where nobody knows. What belongs to one kind of work comes beside it: ``find-lr`` adds ``"point": [rate, loss]``. Other
lines on standard error are warnings, of ours or of a library.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any, Protocol


class Tell(Protocol):
    """Takes what is done at present; ``more`` is for programs only."""

    def __call__(self, what: str, done: float, total: float | None = None, **more: Any) -> None:
        """Say that ``what`` is at ``done`` of ``total``."""


def progress_lines(*, is_json: bool, pause_seconds: float = 0.0) -> Tell:
    """Tells on standard error, at most a line per ``pause_seconds``."""
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
