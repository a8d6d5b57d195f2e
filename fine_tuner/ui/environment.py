"""What must be settled before Gradio is imported: no telemetry, a private folder for its files, no proxy."""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

QUIET = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    # Gradio builds a table of all past events after every event; this spaces it out to never.
    "GRADIO_ANALYTICS_CACHE_FREQUENCY": "1000000000",
    "GRADIO_ANALYTICS_MAX_EVENTS": "100",
}
_PREFIX = "fine-tuner-app-"
_LOCK = ".lock"
_M_ARENA_MAX = -8  # of malloc.h


@contextmanager
def private_environment() -> Iterator[Path]:
    """Environment of the app; yields a folder that only this user can read (0700), removed at the end.

    All temporary files of this process lie in it. Those of apps that were killed are removed here.
    """
    os.environ |= QUIET
    share_arenas()
    sweep_temporary_folders()
    folder, before = Path(tempfile.mkdtemp(prefix=_PREFIX)), tempfile.tempdir
    handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX)  # until the last of this process is gone, however it ends
    os.environ["GRADIO_TEMP_DIR"] = tempfile.tempdir = str(folder)
    try:
        yield folder
    finally:
        tempfile.tempdir = before
        os.close(handle)
        shutil.rmtree(folder, ignore_errors=True)


def share_arenas() -> None:
    """Let all threads of this process take memory from one place, where it is glibc that gives it.

    A request is answered in any of forty threads, and glibc gives each an arena that keeps what it once took: the app
    grew by 60 MiB when ten people loaded its page at once, without an object more.
    """
    if not sys.platform.startswith("linux"):
        return
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


@contextmanager
def no_proxy() -> Iterator[None]:
    """Inside, the environment names no proxy.

    Gradio makes clients for its own loopback calls when it is imported, and a proxy that httpx cannot use (SOCKS
    without an extra, a misspelt address) would end the import. Whoever asks the network later (weights, a tunnel) uses
    it.
    """
    names = ("NO_PROXY", "no_proxy")
    before = {name: os.environ.get(name) for name in names}
    os.environ |= dict.fromkeys(names, "*")
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def sweep_temporary_folders() -> list[Path]:
    """Remove the folders of this user's apps that are not alive any more; returns them."""
    swept = []
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            finally:
                os.close(handle)
            shutil.rmtree(folder, ignore_errors=True)
            swept.append(folder)
    return swept
