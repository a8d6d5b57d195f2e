"""What every reader is told (the user's choices) and hands over, before anything is verified or split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from fine_tuner.base.errors import DataError
from fine_tuner.data.mask_coding import MaskCoding
from fine_tuner.data.records import Record

UNSPLIT = "all"
_SPLIT_NAMES = {
    "train": "train", "training": "train", "trainval": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
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


Layout = Literal["auto", "classes", "table", "masks"]


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """Choices of reading; each has the name of its field in ``data`` of the settings.

    Attributes:
        layout: What the folder is; ``auto`` recognises it.
        file_column: Column of a table that names the images; empty: found.
        label_columns: Columns to learn, with commas between them; empty: found.
        split_column: Column that says train, val or test; empty: found; ``none``: not used.
        group_column: Column whose equal cells stay in one split; empty: none.
        class_names: Names of the classes in order, with commas, where the data has none (masks).
        mask_values: Values of the masks in order of the classes; None: found.
        mask_ignore: Values of the masks that count nowhere.
        mask_unknown: Values that are no class: ``stop``, ``ignore`` them, or take the ``nearest`` class.
        mask_resize: Bring a mask of another size to that of its image.
        colour_table: File with the colours of the classes; empty: looked for beside the data.
        on_unreadable: Images that cannot be read: ``stop`` or ``skip``.
        on_missing: Images without label or mask and labels without image: ``stop`` or ``skip``.
        duplicates: ``keep``, or ``drop`` from train what is also in val or test.
    """

    layout: Layout = "auto"
    file_column: str = ""
    label_columns: str = ""
    split_column: str = ""
    group_column: str = ""
    class_names: str = ""
    mask_values: tuple[int, ...] | None = None
    mask_ignore: tuple[int, ...] | None = None
    mask_unknown: Literal["stop", "ignore", "nearest"] = "stop"
    mask_resize: bool = False
    colour_table: str = ""
    on_unreadable: Literal["stop", "skip"] = "stop"
    on_missing: Literal["stop", "skip"] = "stop"
    duplicates: Literal["keep", "drop"] = "keep"


READ_OPTIONS: tuple[str, ...] = tuple(f.name for f in fields(ReadOptions))
"""Names of all options, for reading them from the settings."""


def names_in(text: str) -> tuple[str, ...]:
    """Names with commas between them."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def split_named(name: str) -> str | None:
    """``train``, ``val`` or ``test`` if a folder or a cell of this name means one."""
    return _SPLIT_NAMES.get(name.strip().lower())
