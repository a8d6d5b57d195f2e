"""How the values in mask files become class indices, and the colours in which those are shown.

========  =============================  ===========================================
coding    values in the file             class
========  =============================  ===========================================
index     0, 1, 2, ...                   the value itself
values    any few, such as 0 and 255     the position in the sorted list of values
colours   RGB triples                    the position in the colour table
========  =============================  ===========================================

What is in none of the classes is an error that names value and file, or by the user's choice ignored, or taken for
the class of the nearest value or colour.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from fine_tuner.base.errors import DataError

IGNORE_INDEX = 255


@dataclass(frozen=True)
class MaskCoding:
    """Table from values in mask files to class indices.

    Attributes:
        values: For each class its value, or its colour as ``0xRRGGBB``.
        is_colours: Masks are read as RGB.
        ignored: Values whose pixels count nowhere (they become IGNORE_INDEX).
        unknown: What becomes of values in neither list: ``stop``, ``ignore`` or ``nearest``.
        resize: Masks of another size than their image are brought to it.
        is_stored: Masks fit the pictures as the camera stored them, and are turned with them (EXIF).
    """

    values: tuple[int, ...]
    is_colours: bool = False
    ignored: tuple[int, ...] = ()
    unknown: str = "stop"
    resize: bool = False
    is_stored: bool = False

    @cached_property
    def _known(self) -> tuple[np.ndarray, np.ndarray]:
        """Sorted values and the class of each."""
        classes = {v: i for i, v in enumerate(self.values)} | dict.fromkeys(self.ignored, IGNORE_INDEX)
        keys = np.array(sorted(classes), dtype=np.int64)
        return keys, np.array([classes[k] for k in keys.tolist()], dtype=np.uint8)

    @cached_property
    def _of_bytes(self) -> tuple[np.ndarray, np.ndarray]:
        """Class of each 8-bit value, and which of them are known."""
        values = np.arange(256)
        return self.classes_of_values(values), np.isin(values, self._known[0])

    def classes_of(self, mask: np.ndarray, name: object) -> np.ndarray:
        """Class indices ``(H, W)`` uint8 of a mask as ``load_mask`` gives it; ``name`` is used in the message only.

        Raises:
            DataError: If the mask holds a value that is no class, and those are neither ignored nor brought near.
        """
        if mask.dtype == np.uint8 and mask.ndim == 2 and not self.is_colours:
            table, known = self._of_bytes
            if self.unknown == "stop" and not known.all():
                present = np.bincount(mask.ravel(), minlength=256) > 0
                self._refuse(np.flatnonzero(present & ~known), name)
            return table[mask]
        values = as_values(mask, is_colours=self.is_colours)
        if self.unknown == "stop":
            self._refuse(np.setdiff1d(values, self._known[0]), name)
        if self.unknown == "nearest":
            distinct, where = np.unique(values, return_inverse=True)
            return self.classes_of_values(distinct)[where].reshape(values.shape)
        return self.classes_of_values(values)

    def classes_of_values(self, values: np.ndarray) -> np.ndarray:
        """Class of each value, IGNORE_INDEX or the nearest one's for those that are unknown."""
        keys, classes = self._known
        if self.unknown == "nearest":
            differences = self._points(values)[..., None, :] - self._points(keys)
            return classes[(differences**2).sum(-1).argmin(-1)]
        position = np.searchsorted(keys, values).clip(max=len(keys) - 1)
        return np.where(keys[position] == values, classes[position], np.uint8(IGNORE_INDEX))

    def _points(self, values: np.ndarray) -> np.ndarray:
        """Values as points between which there is a distance."""
        if not self.is_colours:
            return values[..., None].astype(np.int64)
        return np.stack([values >> 16, (values >> 8) & 255, values & 255], -1).astype(np.int64)

    def _refuse(self, unknown: np.ndarray, name: object) -> None:
        if not len(unknown):
            return
        shown = ", ".join(self.written(v) for v in unknown[:5].tolist()) + (", ..." if len(unknown) > 5 else "")
        known = ", ".join(self.written(v) for v in self.values[:8]) + (", ..." if len(self.values) > 8 else "")
        raise DataError(
            f"Mask {name} holds {shown}, which is no class (classes are {known}). Correct the mask, or set "
            "data.mask_unknown=ignore to leave such pixels out, or =nearest to take the class of the nearest value."
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
            "unknown": self.unknown,
            "resize": self.resize,
            "is_stored": self.is_stored,
        }

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> MaskCoding:
        """Inverse of ``to_json``."""
        return cls(
            tuple(tree["values"]),
            tree["is_colours"],
            tuple(tree["ignored"]),
            tree["unknown"],
            tree["resize"],
            tree.get("is_stored", False),  # not in splits of earlier versions
        )


def as_values(mask: np.ndarray, *, is_colours: bool) -> np.ndarray:
    """One int64 per pixel ``(H, W)``: the value, or ``0xRRGGBB`` of a mask ``(H, W, 3)`` or a grey one."""
    if mask.ndim == 3:
        red, green, blue = (mask[..., i].astype(np.int64) for i in range(3))
        return (red << 16) | (green << 8) | blue
    values = mask.astype(np.int64)
    return values * 0x010101 if is_colours else values


# Okabe-Ito without black, then the same darker: told apart with any colour vision.
_COLOURS = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167),
    (140, 95, 0), (40, 105, 140), (0, 90, 65), (140, 130, 20), (0, 60, 100), (120, 50, 0), (115, 60, 90),
)  # fmt: skip
_OPACITY = 0.5


def colour_of(index: int) -> tuple[int, int, int]:
    """RGB of class ``index``, which is 1 or more: class 0 is most often the background and stays clear."""
    return _COLOURS[(index - 1) % len(_COLOURS)]


def legend(names: tuple[str, ...] | list[str]) -> list[dict[str, str | None]]:
    """``{"name", "colour"}`` of each class of a mask; None for the clear one.

    >>> legend(["ground", "leaf"])
    [{'name': 'ground', 'colour': None}, {'name': 'leaf', 'colour': '#e69f00'}]
    """
    return [
        {"name": name, "colour": "#{:02x}{:02x}{:02x}".format(*colour_of(i)) if i else None}
        for i, name in enumerate(names)
    ]


def lay_over(pixels: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Pixels ``(H, W, 3)`` uint8 under the colours of ``classes`` ``(H, W)``; pixels that are ignored are dimmed."""
    image = pixels.astype(np.float32)
    palette = np.array([colour_of(max(i, 1)) for i in range(256)], np.float32)
    shown = (classes > 0) & (classes != IGNORE_INDEX)
    image[shown] = (1 - _OPACITY) * image[shown] + _OPACITY * palette[classes[shown]]
    image[classes == IGNORE_INDEX] *= 1 - _OPACITY
    return image.round().astype(np.uint8)
