"""Requests to a running worker: files dropped into ``control/`` by the page or the command line.

The worker looks after each step, does what is asked, and removes the file once done. Content is JSON; ``set`` carries
the edits, the others are empty objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal, get_args

from fine_tuner.base.files import read_json, write_json
from fine_tuner.runs.layout import RunFolder

# evaluate: validate now; the file keeps its name, since an older page or command may ask a newer worker
Request = Literal["stop", "pause", "checkpoint", "evaluate", "set"]
REQUESTS: tuple[str, ...] = get_args(Request)


def request(run: RunFolder, what: Request, **content: Any) -> None:
    """Ask the worker of ``run`` for something; asking again replaces what was asked.

    Raises:
        OSError: If the run folder cannot be written.
    """
    if what not in REQUESTS:
        raise ValueError(f"request {what!r} is not one of {', '.join(REQUESTS)}")
    write_json(run.control / what, content)


def pending(run: RunFolder) -> dict[str, Mapping[str, Any]]:
    """Requests not yet done: name to content. Cheap enough for every step (one listing of an empty folder)."""
    try:
        names = [entry.name for entry in run.control.iterdir() if entry.name in REQUESTS]
    except OSError:
        return {}
    return {name: read_json(run.control / name) or {} for name in sorted(names)}


def clear(run: RunFolder, *what: str) -> None:
    """Remove requests that are done, or of an earlier attempt; without names, all."""
    for name in what or REQUESTS:
        with suppress(OSError):
            (run.control / name).unlink(missing_ok=True)


def clear_for_start(run: RunFolder) -> None:
    """Remove what was asked of an earlier attempt, before the next begins; a change of settings is still wanted."""
    clear(run, *(name for name in REQUESTS if name != "set"))
