"""The app's side: a child that has torch loaded and answers command lines, so that the app itself needs no torch.

It is started at the first request or by ``start``, begun anew after it died or was ended for taking too long, and
gets none of the app's secrets.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

from fine_tuner.launch.command import serve_command
from fine_tuner.launch.environment import child_environment

TIMED_OUT = 124  # as timeout(1) says it
DIED = 137  # as a shell says SIGKILL
CANCELLED = 130  # as a shell says SIGINT


@dataclass(frozen=True, slots=True)
class Reply:
    """What a command said.

    Attributes:
        code: Exit code; 124: it took too long, 130: cancelled, 137: the process died.
        out: Standard output.
        err: Standard error; for the three codes above, what happened and what to do.
    """

    code: int
    out: str
    err: str


class Ticket:
    """One request, by which whoever made it cancels it and no other; see ``Assistant.cancel``."""

    def __init__(self) -> None:
        self.is_cancelled = False
        self.number: int | None = None  # of the request, once it is its turn


class Assistant:
    """Answers one request after the other; safe to use from several threads, who wait for their turn.

    Args:
        command: What to run; speaks the protocol of ``launch.serve``.
        timeout: Longest time for one request, in seconds, unless the request says otherwise.
        yields: It computes in one thread that gets only what other processes leave.
    """

    def __init__(self, command: Sequence[str] | None = None, *, timeout: float = 600.0, yields: bool = False) -> None:
        self._yields = yields
        self._command = list(command or serve_command())
        self._timeout = timeout
        self._turn = threading.Lock()
        self._state = threading.Lock()
        self._process: subprocess.Popen | None = None
        self._errors: IO[bytes] | None = None
        self._number = 0
        self._current: int | None = None  # number of the request under way
        self._ended_by: Reply | None = None
        self._is_closed = False

    # -------------------------------------------------------------- requests
    def call(
        self,
        argv: Sequence[str],
        timeout: float | None = None,
        *,
        on_line: Callable[[str], None] | None = None,
        ticket: Ticket | None = None,
    ) -> Reply:
        """Run ``python -m fine_tuner ARGV`` in the assistant.

        Args:
            argv: The command line without the program.
            timeout: Seconds, counted from its turn; then the assistant is ended and the reply has code 124.
            on_line: Called, from this thread, with each line that the command writes to standard error meanwhile.
            ticket: A new one, to cancel this request by, also while it waits for its turn.
        """
        with self._turn:
            if ticket is not None and ticket.is_cancelled:
                return _cancelled()
            try:
                process = self._running()
            except OSError as error:
                return Reply(DIED, "", f"The assistant cannot be started: {error}. Command: {' '.join(self._command)}.")
            if process is None:
                return Reply(CANCELLED, "", "The app is closing.")
            number = self._begin(ticket)
            if number is None:
                return _cancelled()
            limit = self._timeout if timeout is None else timeout
            timer = threading.Timer(limit, self._end, [_timed_out(argv, limit), number])
            timer.daemon = True
            timer.start()
            try:
                reply = self._talk(process, number, argv, on_line)
            finally:
                timer.cancel()
                with self._state:  # from here on, a timer or a person that comes late ends nothing
                    self._current = None
            return reply or self._bury(process)

    def _begin(self, ticket: Ticket | None) -> int | None:
        """Number of the request whose turn it is; None if it was cancelled before."""
        with self._state:
            if ticket is not None and ticket.is_cancelled:
                return None
            self._number += 1
            self._current = self._number
            if ticket is not None:
                ticket.number = self._number
            return self._number

    def _talk(
        self, process: subprocess.Popen, number: int, argv: Sequence[str], on_line: Callable[[str], None] | None
    ) -> Reply | None:
        """The reply, or None if the process ended before it gave one."""
        if process.stdin is None or process.stdout is None:
            return None
        request = json.dumps({"id": number, "argv": list(argv)}).encode() + b"\n"
        try:
            process.stdin.write(request)
            process.stdin.flush()
            for line in process.stdout:
                message = _read(line)
                if message.get("id") != number:
                    continue
                if "code" in message:
                    return Reply(int(message["code"]), str(message.get("out", "")), str(message.get("err", "")))
                if on_line is not None:
                    on_line(str(message.get("line", "")))
        except (OSError, ValueError):  # the pipe broke, or was closed by ``close``
            pass
        return None

    # -------------------------------------------------------------- lifetime
    def start(self) -> None:
        """Start the process, so that the first request need not wait for torch; returns at once."""
        with self._turn, suppress(OSError):
            self._running()

    @property
    def is_running(self) -> bool:
        """Whether the process lives."""
        process = self._process
        return process is not None and process.poll() is None

    def cancel(self, ticket: Ticket) -> None:
        """End the request of ``ticket``: its reply has code 130. One that waits for its turn never begins.

        The requests of others go on; if it was under way, the next one finds a new process.
        """
        with self._state:
            ticket.is_cancelled = True
        self._end(_cancelled(), ticket.number)

    def renew(self) -> None:
        """Replace the process by a new one, once nothing is under way."""
        with self._turn:
            if self._process is not None:
                self._bury(self._process)
        self.start()

    def close(self) -> None:
        """End the process; requests fail from now on."""
        self._is_closed = True
        self._end(Reply(CANCELLED, "", "The app is closing."), self._current)
        with self._turn:
            if self._process is not None:
                self._bury(self._process)

    def _running(self) -> subprocess.Popen | None:
        """The process, started if need be; None once closed."""
        with self._state:
            if self._is_closed:
                return None
            if self._process is not None and self._process.poll() is None:
                self._ended_by = None
                return self._process
        if self._process is not None:
            self._bury(self._process)
        errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        try:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=child_environment(**({"OMP_NUM_THREADS": "1"} if self._yields else {})),
                start_new_session=True,
            )
            if self._yields:
                yield_to_others(process.pid)
        except OSError:
            errors.close()
            raise
        with self._state:
            self._process, self._errors, self._ended_by = process, errors, None
        return process

    def _end(self, because: Reply, number: int | None) -> None:
        """Kill the process group if request ``number`` is still under way; it gets ``because`` as its reply."""
        with self._state:
            if number is None or number != self._current or self._process is None:
                return
            self._ended_by = because
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _bury(self, process: subprocess.Popen) -> Reply:
        """Reap a process that has ended or answers no more, and say why."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        said = _last_words(self._errors)
        with self._state:
            because, self._ended_by = self._ended_by, None
            self._process = self._errors = None
        text = f"The assistant process ended unexpectedly (exit code {code}). Ask again: it is started anew.\n{said}"
        return because or Reply(DIED, "", text.strip())


def _cancelled() -> Reply:
    return Reply(CANCELLED, "", "Cancelled.")


def _timed_out(argv: Sequence[str], seconds: float) -> Reply:
    return Reply(TIMED_OUT, "", f"{argv[0] if argv else 'The command'} took longer than {seconds:g} s and was ended.")


def _read(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


def _last_words(errors: IO[bytes] | None) -> str:
    if errors is None:
        return ""
    with errors:
        size = errors.seek(0, os.SEEK_END)
        errors.seek(max(0, size - 2000))
        return errors.read().decode(errors="replace").strip()


def yield_to_others(pid: int) -> None:
    """Give a process that has just begun the least priority; threads that it starts inherit it.

    Beside a busy process, Linux gives an idle-class thread 3 parts of 1027 of a core, a thread of nice 19 gives 15 of
    1039 (``kernel/sched/core.c``, ``sched_prio_to_weight``; ``WEIGHT_IDLEPRIO``). Elsewhere only nice is known.
    """
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, 19)
    if hasattr(os, "SCHED_IDLE"):
        with suppress(OSError):
            os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))
