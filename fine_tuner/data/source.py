"""What every reader of a layout hands over, before anything is verified or split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from fine_tuner.base.errors import DataError
from fine_tuner.data.masks.coding import MaskCoding
from fine_tuner.data.records import Record

UNSPLIT = "all"
ProblemKind = Literal[
    "unreadable", "missing_label", "missing_image", "image_alone", "mask_alone", "conflict", "size_mismatch",
    "unknown_value",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that cannot be used as it is.

    Attributes:
        kind: What sort of thing.
        message: What and where, without what to do.
        file: The file it is about, for a thumbnail.
    """

    kind: ProblemKind
    message: str
    file: Path | None = None


class MendableError(DataError):
    """An error that some settings would mend.

    Attributes:
        remedy: What they do, for a button.
        settings: Dotted path to value.
    """

    def __init__(self, message: str, *, remedy: str, settings: Mapping[str, Any]) -> None:
        self.remedy, self.settings = remedy, settings
        super().__init__(message)


@dataclass(frozen=True, kw_only=True)
class Source:
    """Records as the data has them.

    Attributes:
        records: By split; under ``all`` those that the data puts in no split.
        classes: Names in the order of the outputs; empty for regression.
        words: What was recognised.
        target_names: Names of the numbers (regression).
        mask_coding: How masks are read (segmentation).
        mask_pixels: For each mask its pixels of each class (segmentation).
        notices: Sentences for the user.
        problems: What is not among the records because it cannot be used.
    """

    records: Mapping[str, tuple[Record, ...]]
    classes: tuple[str, ...]
    words: str
    target_names: tuple[str, ...] = ()
    mask_coding: MaskCoding | None = None
    mask_pixels: Mapping[Path, tuple[int, ...]] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
