"""Runs that wait for their device: ``queued.json`` in each run folder, so that the queue outlives every app.

Whoever removes ``queued.json`` has the run: the launcher to start it, a person to cancel it. Only one can.

An entry is signed for the run, its settings and this user. One that came into the folder in another way, with a run
that somebody put there, is shown and can be cancelled, but it starts nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fine_tuner.base.files import MAX_JSON_BYTES, exclusive, read_bounded, read_json, write_json
from fine_tuner.base.own_secret import is_signed, sign
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.log.events import read_last_event


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """A run in the queue.

    Attributes:
        order: Least first.
        devices: Keys of the devices that it will use.
    """

    run: RunFolder
    order: float
    devices: tuple[str, ...]


def read_waiting(run: RunFolder) -> Waiting | None:
    """What ``queued.json`` says; None if the run does not wait, or waits on another machine or for somebody else."""
    entry = read_json(run.queued)
    if entry is None or entry.get("host") != socket.gethostname():
        return None
    try:
        waiting = Waiting(run=run, order=float(entry["order"]), devices=tuple(str(key) for key in entry["devices"]))
    except (KeyError, TypeError, ValueError):
        return None
    return waiting if is_signed("queued", _signed_part(waiting), entry.get("signature")) else None


def _signed_part(entry: Waiting) -> bytes:
    """What is signed of an entry: the run and the settings that are to train, its place and its devices."""
    try:
        settings = hashlib.sha256(read_bounded(entry.run.config, MAX_JSON_BYTES)).hexdigest()
    except OSError:
        settings = ""
    return json.dumps([entry.run.id, settings, entry.order, entry.devices, socket.gethostname()]).encode()


def waiting(root: Path) -> list[Waiting]:
    """The queue of this machine, first to start first. Costs one look per run folder."""
    try:
        with os.scandir(root) as entries:
            names = [e.name for e in entries if not e.name.startswith(".") and os.path.exists(f"{e.path}/queued.json")]
    except OSError:
        return []
    found = [read_waiting(RunFolder(root / name)) for name in names]
    return sorted((w for w in found if w is not None), key=lambda w: (w.order, w.run.id))


def enqueue(run: RunFolder, devices: Sequence[str]) -> None:
    """Put a run at the end of the queue.

    Raises:
        OSError: If its folder cannot be written.
    """
    with exclusive(_queue(run)):
        order = max((w.order for w in waiting(run.path.parent)), default=0.0) + 1
        _write(Waiting(run=run, order=order, devices=tuple(devices)))


def _queue(run: RunFolder) -> Path:
    """Stands for the queue of a runs folder: who changes the order of its runs holds the lock of it."""
    return run.path.parent / "queue"


def _write(entry: Waiting) -> None:
    content = {
        "order": entry.order,
        "devices": list(entry.devices),
        "host": socket.gethostname(),
        "time": round(time.time(), 3),
        "signature": sign("queued", _signed_part(entry)),
    }
    write_json(entry.run.queued, content)


def claim(run: RunFolder) -> bool:
    """Take a run out of the queue; False if somebody else has, or it was never in."""
    try:
        run.queued.unlink()
    except OSError:
        return False
    return True


def cancel(run: RunFolder) -> bool:
    """Take a run out of the queue for good; False if it did not wait any more."""
    if not claim(run):
        return False
    if read_last_event(run.events) is None:  # a run that waited to go on is again what it was before
        write_json(run.exit, {"code": None, "cancelled": True, "attempt": 1, "time": round(time.time(), 3), "log": []})
    return True


def move(run: RunFolder, place: int) -> None:
    """Give a waiting run another place, 0 being the next to start; no effect on one that does not wait.

    Raises:
        OSError: If its folder cannot be written.
    """
    with exclusive(_queue(run)):
        _move(run, place)


def _move(run: RunFolder, place: int) -> None:
    queue = waiting(run.path.parent)
    moved = next((w for w in queue if w.run == run), None)
    if moved is None:
        return
    others = [w for w in queue if w.run != run]
    place = min(max(place, 0), len(others))
    before = others[place - 1].order if place else others[0].order - 2 if others else 0.0
    after = others[place].order if place < len(others) else before + 2
    entry = Waiting(run=run, order=(before + after) / 2, devices=moved.devices)
    if run.queued.exists():  # if it is started at this very moment, the launcher's second look finds it alive
        _write(entry)


def place_of(run: RunFolder) -> int | None:
    """How many runs that want one of its devices come before it; None if it does not wait."""
    queue = waiting(run.path.parent)
    own = next((w for w in queue if w.run == run), None)
    if own is None:
        return None
    return sum(1 for w in queue[: queue.index(own)] if set(w.devices) & set(own.devices))
