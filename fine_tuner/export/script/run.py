"""The run that a script repeats, as values: each part of the script is made from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fine_tuner.config.live_changes import Change
from fine_tuner.config.settings import Settings
from fine_tuner.data.records import DataSplits


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a script is made from.

    Attributes:
        settings: With the run's own copies of the user's losses.
        user_files: Section of a loss to the name that the user's file had.
        about: Metadata of the run's weights; empty if it has none yet.
        facts: Of the newest attempt: device and precision are taken from them.
        changes: Made while it trained.
        steps_per_epoch: Optimizer steps.
        stopped: Steps done, and whether they were validated, where the user ended the run; None: it ran to its end.
    """

    id: str
    settings: Settings
    data: DataSplits
    user_files: Mapping[str, str]
    about: Mapping[str, Any]
    facts: Mapping[str, Any]
    changes: Sequence[Change]
    steps_per_epoch: int
    stopped: tuple[int, bool] | None = None
    caveats: list[str] = field(default_factory=list)
