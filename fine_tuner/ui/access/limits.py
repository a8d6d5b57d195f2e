"""What one visitor, and all of them together, may ask for; and who is watching.

Visitors who are signed in are told apart by the random id in their session, never by an address: behind a tunnel all
come from one.
Someone who signs in again and again has many sessions, so there is a limit for all viewers together too.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

_KEPT = 2000
# An answer costs 1.5 to 2.6 ms of a processor: four a second and core are 1 % of the machine.
POLLS_PER_SECOND = 4 * (os.cpu_count() or 1)
SEEN_SECONDS = 30.0  # a page that is open asks every 1 to 3 s, a hidden one not at all


@dataclass(frozen=True, slots=True)
class Allowance:
    """So many at once, and so many more each second."""

    burst: float
    per_second: float


@dataclass(frozen=True, kw_only=True, slots=True)
class VisitorLimits:
    """How much is let through.

    Attributes:
        session: Requests of one viewer; a page loads about 100 files at first.
        stranger: Requests from one address of those who are not signed in.
        strangers: Requests of all of them. A right token comes in whatever is left of both.
        asks: Requests of one viewer for numbers: one or two a second, more while zooming.
        viewers: The same of all viewers; beyond, their pages wait longer and longer.
        tries: Predictions for one viewer.
        all_tries: Predictions for all viewers.
        waiting_tries: Predictions that may wait for their turn; one is made at a time.
    """

    session: Allowance = Allowance(400, 20)
    stranger: Allowance = Allowance(60, 10)
    strangers: Allowance = Allowance(200, 40)
    asks: Allowance = Allowance(40, 4)
    viewers: Allowance = Allowance(200, 2 * POLLS_PER_SECOND)
    tries: Allowance = Allowance(5, 1 / 6)
    all_tries: Allowance = Allowance(20, 1)
    waiting_tries: int = 4


class Meter:
    """Token buckets by name; the ones longest unused are forgotten. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()

    def take(self, kind: str, who: str, allowance: Allowance, *, now: float | None = None) -> bool:
        """Use one of what ``who`` may do of a ``kind``; False if nothing is left."""
        now = time.monotonic() if now is None else now
        with self._lock:
            left, at = self._left.pop((kind, who), (allowance.burst, now))
            left = min(allowance.burst, left + (now - at) * allowance.per_second)
            self._left[kind, who] = (max(0.0, left - 1), now) if left >= 1 else (left, now)
            while len(self._left) > _KEPT:
                self._left.popitem(last=False)
        return left >= 1


@dataclass(slots=True)
class Watcher:
    """One browser with the viewer's page open: since when, last heard of (``time.monotonic``), looking at which run."""

    since: float
    seen: float
    run: str = ""


class Watching:
    """Who has the viewer's page open. No addresses: they would be the tunnel's, or made up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watchers: OrderedDict[str, Watcher] = OrderedDict()

    def saw(self, session_id: str, run: str = "", *, now: float | None = None) -> None:
        """A session asked for numbers of ``run``."""
        now = time.monotonic() if now is None else now
        with self._lock:
            watcher = self._watchers.pop(session_id, None)
            if watcher is None or now - watcher.seen > SEEN_SECONDS:
                watcher = Watcher(since=now, seen=now)
            watcher.seen, watcher.run = now, run or watcher.run
            self._watchers[session_id] = watcher
            while len(self._watchers) > _KEPT:
                self._watchers.popitem(last=False)

    def now(self, *, now: float | None = None) -> list[Watcher]:
        """Those who asked within the last half minute, the first to come first."""
        now = time.monotonic() if now is None else now
        with self._lock:
            return sorted((w for w in self._watchers.values() if now - w.seen <= SEEN_SECONDS), key=lambda w: w.since)
