"""Facts about files, remembered until the file changes: a second look at a large data set costs nothing."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

from fine_tuner.base.cache_folder import cache_database
from fine_tuner.base.machine import num_cores
from fine_tuner.base.progress import OnProgress

_SCHEMA = "CREATE TABLE IF NOT EXISTS facts (kind TEXT, path TEXT, stamp TEXT, fact TEXT, PRIMARY KEY (kind, path))"
_CHUNK = 512  # files that are looked up, looked at and reported together
_HANDED = 32  # ... and that a thread takes at once: handing over costs as much as half a look at a header
_WRITE_SECONDS = 2.0  # a commit waits for the disk
Fact = dict[str, Any]


def facts_about(
    paths: Sequence[Path], look: Callable[[Path], Fact], *, kind: str, what: str, progress: OnProgress
) -> list[Fact]:
    """``look(path)`` for each path, on all cores, from memory where the file is as it was.

    Args:
        paths: Files.
        look: Gives JSON-able facts; must not raise for a bad file. Those with an ``error`` are not remembered: what a
            file lacks may be a permission, which no change of the file tells.
        kind: Distinguishes these facts, and their version, from others about the same file.
        what: For ``progress``.
        progress: Called as ``progress(what, done, total)``; an exception from it ends the scan.
    """
    stamps = [_stamp(path) for path in paths]
    with cache_database("scans.sqlite", _SCHEMA) as database:
        known = _read(database, kind, paths, stamps)
        missing = [i for i in range(len(paths)) if i not in known]
        done = len(paths) - len(missing)
        new: list[int] = []  # not written yet
        written_at = time.monotonic()
        try:
            with ThreadPoolExecutor(max_workers=num_cores()) as pool:  # decoders work without the interpreter's lock
                for chunk in _portions(missing, _CHUNK):
                    found = pool.map(lambda some: [look(paths[i]) for i in some], _portions(chunk, _HANDED))
                    known.update(zip(chunk, chain.from_iterable(found), strict=True))
                    new += chunk
                    if time.monotonic() - written_at > _WRITE_SECONDS:
                        _write(database, kind, [(paths[i], stamps[i], known[i]) for i in new])
                        new, written_at = [], time.monotonic()
                    done += len(chunk)
                    progress(what, done, len(paths))
        finally:
            _write(database, kind, [(paths[i], stamps[i], known[i]) for i in new])
    return [known[i] for i in range(len(paths))]


def _portions(values: Sequence[int], size: int) -> list[Sequence[int]]:
    return [values[start : start + size] for start in range(0, len(values), size)]


def _stamp(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_size} {status.st_mtime_ns}"


def _read(database: sqlite3.Connection, kind: str, paths: Sequence[Path], stamps: Sequence[str]) -> dict[int, Fact]:
    known: dict[int, Fact] = {}
    with contextlib.suppress(sqlite3.Error, ValueError):
        for chunk in _portions(range(len(paths)), _CHUNK):
            names = [str(paths[i]) for i in chunk]
            select = f"SELECT path, stamp, fact FROM facts WHERE kind=? AND path IN ({','.join('?' * len(names))})"
            rows = {path: (stamp, fact) for path, stamp, fact in database.execute(select, (kind, *names))}
            for i, name in zip(chunk, names, strict=True):
                stamp, fact = rows.get(name, ("", ""))
                if stamps[i] and stamp == stamps[i]:
                    known[i] = json.loads(fact)
    return known


def _write(database: sqlite3.Connection, kind: str, rows: Sequence[tuple[Path, str, Fact]]) -> None:
    if not rows:
        return
    values = [(kind, str(path), stamp, json.dumps(fact)) for path, stamp, fact in rows if stamp and "error" not in fact]
    with contextlib.suppress(sqlite3.Error, ValueError), database:  # a full disk costs the memory, not the scan
        database.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?, ?, ?)", values)
