"""What every reader is told (the user's choices) and hands over, before anything is verified or split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

from fine_tuner.base.text import counted, some
from fine_tuner.data.mask_coding import MaskCoding
from fine_tuner.data.notices import Notice
from fine_tuner.data.records import Record

UNSPLIT = "all"
SPLIT_NAMES = {
    "train": "train", "training": "train", "trainval": "train",
    "val": "val", "valid": "val", "validation": "val", "validate": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
ProblemKind = Literal[
    "unreadable", "missing_label", "missing_image", "image_alone", "mask_alone", "conflict", "size_mismatch",
    "unknown_value", "extra_class", "turned_mask", "contradiction",
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
        notices: What was decided or left out.
        problems: What is not among the records because it cannot be used.
    """

    records: Mapping[str, tuple[Record, ...]]
    classes: tuple[str, ...]
    words: str
    target_names: tuple[str, ...] = ()
    mask_coding: MaskCoding | None = None
    mask_pixels: Mapping[Path, tuple[int, ...]] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()
    problems: tuple[Problem, ...] = ()


Layout = Literal["auto", "classes", "table", "masks", "objects"]


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
        on_contradiction: Equal files with different labels: ``stop``, ``skip`` all of them, or ``keep`` them.
        class_level: Classes are the ``outer`` folders, or the ``inner`` ones below them.
        group_by_name: Images that inner folders or names say belong together stay in one split.
        masks_beside: Files named as masks of a picture in the same folder: ``recognise`` or ``ignore`` that.
        image_folder: Folder of the images, where it is not recognised.
        mask_folder: Folder of their masks.
        mask_orientation: Masks are ``upright`` as a person sees the pictures, ``stored`` as the camera turned them, or
            told by their sizes (``auto``).
        encoding: Of the names in a zip and of the text of a table; empty: told by what they hold.
        pixel_range: Black and white of pictures of more than 8 bits; None: measured.
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
    on_contradiction: Literal["stop", "skip", "keep"] = "stop"
    class_level: Literal["outer", "inner"] = "outer"
    group_by_name: bool = False
    masks_beside: Literal["recognise", "ignore"] = "recognise"
    image_folder: str = ""
    mask_folder: str = ""
    mask_orientation: Literal["auto", "upright", "stored"] = "auto"
    encoding: str = ""
    pixel_range: tuple[int, ...] | None = None


READ_OPTIONS: tuple[str, ...] = tuple(f.name for f in fields(ReadOptions))
"""Names of all options, for reading them from the settings."""


def names_in(text: str) -> tuple[str, ...]:
    """Names with commas between them."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def listed_classes(names: Sequence[str]) -> str:
    """How many classes there are, and what the first are called.

    >>> listed_classes(("ants", "bees"))
    '2 classes (ants, bees)'
    """
    return f"{counted(len(names), 'class')} ({some(names)})"


def split_named(name: str) -> str | None:
    """``train``, ``val`` or ``test`` if a folder or a cell of this name means one."""
    return SPLIT_NAMES.get(name.strip().lower())
