"""A standby: a process that has torch loaded and waits to become a worker, so that Train shows a curve at once.

The app keeps one ready. Its standard input is a socket: one JSON line tells it what to become, and the open files of
the locks come along with it (a lock taken by the launcher is held by whoever has the open file). End of input ends
it, so it dies with an app that never used it. Once it has become a worker it takes no notice of the app any more.

::

    <- {"ready": true}
    -> {"argv": ["train", "<run folder>"], "log": "<path>", "environment": {...}}     + open files
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fine_tuner.launch.command import Main, standby_command
from fine_tuner.launch.environment import child_environment
from fine_tuner.launch.process import start_process

_MOST_FILES = 64
_MOST_BYTES = 1 << 20


class Standby:
    """Keeps one process ready; used by ``Launcher(start=...)`` in the place of ``start_process``.

    Args:
        command: What to run; speaks the protocol above.
    """

    def __init__(self, command: Sequence[str] | None = None) -> None:
        self._command = list(command or standby_command())
        self._lock = threading.Lock()
        self._process: subprocess.Popen | None = None
        self._socket: socket.socket | None = None
        self._is_ready = False

    def prepare(self) -> None:
        """Start a process to be ready for the next run, unless there is one; returns at once."""
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                return
            self._drop()
            ours, theirs = socket.socketpair()
            with theirs:
                try:
                    self._process = subprocess.Popen(
                        self._command,
                        stdin=theirs,
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL,
                        env=child_environment(),
                        start_new_session=True,
                    )
                except OSError:  # no standby is no error: starting takes longer, that is all
                    ours.close()
                    return
            ours.setblocking(False)
            self._socket = ours

    @property
    def is_ready(self) -> bool:
        """Whether a process waits with everything loaded."""
        with self._lock:
            return self._look()

    def _look(self) -> bool:
        if self._process is None or self._socket is None or self._process.poll() is not None:
            return False
        if not self._is_ready:
            with suppress(OSError):
                self._is_ready = b"\n" in self._socket.recv(_MOST_BYTES)
        return self._is_ready

    def __call__(
        self, argv: Sequence[str], *, log: Path, environment: Mapping[str, str], handles: Sequence[int]
    ) -> subprocess.Popen:
        """Make a process of ``argv``: the one that waits, if it is ready and this is our program, else a new one."""
        ours = [sys.executable, "-m", "fine_tuner"]
        with self._lock:
            words = [str(word) for word in argv]
            if words[:3] == ours and self._look() and self._process is not None and self._socket is not None:
                request = {"argv": words[3:], "log": str(log), "environment": dict(environment)}
                log.parent.mkdir(parents=True, exist_ok=True)
                try:
                    self._socket.setblocking(True)
                    socket.send_fds(self._socket, [json.dumps(request).encode() + b"\n"], list(handles))
                except OSError:
                    self._drop()
                else:
                    process, self._process = self._process, None
                    self._drop()
                    return process
        return start_process(argv, log=log, environment=environment, handles=handles)

    def close(self) -> None:
        """End the process that waits, if any."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        """Let go of the process: closing its input ends it, unless it has become a worker."""
        if self._socket is not None:
            self._socket.close()
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            self._process.wait()
        self._process = self._socket = None
        self._is_ready = False


# ------------------------------------------------------------- in the child
def wait_and_run(main: Main, *, preload: Sequence[str]) -> int:
    """Load ``preload``, wait for a request on standard input, become what it asks for.

    Args:
        main: What the process becomes, given the argv of the request.
        preload: Modules to import; those that are not there are left out.

    Returns:
        Exit code of the command; 0 if the input ended first.
    """
    for name in preload:
        with suppress(ImportError):
            importlib.import_module(name)
    request = _receive()
    if request is None:
        return 0
    os.environ.update(request.get("environment", {}))
    _redirect(Path(request["log"]))
    return int(main([str(word) for word in request["argv"]]) or 0)


def _receive() -> dict[str, Any] | None:
    """The request; None when the input ends. Open files that come along stay open."""
    if not stat.S_ISSOCK(os.fstat(0).st_mode):  # from a terminal or a pipe
        line = sys.stdin.readline()
        return json.loads(line) if line.strip() else None
    with socket.socket(fileno=os.dup(0)) as channel:
        with suppress(OSError):
            channel.sendall(b'{"ready": true}\n')
        data = b""
        while not data.endswith(b"\n"):
            part, files, _, _ = socket.recv_fds(channel, _MOST_BYTES, _MOST_FILES)
            for handle in files:
                os.set_inheritable(handle, False)
            if not part:
                return None
            data += part
    return json.loads(data)


def _redirect(log: Path) -> None:
    """Standard input from nowhere, output and error to ``log``."""
    sys.stdout.flush()
    sys.stderr.flush()
    for path, flags, targets in (
        (os.devnull, os.O_RDONLY, (0,)),
        (log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, (1, 2)),
    ):
        handle = os.open(path, flags, 0o644)
        for target in targets:
            os.dup2(handle, target)
        os.close(handle)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):
            stream.reconfigure(line_buffering=True)
