"""Kernel locks that say whether a process is alive; the kernel frees them on any death, SIGKILL included.

Two kinds, because they differ in who holds them:

===============  ==================  ==========================================  ==============================
class            system call         holder                                      used for
===============  ==================  ==========================================  ==============================
``WorkerLock``   POSIX ``fcntl``     the process that took it; not its children  ``worker.lock``: rank 0 trains
``HandedLock``   BSD ``flock``       every process that inherited the open file  ``launch.lock``, device locks
===============  ==================  ==========================================  ==============================

A POSIX lock is dropped when its process closes *any* descriptor of the file, so a holder must not open the file again;
``find_holder`` knows what this process holds and never does. It asks the kernel (F_GETLK) without taking the lock: a
probe that takes it, however briefly, makes a worker that starts at that moment believe that the run is taken.

POSIX systems only: Windows has neither call, and there this module cannot be imported.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import struct
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fine_tuner.base.errors import RunError
from fine_tuner.base.files import read_bounded
from fine_tuner.base.machine import is_rank

LAUNCH_VARIABLE = "FINE_TUNER_LAUNCH"
_HELD: dict[tuple[int, int], int] = {}  # (device, inode) of lock files held by this process -> its pid (forks differ)
_ACQUIRING = threading.Lock()  # the kernel does not keep two threads of one process apart
# struct flock, 64 bit: Linux (type, whence, start, length, pid), macOS (start, length, pid, type, whence)
_FLOCK = "qqihh" if sys.platform == "darwin" else "hhqqi4x"


@dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """Who holds a worker lock.

    Attributes:
        pid: Process id as the kernel tells it; 0 or less when it lives where we cannot see it (another host, another
            process namespace).
        host: Host name it wrote, "" if none.
        launch: Token of the launch it belongs to, "" if it was started by hand.
        torchrun: Process that starts it again when it dies; 0 if there is none.
    """

    pid: int
    host: str = ""
    launch: str = ""
    torchrun: int = 0

    @property
    def is_local(self) -> bool:
        """Whether ``pid`` names a process of this machine, one that a signal reaches."""
        return self.pid > 0 and self.host == socket.gethostname()


class WorkerLock:
    """Held by rank 0 of a run while it is alive.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "worker.lock")
    >>> with WorkerLock(path):
    ...     is_alive(path)
    True
    >>> is_alive(path)
    False
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None
        self._key: tuple[int, int] | None = None

    def acquire(self) -> bool:
        """Take the lock; False, at once, if another process or another lock object of this one holds it.

        Raises:
            OSError: If the lock file cannot be made (read-only folder).
        """
        with _ACQUIRING:
            return self._handle is not None or self._acquire()

    def _acquire(self) -> bool:
        if find_holder(self.path) is not None:
            return False
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            if error.errno in (errno.EACCES, errno.EAGAIN):
                return False
            raise
        self._handle, self._key = handle, _key(os.fstat(handle))
        _HELD[self._key] = os.getpid()
        _describe(handle, launch=os.environ.get(LAUNCH_VARIABLE, ""), torchrun=os.getppid() if is_rank() else 0)
        return True

    def release(self) -> None:
        """Let go; releasing twice is no error."""
        if self._handle is None or self._key is None:
            return
        _HELD.pop(self._key, None)
        os.close(self._handle)
        self._handle = self._key = None

    def __enter__(self) -> Self:
        """Hold the lock, also if it was acquired before.

        Raises:
            RunError: If it is held elsewhere.
        """
        if not self.acquire():
            holder = find_holder(self.path)
            by = f" by process {holder.pid} on {holder.host or 'another host'}" if holder else ""
            name = self.path.parent.name
            raise RunError(f"The run {name} is being trained already{by}. Stop it first, or wait until it ends.")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def find_holder(path: Path) -> Holder | None:
    """The process that holds the worker lock at ``path``; None if nobody does, or if there is no such file."""
    try:
        status = os.stat(path)
        if _HELD.get(_key(status)) == os.getpid():  # opening and closing it here would drop the lock
            return Holder(pid=os.getpid(), host=socket.gethostname(), launch=os.environ.get(LAUNCH_VARIABLE, ""))
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    try:
        pid = _conflicting_pid(handle)
        if pid is None:
            return None
        about = read_description(handle)
        return Holder(
            pid=pid,
            host=str(about.get("host", "")),
            launch=str(about.get("launch", "")),
            torchrun=int(about.get("torchrun", 0)),
        )
    finally:
        os.close(handle)


def is_alive(path: Path) -> bool:
    """True while a process holds the worker lock at ``path``."""
    return find_holder(path) is not None


def _conflicting_pid(handle: int) -> int | None:
    fields = (0, 0, 0, fcntl.F_WRLCK, 0) if sys.platform == "darwin" else (fcntl.F_WRLCK, 0, 0, 0, 0)
    answer = struct.unpack(_FLOCK, fcntl.fcntl(handle, fcntl.F_GETLK, struct.pack(_FLOCK, *fields)))
    kind, pid = (answer[3], answer[2]) if sys.platform == "darwin" else (answer[0], answer[4])
    return None if kind == fcntl.F_UNLCK else pid


class HandedLock:
    """A lock that a parent takes and its child keeps: whoever has the open file holds it, the last to die frees it.

    The launcher takes it before it starts a worker, passes ``handle`` on, and closes its own copy. So the lock covers
    the whole time from before the start to after the death, needs nothing of the worker, and outlives the launcher.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.handle: int | None = None

    def try_acquire(self, *, patience_seconds: float = 0.1, **about: Any) -> bool:
        """Take the lock; False if it is held. ``about`` is written into the file.

        ``patience_seconds`` outlasts the moment for which ``is_handed`` holds it to look.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        deadline = time.monotonic() + patience_seconds
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    os.close(handle)
                    return False
                time.sleep(0.005)
        self.handle = handle
        _describe(handle, **about)
        return True

    def describe(self, **about: Any) -> None:
        """Write into the file who holds the lock."""
        if self.handle is not None:
            _describe(self.handle, **about)

    def close(self) -> None:
        """Close this process's copy; the lock is free once every copy is closed."""
        if self.handle is not None:
            os.close(self.handle)
            self.handle = None


def is_handed(path: Path) -> bool:
    """True while any process holds the ``HandedLock`` at ``path``."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def read_description(source: int | Path) -> dict[str, Any]:
    """What the holder of a lock file wrote into it; {} if nothing readable.

    Give a path only of a ``HandedLock``: reading a ``WorkerLock`` of this process by path would drop it.
    """
    try:
        data = os.pread(source, 4096, 0) if isinstance(source, int) else read_bounded(source, 4096)
        value = json.loads(data)
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _describe(handle: int, **about: Any) -> None:
    """Write into the lock file who holds it: for people, and to tell one launch from the next."""
    text = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "time": round(time.time(), 3), **about})
    with suppress(OSError):  # a full disk must not keep anyone from the lock
        os.ftruncate(handle, 0)
        os.pwrite(handle, text.encode() + b"\n", 0)


def _key(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
