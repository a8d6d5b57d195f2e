"""Events: what a worker tells the world, one strict-JSON line each in ``events.jsonl``.

Every line carries ``v`` (schema), ``seq`` (gapless within a run), ``time`` (Unix seconds), ``attempt`` (1 for the
first launch) and ``kind``. Numbers that JSON has no words for are the strings "NaN", "Infinity", "-Infinity".
"""

from __future__ import annotations

import dataclasses
import errno
import json
import math
import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fine_tuner.base.files import open_plain, strict
from fine_tuner.runs.log.payloads import (
    KINDS,
    CheckpointSaved,
    ClockMoved,
    EvalMetrics,
    Mark,
    Message,
    Outcome,
    Payload,
    RunFinished,
    RunStarted,
    TimeSpent,
    TrainMetrics,
    UnknownEvent,
    WorkProgress,
)

__all__ = [
    "CheckpointSaved",
    "ClockMoved",
    "EvalMetrics",
    "Event",
    "EventWriter",
    "Mark",
    "Message",
    "Outcome",
    "Payload",
    "RunFinished",
    "RunStarted",
    "TimeSpent",
    "TrainMetrics",
    "UnknownEvent",
    "WorkProgress",
    "decode",
    "encode",
    "from_raw",
    "read_events",
    "read_last_event",
]

SCHEMA_VERSION = 1
CLOCK_SECONDS = 1.0  # a date that moves by less between two events is a clock being set right, not worth a line
_LONGEST_TORN_BYTES = 1 << 20  # a longer fragment stays, on a line of its own
_NONFINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One line of events.jsonl."""

    seq: int
    time: float
    attempt: int
    payload: Payload


def encode(event: Event) -> str:
    """One line of strict JSON, without the newline."""
    payload = event.payload
    if isinstance(payload, UnknownEvent):
        body = {"kind": payload.kind, **payload.fields}
    else:
        body = {f.name: getattr(payload, f.name) for f in dataclasses.fields(payload)}
    head = {"v": SCHEMA_VERSION, "seq": event.seq, "time": round(event.time, 3), "attempt": event.attempt}
    return json.dumps(strict(head | body), allow_nan=False, separators=(",", ":"))


def decode(line: str | bytes) -> Event:
    """Inverse of ``encode``.

    Raises:
        ValueError: If the line is not an event (a torn fragment, for instance).
    """
    try:
        raw = json.loads(line)
    except RecursionError:
        raise ValueError(f"not an event: {line[:80]!r}") from None
    return from_raw(raw)


def from_raw(raw: Any) -> Event:
    """The event in one line's JSON value, which is used up.

    Raises:
        ValueError: If it is not an event.
    """
    try:
        raw.pop("v")
        head = {k: raw.pop(k) for k in ("seq", "time", "attempt")}
        kind = raw.pop("kind")
    except (KeyError, AttributeError, TypeError):
        raise ValueError(f"not an event: {str(raw)[:80]!r}") from None
    if not (isinstance(kind, str) and all(isinstance(v, int | float) for v in head.values())):
        raise ValueError(f"not an event: {kind!r} with {head}")
    if isinstance(raw.get("metrics"), dict):
        raw["metrics"] = {k: _NONFINITE.get(v, v) if isinstance(v, str) else v for k, v in raw["metrics"].items()}
    cls = KINDS.get(kind)
    try:
        payload = cls(**raw) if cls else UnknownEvent(kind=kind, fields=raw)
    except TypeError:
        payload = UnknownEvent(kind=kind, fields=raw)
    return Event(**head, payload=payload)


class EventWriter:
    """Appends events; one instance per run, rank 0 only; safe to call from several threads.

    Each line is flushed to the kernel, so that it survives the death of the process; ``durable`` lines are fsynced
    too, so that they survive a power cut. Times are dates; where a date moved other than the process's own clock
    (``time.monotonic``, which no one sets and which stands still while the machine sleeps), a line before says so.
    """

    def __init__(self, path: Path, *, attempt: int | None = None) -> None:
        """Open for appending; ``attempt`` None counts on from the last one recorded."""
        last = read_last_event(path)
        recorded = last.attempt if last else 0
        self.attempt = recorded + 1 if attempt is None else attempt
        self._seq = last.seq + 1 if last else 0
        self._lock = threading.Lock()
        self._date_of_zero = _date_of_zero()
        self._path = path
        self._file = open_plain(path, append=True)
        self._mend()

    def _mend(self) -> None:
        """Leave whole lines alone: the previous attempt may have died, or the disk been full, in mid-write."""
        with open_plain(self._path) as file:
            size = file.seek(0, os.SEEK_END)
            start = max(0, size - _LONGEST_TORN_BYTES)
            file.seek(start)
            rest = file.read(size - start)
        fragment = rest[rest.rfind(b"\n") + 1 :]
        if not fragment or len(fragment) == _LONGEST_TORN_BYTES:
            self._torn = bool(fragment)
            return
        try:
            decode(fragment)
        except ValueError:
            os.ftruncate(self._file.fileno(), size - len(fragment))
            self._torn = False
        else:
            self._torn = True  # a whole event that lacks only its newline

    def write(self, payload: Payload, *, durable: bool = False) -> None:
        """Append one event.

        Raises:
            OSError: As the file system says (disk full), and if the log is not there any more. A part that was written
                is taken back.
        """
        with self._lock:
            self._check_place()
            date_of_zero = _date_of_zero()
            moved = round(date_of_zero - self._date_of_zero, 3)
            payloads = [payload] if abs(moved) < CLOCK_SECONDS else [ClockMoved(seconds=moved), payload]
            line = b"\n" * self._torn
            for seq, told in enumerate(payloads, self._seq):
                line += encode(Event(seq=seq, time=time.time(), attempt=self.attempt, payload=told)).encode() + b"\n"
            before = os.fstat(self._file.fileno()).st_size
            written = self._file.write(line) or 0
            if written != len(line):
                with suppress(OSError):
                    os.ftruncate(self._file.fileno(), before)
                raise OSError(
                    errno.ENOSPC,
                    f"only {written} of {len(line)} bytes of an event could be written; is the disk full?",
                    str(self._file.name),
                )
            self._torn = False
            self._seq += len(payloads)
            if len(payloads) > 1:
                self._date_of_zero = date_of_zero
            if durable:
                os.fsync(self._file.fileno())

    def _check_place(self) -> None:
        """Notice that the run's folder was removed or moved: what is written would go nowhere, without an error."""
        try:
            there, ours = os.stat(self._path), os.fstat(self._file.fileno())
        except FileNotFoundError:
            pass
        else:
            if (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino):
                return
        raise FileNotFoundError(
            errno.ENOENT, "the run's folder was removed, moved or replaced while it trained", str(self._path)
        )

    def close(self) -> None:
        """Close the file; the writer cannot be used afterwards."""
        self._file.close()


def _date_of_zero() -> float:
    """Unix time at which the process's own clock showed 0: another only once the date was set, or after sleep."""
    return time.time() - time.monotonic()


def read_last_event(path: Path, *, window_bytes: int = 1 << 12) -> Event | None:
    """The last whole event of a log, read from its end; None if there is none."""
    try:
        with open_plain(path) as file:
            size = file.seek(0, os.SEEK_END)
            while True:
                start = max(0, size - window_bytes)
                file.seek(start)
                lines = file.read(size - start).split(b"\n")
                # The last line may lack only its newline, which the next writer gives it; the first, its beginning.
                for line in reversed(lines[1 if start else 0 :]):
                    with suppress(ValueError):
                        return decode(line)
                if start == 0:
                    return None
                window_bytes *= 8
    except FileNotFoundError:
        return None


def read_events(path: Path, offset: int = 0) -> tuple[list[Event], int]:
    """Events from byte ``offset`` on, and the offset to go on from. A torn last line waits for the next call."""
    try:
        with open_plain(path) as file:
            file.seek(offset)
            data = file.read()
    except FileNotFoundError:
        return [], offset
    complete = data.rfind(b"\n") + 1
    events = []
    for line in data[:complete].split(b"\n"):
        if not line:
            continue
        try:
            events.append(decode(line))
        except ValueError:
            continue  # a fragment isolated by EventWriter
    return events, offset + complete
