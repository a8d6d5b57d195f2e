"""Curves in memory: growing columns, one per metric key, over rows that all keys of an event share.

Also how a curve is thinned: buckets of 2**level points with mean, least and greatest value, so that no spike is hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ROW_FIELDS = ("seq", "step", "epoch", "time_ms", "elapsed_ms")


class GrowingArray:
    """A growing array; what ``view`` gave out stays as it was."""

    def __init__(self, dtype: type, data: NDArray | None = None) -> None:
        self._data = np.empty(0, dtype) if data is None else data
        self._size = len(self._data)

    def __len__(self) -> int:
        return self._size

    @property
    def view(self) -> NDArray:
        """All values, ``(size,)``, without a copy."""
        return self._data[: self._size]

    def extend(self, values: NDArray) -> None:
        """Append ``values``."""
        size = self._size + len(values)
        if size > len(self._data) or not self._data.flags.writeable:
            grown = np.empty(max(size, 2 * self._size, 64), self._data.dtype)
            grown[: self._size] = self.view
            self._data = grown
        self._data[self._size : size] = values
        self._size = size

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Drop values where ``mask`` ``(size,)`` is False; arrays given out before are not touched."""
        self._data = self.view[mask]
        self._size = len(self._data)


class Rows:
    """What all numbers of one event share, as int64 columns ``ROW_FIELDS``.

    ``elapsed_ms`` counts the time that the run was at work: it never falls, whatever the clock does, and stands still
    between attempts.
    """

    def __init__(self, columns: Sequence[NDArray] | None = None) -> None:
        given = columns or [None] * len(ROW_FIELDS)
        self.columns = {name: GrowingArray(np.int64, data) for name, data in zip(ROW_FIELDS, given, strict=True)}

    def __len__(self) -> int:
        return len(self.columns["step"])

    def __getitem__(self, name: str) -> Ints:
        return self.columns[name].view

    def extend(self, **values: Ints) -> None:
        """Append rows, one array per field."""
        for name, column in self.columns.items():
            column.extend(values[name])


class Series:
    """One curve: ``step``, ``epoch``, ``seconds``, ``time``, ``seq`` and ``value`` are arrays of one length."""

    def __init__(self, rows: Rows, index: NDArray | None = None, value: NDArray | None = None) -> None:
        self._rows = rows
        self._index = GrowingArray(np.int32, index)
        self._value = GrowingArray(np.float64, value)

    def __len__(self) -> int:
        return len(self._value)

    def extend(self, first_row: int, values: Floats) -> None:
        """Append values that belong to the rows from ``first_row`` on."""
        self._index.extend(np.arange(first_row, first_row + len(values), dtype=np.int32))
        self._value.extend(values)

    def put(self, rows: NDArray, values: Floats) -> None:
        """Append values that belong to ``rows``, which rise."""
        self._index.extend(rows.astype(np.int32))
        self._value.extend(values)

    def keep(self, rows: NDArray[np.bool_]) -> None:
        """Drop the points on rows that are dropped, and renumber; ``rows`` is a mask over the rows before that."""
        mask = rows[self._index.view]
        renumbered = np.cumsum(rows, dtype=np.int32) - 1
        self._index.keep(mask)
        self._value.keep(mask)
        self._index = GrowingArray(np.int32, renumbered[self._index.view])

    @property
    def index(self) -> NDArray[np.int32]:
        """Row of each point."""
        return self._index.view

    @property
    def value(self) -> Floats:
        """The recorded numbers; NaN and infinities as recorded."""
        return self._value.view

    @property
    def step(self) -> Ints:
        """Steps done."""
        return self._of("step")

    @property
    def epoch(self) -> Ints:
        """Epoch, from 1."""
        return self._of("epoch")

    @property
    def seq(self) -> Ints:
        """Number of the event in the log."""
        return self._of("seq")

    @property
    def seconds(self) -> Floats:
        """Time at work since the run began; never falls."""
        return self._of("elapsed_ms") / 1000

    @property
    def time(self) -> Floats:
        """Unix time as the clock said it."""
        return self._of("time_ms") / 1000

    def count_until(self, seq: int) -> int:
        """Number of points recorded up to event ``seq``."""
        row = np.searchsorted(self._rows["seq"], seq, "right")
        return int(np.searchsorted(self.index, row, "left"))

    def recent(self, milliseconds: int) -> tuple[int, int]:
        """Number of points of the last ``milliseconds`` at work, and how much of that time there was."""
        elapsed = self._rows["elapsed_ms"]
        if not len(self):
            return 0, 0
        last = int(elapsed[self.index[-1]])
        row = np.searchsorted(elapsed, last - milliseconds, "right")
        return len(self) - int(np.searchsorted(self.index, row, "left")), min(milliseconds, last)

    def at(self, name: str, points: NDArray) -> Ints:
        """A row field at some points only: cheaper than the whole array."""
        return self._rows[name][self.index[points]]

    def _of(self, name: str) -> Ints:
        index = self.index
        if len(index) and index[-1] - index[0] == len(index) - 1:  # every row between: a slice, no copy
            return self._rows[name][index[0] : index[-1] + 1]
        return self._rows[name][index]


@dataclass(frozen=True, slots=True)
class Buckets:
    """Points ``start`` to ``stop`` of a series in portions of ``2**level``.

    Attributes:
        last: Index in the series of the last point of each bucket.
        mean, least, greatest: ``(buckets,)`` over the finite values; NaN where a bucket has none. At level 0 all three
            are the values themselves.
    """

    level: int
    last: NDArray[np.int64]
    mean: Floats
    least: Floats
    greatest: Floats


def best_point(values: Floats, *, higher: bool, losses: Floats | None = None) -> int | None:
    """Where the best finite value is, the first of several equal ones; None if there is none.

    With the ``losses`` of the same validations those with a finite one come first, as the best weights are chosen.
    """
    finite = np.isfinite(values)
    if losses is not None and losses.shape == values.shape and (finite & np.isfinite(losses)).any():
        finite &= np.isfinite(losses)
    if not finite.any():
        return None
    ranked = np.where(finite, values, -np.inf if higher else np.inf)
    return int(ranked.argmax() if higher else ranked.argmin())


def level_for(size: int, most: int) -> int:
    """Least level at which ``size`` points make at most ``most`` buckets.

    >>> [level_for(n, 1500) for n in (0, 1500, 1501, 1_000_000)]
    [0, 0, 1, 10]
    """
    level = 0
    while size > most << level:
        level += 1
    return level


def thin(values: Floats, start: int, stop: int, level: int) -> Buckets:
    """Buckets of ``values[start:stop]``; a last one that is not full counts as one."""
    part = values[start:stop]
    width = 1 << level
    edges = np.arange(0, len(part), width)
    last = np.minimum(edges + width, len(part)) - 1 + start
    if level == 0 or not len(part):
        return Buckets(level, last, part, part, part)
    finite = np.isfinite(part)
    counts = np.add.reduceat(finite, edges, dtype=np.int64)
    empty = counts == 0
    sums = np.add.reduceat(np.where(finite, part, 0.0), edges)
    least = np.minimum.reduceat(np.where(finite, part, np.inf), edges)
    greatest = np.maximum.reduceat(np.where(finite, part, -np.inf), edges)
    mean = sums / np.maximum(counts, 1)
    # the mean of equal values may leave their range by one rounding
    mean = np.clip(mean, least, greatest, where=~empty, out=mean)
    for column in (mean, least, greatest):
        column[empty] = np.nan
    return Buckets(level, last, mean, least, greatest)
