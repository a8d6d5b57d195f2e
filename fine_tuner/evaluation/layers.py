"""Small pictures of an evaluation, and what lies over them: masks in colours, errors, boundaries. Without torch."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fine_tuner.base.errors import RunError
from fine_tuner.base.files import open_plain
from fine_tuner.data.files.images import load_image
from fine_tuner.data.mask_coding import IGNORE_INDEX, colour_of
from fine_tuner.runs.results import Results

Layer = Literal["said", "true", "errors", "boundary"]
_MOST_PIXELS = 1 << 26  # of a file of masks: a hundred squares of 800
# Okabe-Ito; told apart with any colour vision.
MISSED, FALSE, RIGHT = (0, 114, 178), (213, 94, 0), (0, 158, 115)


def small_picture(file: Path, side_px: int, pixel_range: Sequence[int] | None = None) -> bytes:
    """The picture as JPEG, at most ``side_px`` on a side, made anew from its pixels.

    Args:
        file: The picture.
        side_px: Its longer side.
        pixel_range: Black and white of one of more than 8 bits, as the run was trained.

    Raises:
        DataError: If it is not there any more, or cannot be read.
    """
    picture = load_image(file, min_side_px=side_px, pixel_range=tuple(pixel_range) if pixel_range else None)
    picture.thumbnail((side_px, side_px))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=85)
    return out.getvalue()


def layer_of(results: Results, index: int, what: Layer) -> bytes:
    """A PNG of the square that the network sees, clear where nothing is to be shown.

    ``said`` and ``true`` are the classes in their colours, the background clear; ``errors`` marks what was missed
    (true, not said), what is false (said, not true), and what is right; ``boundary`` the edges of what is true.

    Raises:
        RunError: If there is no such mask.
    """
    said = read_mask(results.mask(index))
    true = read_mask(results.mask(index, is_true=True))
    return draw_layer(said, true, what)


def draw_layer(said: NDArray[np.uint8], true: NDArray[np.uint8], what: Layer) -> bytes:
    """The same of masks ``(H, W)``; pixels that are IGNORE_INDEX in ``true`` count nowhere.

    Raises:
        RunError: If their sizes differ.
    """
    if said.shape != true.shape:
        raise RunError("The masks are not of the same pictures. Evaluate the run once more.")
    counts = true != IGNORE_INDEX
    if what in ("said", "true"):
        classes = said if what == "said" else true
        palette = np.array([(*colour_of(max(k, 1)), 255 if 0 < k < IGNORE_INDEX else 0) for k in range(256)], np.uint8)
        pixels = palette[classes]
    elif what == "errors":
        pixels = np.zeros((*true.shape, 4), np.uint8)
        wrong = counts & (said != true)
        pixels[counts & (said == true) & (true > 0)] = (*RIGHT, 255)
        pixels[wrong & (said > 0)] = (*FALSE, 255)
        pixels[wrong & (said == 0)] = (*MISSED, 255)
    else:
        pixels = np.zeros((*true.shape, 4), np.uint8)
        pixels[_edges(true) & counts] = (255, 255, 255, 255)
    out = io.BytesIO()
    Image.fromarray(pixels, "RGBA").save(out, "PNG", compress_level=1)
    return out.getvalue()


def _edges(classes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels whose right or lower neighbour is of another class."""
    edges = np.zeros(classes.shape, bool)
    edges[:, :-1] |= classes[:, :-1] != classes[:, 1:]
    edges[:-1] |= classes[:-1] != classes[1:]
    return edges


def read_mask(path: Path) -> NDArray[np.uint8]:
    """Classes ``(H, W)`` of a file of masks.

    Raises:
        RunError: If it is not there or damaged.
    """
    try:
        with open_plain(path) as file, Image.open(file, formats=["PNG"]) as image:
            if image.mode in ("L", "P") and image.width * image.height <= _MOST_PIXELS:
                return np.asarray(image)
            raise OSError("not what an evaluation writes")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise RunError(f"{path.name} is not among the results. Evaluate the run once more.") from None
