"""How finely a run at work is told: a second brings few points, however fast its steps are.

A curve is told in buckets of ``2**level`` points. A level rises with the length of the curve and with its pace; a page
that holds finer buckets merges them, so rising costs nothing. It falls when the run ends, and every point that a chart
can show comes then, or when it has become so slow that a bucket would take long to fill: pages take all anew.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from fine_tuner.runs.log.series import Series, level_for

PACE = 5.0  # buckets of one curve a second: eight curves of it make a tick of a kilobyte on the wire
_WINDOW_MS = 4000
_LEAST_MS = 1000
_SLOW_SECONDS = 20.0  # in which a bucket fills: from here on finer ones are worth taking all anew


class Downsampling:
    """Levels at which the curves of one run are told, one after another answer.

    Attributes:
        falls: How often a level has fallen: points told before are too coarse since.
    """

    def __init__(self, pace: float = PACE) -> None:
        """``pace``: most buckets of one curve a second; infinite: only the length of a curve counts."""
        self._pace = pace
        self._levels: dict[str, int] = {}
        self.falls = 0

    def levels(self, wanted: Mapping[str, Series], most: int, *, step_seconds: float, is_live: bool) -> dict[str, int]:
        """Level of each curve.

        Args:
            wanted: The curves by key.
            most: Buckets of one curve, at most.
            step_seconds: What the recent steps took; 0.0 if unknown.
            is_live: Whether more points are to come.
        """
        found = {}
        for key, series in wanted.items():
            length = level_for(len(series), most)
            level = max(length, self._levels.get(key, 0), _level(_points_a_second(series), self._pace))
            if not is_live:
                level = length
            elif level > length and step_seconds * 2**level > _SLOW_SECONDS:
                level = max(length, _level(1 / step_seconds, self._pace))
            self.falls += level < self._levels.get(key, 0)
            found[key] = self._levels[key] = level
        return found


def _points_a_second(series: Series) -> float:
    """Points of the last seconds at work."""
    count, milliseconds = series.recent(_WINDOW_MS)
    return count / max(milliseconds, _LEAST_MS) * 1000


def _level(points_a_second: float, pace: float) -> int:
    """Least level at which so many points make at most ``pace`` buckets a second.

    >>> [_level(p, 5.0) for p in (0.0, 5.0, 5.1, 40.0)]
    [0, 0, 1, 3]
    """
    return max(0, math.ceil(math.log2(points_a_second / pace))) if points_a_second > pace else 0
