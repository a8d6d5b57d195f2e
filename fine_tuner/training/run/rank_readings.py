"""Readings of the memory of all ranks, for the chart that the first rank records."""

from __future__ import annotations

from collections.abc import Mapping

from fine_tuner.distributed.ranks import Ranks
from fine_tuner.memory.readings import MemoryReader


class RankReadings:
    """Called by all ranks after each step: the first rank's readings, when they are due, and those of the others.

    Theirs are ``memory/process_mib/device-2`` and so on, counted from 1, which is the first rank.

    Args:
        reader: Of this process.
        ranks: The processes of the run.
    """

    def __init__(self, reader: MemoryReader, ranks: Ranks) -> None:
        self._reader, self._ranks = reader, ranks

    def __call__(self) -> Mapping[str, float]:
        """What is to be recorded with the step; nothing if the last readings are fresh."""
        ranks = self._ranks
        own = self._reader() if ranks.is_first else {}
        if ranks.world_size == 1:
            return own
        (is_due,) = ranks.agree(bool(own))
        if not is_due:
            return {}
        first, *others = ranks.collect(own if ranks.is_first else self._reader.read())
        return dict(first) | {
            f"{key}/device-{number}": value for number, other in enumerate(others, 2) for key, value in other.items()
        }
