"""The colour of each class of a mask, and masks laid over pictures: the same in previews and predictions."""

from __future__ import annotations

import numpy as np

from fine_tuner.data.masks.coding import IGNORE_INDEX

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
