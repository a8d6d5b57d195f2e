"""The assistant's side of the talk: ``python -m fine_tuner serve`` answers command lines, one JSON line each.

::

    -> {"id": 1, "argv": ["plan", "config.yaml", "--json"]}
    <- {"id": 1, "line": "reading data 12/244"}              any number: what the command writes to standard error
    <- {"id": 1, "code": 0, "out": "...", "err": "..."}

It ends when its standard input does. What a library prints past Python goes to standard error of the process, never
into the answers.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, BinaryIO

from fine_tuner.launch.command import Main

_KEPT_CHARACTERS = 4_000_000  # of what one command prints


def serve(main: Main) -> int:
    """Answer requests from standard input with ``main`` until it ends."""
    requests, answers = _own_standard_streams()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C at the app is the app's to handle
    for line in requests:
        if not line.strip():
            continue
        try:
            request = json.loads(line)
            number, argv = request["id"], [str(word) for word in request["argv"]]
        except (ValueError, KeyError, TypeError):
            _send(answers, {"id": None, "code": 2, "out": "", "err": f"not a request: {line[:200]!r}"})
            continue
        tell = partial(_send_line, answers, number)
        _send(answers, {"id": number, **answer(argv, main, tell)})
    return 0


def answer(argv: Sequence[str], main: Main, on_line: Callable[[str], None]) -> dict[str, Any]:
    """Exit code and output of one command, run in this process. Never raises, whatever the command does."""
    out, err = _Captured(), _Captured(on_line)
    folder = os.getcwd()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(list(argv))
        except SystemExit as ending:  # argparse ends so
            code = ending.code
            if isinstance(code, str):
                err.write(code + "\n")
                code = 1
        except BaseException:
            traceback.print_exc()
            code = 1
    with contextlib.suppress(OSError):
        os.chdir(folder)
    return {"code": int(code or 0), "out": out.getvalue(), "err": err.getvalue()}


class _Captured(io.StringIO):
    """Keeps what is written, up to a limit, and tells of each whole line."""

    def __init__(self, on_line: Callable[[str], None] | None = None) -> None:
        super().__init__()
        self._on_line = on_line
        self._begun = ""

    def write(self, text: str) -> int:
        if self.tell() < _KEPT_CHARACTERS:
            super().write(text)
        if self._on_line is not None:
            *whole, self._begun = (self._begun + text).replace("\r", "\n").split("\n")
            for line in whole:
                if line.strip():
                    self._on_line(line)
        return len(text)


def _own_standard_streams() -> tuple[BinaryIO, BinaryIO]:
    """Keep input and output for the talk; what anybody else reads is empty, what they print goes to standard error."""
    sys.stdout.flush()
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, answers


def _send_line(answers: BinaryIO, number: int, text: str) -> None:
    _send(answers, {"id": number, "line": text})


def _send(answers: BinaryIO, value: dict[str, Any]) -> None:
    data = memoryview(json.dumps(value).encode() + b"\n")
    while data:  # an unbuffered pipe may take a part
        data = data[answers.write(data) :]
