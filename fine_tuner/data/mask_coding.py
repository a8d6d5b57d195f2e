"""How the values in mask files become class indices.

========  =============================  ===========================================
coding    values in the file             class
========  =============================  ===========================================
index     0, 1, 2, ...                   the value itself
values    any few, such as 0 and 255     the position in the sorted list of values
colours   RGB triples                    the position in the colour table
========  =============================  ===========================================

What is in none of the classes is either ignored by the user's choice or an error that names the value and the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from fine_tuner.errors import DataError

IGNORE_INDEX = 255


@dataclass(frozen=True)
class MaskCoding:
    """Table from values in mask files to class indices.

    Attributes:
        values: For each class its value, or its colour as ``0xRRGGBB``.
        is_colours: Masks are read as RGB.
        ignored: Values whose pixels count nowhere (they become IGNORE_INDEX).
        ignore_unknown: Values in neither list are ignored too, instead of being an error.
    """

    values: tuple[int, ...]
    is_colours: bool = False
    ignored: tuple[int, ...] = ()
    ignore_unknown: bool = False

    @cached_property
    def _table(self) -> tuple[np.ndarray, np.ndarray]:
        """Sorted values and the class of each."""
        pairs = {**dict.fromkeys(self.ignored, IGNORE_INDEX), **{v: i for i, v in enumerate(self.values)}}
        for value in self.ignored:
            pairs[value] = IGNORE_INDEX
        keys = np.array(sorted(pairs), dtype=np.int64)
        return keys, np.array([pairs[k] for k in keys.tolist()], dtype=np.uint8)

    @cached_property
    def _lookup(self) -> tuple[np.ndarray, np.ndarray]:
        """Class of each 8-bit value, and which of them are known."""
        keys, classes = self._table
        table, known = np.full(256, IGNORE_INDEX, np.uint8), np.zeros(256, bool)
        small = (keys >= 0) & (keys < 256)
        table[keys[small]], known[keys[small]] = classes[small], True
        return table, known

    def classes_of(self, mask: np.ndarray, name: object) -> np.ndarray:
        """Class indices ``(H, W)`` uint8 of a mask as ``load_mask`` gives it; ``name`` is used in the message only.

        Raises:
            DataError: If the mask holds a value that is no class and is not ignored.
        """
        if mask.dtype == np.uint8 and mask.ndim == 2 and not self.is_colours:
            table, known = self._lookup
            if not self.ignore_unknown and not known.all():
                present = np.bincount(mask.ravel(), minlength=256) > 0
                self._refuse(np.flatnonzero(present & ~known), name)
            return table[mask]
        values = as_values(mask, is_colours=self.is_colours)
        keys, classes = self._table
        position = np.searchsorted(keys, values).clip(max=len(keys) - 1)
        is_known = keys[position] == values
        if not self.ignore_unknown and not is_known.all():
            self._refuse(np.unique(values[~is_known]), name)
        return np.where(is_known, classes[position], np.uint8(IGNORE_INDEX))

    def _refuse(self, unknown: np.ndarray, name: object) -> None:
        if not len(unknown):
            return
        shown = ", ".join(self.written(v) for v in unknown[:5].tolist()) + (", ..." if len(unknown) > 5 else "")
        known = ", ".join(self.written(v) for v in self.values[:8]) + (", ..." if len(self.values) > 8 else "")
        raise DataError(
            f"Mask {name} holds {shown}, which is no class (classes are {known}). Correct the mask, or ignore such "
            "pixels with data.mask_unknown=ignore."
        )

    def written(self, value: int) -> str:
        """A value as a person writes it: ``255`` or ``#ff0000``."""
        return f"#{value:06x}" if self.is_colours else str(value)

    def to_json(self) -> dict[str, Any]:
        """Plain values; ``from_json`` gives an equal object back."""
        return {
            "values": list(self.values),
            "is_colours": self.is_colours,
            "ignored": list(self.ignored),
            "ignore_unknown": self.ignore_unknown,
        }

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> MaskCoding:
        """Inverse of ``to_json``."""
        return cls(tuple(tree["values"]), tree["is_colours"], tuple(tree["ignored"]), tree["ignore_unknown"])


def as_values(mask: np.ndarray, *, is_colours: bool) -> np.ndarray:
    """One int64 per pixel ``(H, W)``: the value, or ``0xRRGGBB`` of a mask ``(H, W, 3)`` or a grey one."""
    if mask.ndim == 3:
        red, green, blue = (mask[..., i].astype(np.int64) for i in range(3))
        return (red << 16) | (green << 8) | blue
    values = mask.astype(np.int64)
    return values * 0x010101 if is_colours else values
