"""Command lines: what the launcher executes, and the same as text that a person can paste."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence

from fine_tuner.runs.layout import RunFolder

Main = Callable[[Sequence[str]], int | None]
"""A command line that a process answers or becomes: takes an argv without the program, returns an exit code."""

_MODULE = ("-m", "fine_tuner")


def train_command(run: RunFolder) -> list[str]:
    """Train the run in a folder, from its newest checkpoint if it has one."""
    return [sys.executable, *_MODULE, *train_arguments(run)]


def train_arguments(run: RunFolder) -> list[str]:
    """The same without the program: what ``Main`` takes."""
    return ["train", str(run.path)]


def serve_command() -> list[str]:
    """The assistant of the page."""
    return [sys.executable, *_MODULE, "serve"]


def standby_command() -> list[str]:
    """A process with torch loaded that waits to become a worker."""
    return [sys.executable, *_MODULE, "standby"]


def shell_text(argv: Sequence[str], *, program: str = "python") -> str:
    """A command as a POSIX shell reads it, with the interpreter's path shortened to ``program``.

    >>> shell_text([sys.executable, "-m", "fine_tuner", "train", "my run.yaml", "optim.lr=3e-4"])
    "python -m fine_tuner train 'my run.yaml' optim.lr=3e-4"
    """
    words = [program if word == sys.executable and at == 0 else word for at, word in enumerate(argv)]
    return shlex.join(words)
