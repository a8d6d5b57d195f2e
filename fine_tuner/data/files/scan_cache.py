"""Facts about files, remembered until the file changes: a second look at a large data set costs nothing."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from fine_tuner.base.cache_folder import cache_database
from fine_tuner.base.machine import num_cores
from fine_tuner.base.progress import OnProgress

_SCHEMA = "CREATE TABLE IF NOT EXISTS facts (kind TEXT, path TEXT, stamp TEXT, fact TEXT, PRIMARY KEY (kind, path))"
_SELECT = "SELECT stamp, fact FROM facts WHERE kind=? AND path=?"
_CHUNK = 256
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
        with ThreadPoolExecutor(max_workers=num_cores()) as pool:  # the decoders work without the interpreter's lock
            for start in range(0, len(missing), _CHUNK):
                chunk = missing[start : start + _CHUNK]
                known.update(zip(chunk, pool.map(look, [paths[i] for i in chunk]), strict=True))
                _write(database, kind, [(paths[i], stamps[i], known[i]) for i in chunk])
                done += len(chunk)
                progress(what, done, len(paths))
    return [known[i] for i in range(len(paths))]


def _stamp(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_size} {status.st_mtime_ns}"


def _read(database: sqlite3.Connection, kind: str, paths: Sequence[Path], stamps: Sequence[str]) -> dict[int, Fact]:
    known: dict[int, Fact] = {}
    with contextlib.suppress(sqlite3.Error, ValueError):
        for i, path in enumerate(paths):
            row = database.execute(_SELECT, (kind, str(path))).fetchone()
            if row and stamps[i] and row[0] == stamps[i]:
                known[i] = json.loads(row[1])
    return known


def _write(database: sqlite3.Connection, kind: str, rows: Sequence[tuple[Path, str, Fact]]) -> None:
    values = [(kind, str(path), stamp, json.dumps(fact)) for path, stamp, fact in rows if stamp and "error" not in fact]
    with contextlib.suppress(sqlite3.Error, ValueError), database:  # a full disk costs the memory, not the scan
        database.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?, ?, ?)", values)
