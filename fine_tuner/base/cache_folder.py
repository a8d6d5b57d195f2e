"""Where files that the app can make or download again are kept."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from platformdirs import user_cache_path

CACHE_VARIABLE = "FINE_TUNER_CACHE"


def cache_folder() -> Path:
    """The folder named by FINE_TUNER_CACHE, else ``fine-tuner`` in the platform's own cache folder."""
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named).expanduser().absolute()
    return user_cache_path("fine-tuner", appauthor=False)


@contextmanager
def cache_database(name: str, schema: str) -> Iterator[sqlite3.Connection]:
    """A database ``name`` in the cache folder; one that lasts only for this block where it cannot be opened.

    Processes that write at once wait for each other, for five seconds at most.

    Args:
        name: Of the file.
        schema: ``CREATE TABLE IF NOT EXISTS ...``.
    """
    connection = _open(cache_folder() / name, schema) or _open(":memory:", schema)
    assert connection is not None, "a database in memory can always be opened"
    try:
        yield connection
    finally:
        connection.close()


def _open(place: Path | str, schema: str) -> sqlite3.Connection | None:
    connection = None
    try:
        if isinstance(place, Path):
            place.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(place, timeout=5)
        connection.execute(schema)
    except (OSError, sqlite3.Error):
        if connection is not None:
            connection.close()
        return None
    return connection
