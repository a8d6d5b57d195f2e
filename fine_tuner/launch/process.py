"""One worker process: its start in a session of its own, its end, and what is written about it.

Output goes to ``logs/worker.log``, never to a pipe: a pipe would break, and block the worker, when the app dies.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fine_tuner.base.files import open_plain, write_json
from fine_tuner.launch.environment import child_environment
from fine_tuner.runs import control
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.lock import LAUNCH_VARIABLE, HandedLock, find_holder, is_handed, read_description
from fine_tuner.runs.log.events import read_last_event
from fine_tuner.runs.view.status import look, tail

_LOG_LIMIT_BYTES = 64 << 20  # of earlier attempts; a worker's own log is as long as it is


class ProcessStarter(Protocol):
    """Makes a process from a command: ``start_process``, or a standby that has torch loaded already."""

    def __call__(
        self, argv: Sequence[str], *, log: Path, environment: Mapping[str, str], handles: Sequence[int]
    ) -> subprocess.Popen:
        """Start ``argv`` with output to ``log``; the open files ``handles`` stay open in it."""


def start_process(
    argv: Sequence[str], *, log: Path, environment: Mapping[str, str], handles: Sequence[int]
) -> subprocess.Popen:
    """Start a command in its own session, so that neither Ctrl+C at the app nor its death reaches it."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open_plain(log, append=True) as output:
        return subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            pass_fds=tuple(handles),
            start_new_session=True,
        )


@dataclass(slots=True)
class Worker:
    """A worker that this process started and has to reap."""

    run: RunFolder
    process: subprocess.Popen
    attempt: int

    def reap(self) -> dict[str, Any]:
        """Wait for the end, end what it left behind, write exit.json, and return its content."""
        if hasattr(os, "waitid"):
            with suppress(ChildProcessError):
                os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)
        else:  # macOS before Python 3.13: a group keeps its number while it has members, so this too meets no stranger
            self.process.wait()
        # dead, but not reaped: its process id still names its group, whose orphans (loading processes) hold the device
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return write_exit(self.run, self.process.wait(), self.attempt)


def launch(
    run: RunFolder,
    argv: Sequence[str],
    devices: Sequence[HandedLock],
    *,
    start: ProcessStarter,
    claim: Callable[[], bool] = lambda: True,
) -> Worker | None:
    """Start the next attempt of a run; None if a process is at work on it already, or ``claim`` says no.

    Args:
        run: Its folder.
        argv: Command of the worker.
        devices: Locks taken for it, handed on to the process.
        start: What makes the process.
        claim: Takes the run out of the queue. Called with launch.lock taken, so that whoever looks at the run sees it
            in the queue or at work, never in between.

    Raises:
        OSError: If the process cannot be started, or the folder not written.
    """
    lock, token = HandedLock(run.launch_lock), secrets.token_hex(8)
    last = read_last_event(run.events)
    about: dict[str, Any] = {"launch": token, "attempt": (last.attempt if last else 0) + 1}
    if not lock.try_acquire(**about):
        return None
    try:
        if not claim() or find_holder(run.lock) is not None:  # cancelled, or started by hand meanwhile
            return None
        control.clear_for_start(run)
        run.exit.unlink(missing_ok=True)
        _limit_log(run.log)
        handles = [held.handle for held in (lock, *devices) if held.handle is not None]
        environment = child_environment(**{LAUNCH_VARIABLE: token})
        process = start(argv, log=run.log, environment=environment, handles=handles)
        lock.describe(**about, worker=process.pid)
        return Worker(run, process, about["attempt"])
    finally:
        lock.close()


def _limit_log(log: Path) -> None:
    with suppress(OSError):
        if log.stat().st_size > _LOG_LIMIT_BYTES:
            log.replace(log.with_suffix(".log.old"))


def write_exit(run: RunFolder, code: int | None, attempt: int) -> dict[str, Any]:
    """Write exit.json: ``code`` or the name of the ``signal`` (negative code), and the last 40 lines of the log."""
    by_signal = code is not None and code < 0
    content = {
        "code": None if by_signal else code,
        "signal": _signal_name(-code) if code is not None and by_signal else None,
        "attempt": attempt,
        "time": round(time.time(), 3),
        "log": list(tail(run)),
    }
    if not run.path.is_dir():  # removed while it trained: nothing of it is to come back
        return content
    for pause in (0.0, 0.5, 2.0):  # a full disk may get room again when the worker's own files are closed
        time.sleep(pause)
        with suppress(OSError):
            write_json(run.exit, content)
            break
    return content


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


# ------------------------------------------------------------------ ending
def end_worker(run: RunFolder, *, stop_seconds: float = 30.0, terminate_seconds: float = 15.0) -> str:
    """End the worker of a run in three stages, each only if the one before did not do; waits until it is dead.

    1. The control file ``stop``: the worker ends within a step, keeps its checkpoint and says so.
    2. SIGTERM to rank 0, after ``stop_seconds``: the same, for a worker that waits for something else.
    3. SIGKILL to its process group, after ``terminate_seconds`` more: what was recorded stays.

    Returns:
        The stage that did it: ``"nothing to end"``, ``"stop"``, ``"SIGTERM"``, ``"SIGKILL"`` or ``"still alive"``.
    """
    if not look(run).is_alive:
        return "nothing to end"
    with suppress(OSError):  # a full disk must not keep anyone from the later stages
        control.request(run, "stop")
        if _is_over(run, stop_seconds):
            return "stop"
    signal_worker(run, signal.SIGTERM)
    if _is_over(run, terminate_seconds):
        return "SIGTERM"
    last = read_last_event(run.events)
    signal_worker(run, signal.SIGKILL)
    if not _is_over(run, 10.0):
        return "still alive"
    if not _wait_for(run.exit.exists, 1.0):  # nobody's child any more: its app has died
        write_exit(run, -signal.SIGKILL, last.attempt if last else 1)
    return "SIGKILL"


def _is_over(run: RunFolder, seconds: float) -> bool:
    return _wait_for(lambda: not look(run).is_alive, seconds)


def _wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(min(0.05, max(0.001, deadline - time.monotonic())))
    return True


def worker_pid(run: RunFolder) -> int | None:
    """Process id of the worker, if it lives on this machine: who holds worker.lock, or was launched and will."""
    holder = find_holder(run.lock)
    if holder is not None:
        return holder.pid if holder.is_local else None
    if not is_handed(run.launch_lock):
        return None
    pid = read_description(run.launch_lock).get("worker")
    return pid if isinstance(pid, int) and pid > 1 else None


def signal_worker(run: RunFolder, number: signal.Signals) -> bool:
    """Send a signal to the worker: SIGKILL to its whole group, others to it alone. False if there is nobody to send to.

    SIGTERM to the group would kill the loading processes, and the worker would fail instead of stopping. Of a run of
    several processes the first gets SIGTERM, and tells the others; SIGKILL goes to torchrun before, which would start
    them again, and without which the others die.
    """
    pid = worker_pid(run)
    if pid is None or pid == os.getpid():
        return False
    holder = find_holder(run.lock)
    if number == signal.SIGKILL and holder is not None and holder.is_local and holder.torchrun > 1:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(holder.torchrun, number)
    with suppress(ProcessLookupError, PermissionError):
        if number == signal.SIGKILL and os.getpgid(pid) == pid:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)
        return True
    return False
