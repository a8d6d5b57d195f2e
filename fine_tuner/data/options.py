"""How a user corrects what is recognised, and what to do with records that cannot be used: flat, as in the settings."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

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
