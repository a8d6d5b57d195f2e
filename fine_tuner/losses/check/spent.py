"""Time that a user's code is judged by: that of the processor, not what others on a busy machine took meanwhile.

Two threads at work count once, so on a machine of one's own it is the time on the wall. Code that waits (``sleep``, a
lock, a download) uses no processor; for it the wall has the last word, later.
"""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds that something took.

    Attributes:
        working: At work on the processor, and no more than ``passed``.
        passed: On the wall.
    """

    working: float
    passed: float

    @classmethod
    def of(cls, processor: float, passed: float) -> Spent:
        """Of processor seconds, of all threads together, in ``passed`` seconds on the wall."""
        return cls(min(processor, passed), passed)

    def times(self, count: float) -> Spent:
        """What it takes ``count`` times."""
        return Spent(count * self.working, count * self.passed)

    def __add__(self, other: Spent) -> Spent:
        """Both, one after the other."""
        return Spent(self.working + other.working, self.passed + other.passed)

    def fits(self, limit: Spent) -> bool:
        """Whether it is within ``limit``, both ways."""
        return self.working <= limit.working and self.passed <= limit.passed


class Stopwatch:
    """Tells what this process has spent since it was made."""

    def __init__(self) -> None:
        self._processor, self._wall = time.process_time(), time.perf_counter()

    def spent(self) -> Spent:
        """Since then."""
        return Spent.of(time.process_time() - self._processor, time.perf_counter() - self._wall)
