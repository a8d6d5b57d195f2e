"""One run a device: kernel locks in ``<runs>/.devices/``, held by the worker process itself.

The launcher takes the lock of a device before it starts a worker and hands it over, so two apps on one runs folder
can't start two runs on one device, and a device is free the moment its worker is dead, whoever lives or not.
"""

from __future__ import annotations

import functools
import os
import re
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fine_tuner.runs.lock import LAUNCH_VARIABLE, HandedLock, is_handed

_FOLDER = ".devices"


def rank_devices(devices: str, count: Callable[[], int] | None = None) -> tuple[str, ...]:
    """One device for each process that the setting ``devices`` means.

    Args:
        devices: Names with commas between; a number is an accelerator, ``all`` every one there is, ``cpu:2`` two
            processes on the processor.
        count: How many accelerators there are; the NVIDIA ones, if it is not given.

    >>> rank_devices("0, 1"), rank_devices("cpu:3"), rank_devices("all", lambda: 2), rank_devices("auto")
    (('0', '1'), ('cpu', 'cpu', 'cpu'), ('0', '1'), ('auto',))
    """
    out: list[str] = []
    for word in [word.strip() for word in devices.split(",") if word.strip()] or ["auto"]:
        if word == "all":
            out += [str(index) for index in range((count or gpu_count)())] or ["auto"]
        elif word.startswith("cpu:") and word[4:].isdecimal():
            out += ["cpu"] * max(1, int(word[4:]))
        else:
            out.append(word)
    return tuple(out)


def device_keys(devices: str) -> tuple[str, ...]:
    """Names of the physical devices that the setting ``devices`` means on this machine, without asking torch.

    >>> device_keys("cpu"), device_keys("cpu:2")
    (('cpu',), ('cpu',))
    """
    return tuple(dict.fromkeys(map(_key, rank_devices(devices))))


def _key(word: str) -> str:
    if word == "auto":
        apple = sys.platform == "darwin" and os.uname().machine == "arm64"
        word = "cuda:0" if gpu_count() else "mps" if apple else "cpu"
    if word.isdecimal():
        word = f"cuda:{word}"  # of another maker's too: two runs must not meet on one, whatever it is called
    if word == "cuda" or word.startswith("cuda:"):
        index = int(word[5:] or 0) if word[5:].isdecimal() else 0
        visible = [part.strip() for part in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if part.strip()]
        return f"cuda-{visible[index] if index < len(visible) else index}"
    return word


def gpu_count() -> int:
    """NVIDIA devices that a worker would see."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and not visible.strip(" -1"):
        return 0
    return _gpu_count()


@functools.cache
def _gpu_count() -> int:
    try:
        import pynvml
    except ImportError:
        return 0
    try:
        pynvml.nvmlInit()
        try:
            return pynvml.nvmlDeviceGetCount()
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError:  # no driver on this machine
        return 0


def lock_path(root: Path, key: str) -> Path:
    """Lock file of one device of this machine for one runs folder."""
    name = re.sub(r"[^\w.-]+", "-", f"{socket.gethostname()}-{key}")
    return root / _FOLDER / f"{name}.lock"


def is_free(root: Path, key: str) -> bool:
    """Whether no run of this runs folder uses the device now."""
    return not is_handed(lock_path(root, key))


def take(root: Path, keys: Sequence[str], **about: Any) -> list[HandedLock] | None:
    """Take the locks of all ``keys``, or of none: None if one is in use. ``about`` is written into the files."""
    taken: list[HandedLock] = []
    for key in sorted(keys):  # one order for all, so that two launchers never wait for each other
        lock = HandedLock(lock_path(root, key))
        if not lock.try_acquire(patience_seconds=0.0 if taken else 0.05, **about):
            for held in taken:
                held.close()
            return None
        taken.append(lock)
    return taken


@contextmanager
def hold(root: Path, devices: str) -> Iterator[bool]:
    """Hold the devices of a run that a person starts at a terminal, so that runs in the queue wait for it.

    Yields whether they were free: a person who starts a run by hand gets it, also beside another. Does nothing in a
    process that a launcher started, which holds them already.
    """
    if os.environ.get(LAUNCH_VARIABLE):
        yield True
        return
    try:
        held = take(root, device_keys(devices))
    except OSError:  # a runs folder that cannot be written has no queue either
        held = None
    try:
        yield held is not None
    finally:
        for lock in held or ():
            lock.close()
