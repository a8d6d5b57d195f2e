"""Keeps a run's ``series.cache`` current while the run grows, so that nobody who opens it has to read a long log.

Runs in the process that trains: so it does its work whoever watches, or nobody does. A log of some megabytes is read as
fast as a cache; only a longer one costs anything: about 3 microseconds a step, in portions.
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.log import cache
from fine_tuner.runs.log.fold import Fold

WORTH_BYTES = 4 << 20  # of log that is not in the cache: what a reader gets through at once
_PORTION_BYTES = 32 << 20  # added between two caches while the run is at work ...
_PORTION_SHARE = 8  # ... or this part of the log, so that writing caches stays a small part of it


class CacheWriter:
    """While it is entered, a thread brings the cache up to date; once more at the end."""

    def __init__(self, run: RunFolder, *, look_seconds: float = 15.0) -> None:
        self._run = run
        self._look_seconds = look_seconds
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"cache {run.id}", daemon=True)
        self._cached_bytes = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._thread.join()
        if self._unsaved_bytes() > WORTH_BYTES:
            self._save()

    def _keep(self) -> None:
        while not self._closing.wait(self._look_seconds):
            unsaved = self._unsaved_bytes()
            if unsaved > max(_PORTION_BYTES, (self._cached_bytes + unsaved) // _PORTION_SHARE):
                self._save()

    def _unsaved_bytes(self) -> int:
        try:
            return self._run.events.stat().st_size - self._cached_bytes
        except OSError:
            return 0

    def _save(self) -> None:
        """Read on from the last cache and write the next; what is in memory meanwhile is given back."""
        fold = cache.load(self._run) or Fold()
        if fold.read(self._run.events) is not None:
            cache.save(self._run, fold)
            self._cached_bytes = fold.offset
