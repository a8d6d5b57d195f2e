"""Black and white of pictures with more than 8 bits a pixel: measured over the whole set, since no file says it.

Cameras, scanners and microscopes put 10, 12 or 14 bits into files of 16; scaled by what the file could hold, such
pictures are all but black.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fine_tuner.base.errors import DataError
from fine_tuner.base.progress import OnProgress
from fine_tuner.base.text import counted
from fine_tuner.data.files.images import is_deep, is_deep_colour, open_image
from fine_tuner.data.files.scan_cache import Fact, facts_about
from fine_tuner.data.notices import MendableError, Notice, Remedy

PixelRange = tuple[int, int]
_DEEP_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".pgm", ".ppm"})
_FULL = 65535
_UPPERMOST_BIT = 128
_PERCENT = 99.9  # a hot pixel is not white


def may_be_deep_by_name(path: Path) -> bool:
    """Whether a file of this suffix can have more than 8 bits of grey a pixel."""
    return path.suffix.lower() in _DEEP_SUFFIXES


def look_at_range(path: Path) -> Fact:
    """Facts about one file: ``low``, ``high`` and ``most`` (of all but a thousandth); empty if it is not deep.

    Of one with 16 bits a colour ``most_colour`` alone, of the upper 8.
    """
    try:
        with open_image(path) as image:
            if is_deep_colour(image):
                image.load()
                return {"most_colour": float(np.percentile(np.asarray(image)[..., :3], _PERCENT))}
            if not is_deep(image):
                return {}
            image.load()
            values = np.asarray(image)
    except DataError:
        return {}
    values = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if not values.size:
        return {}
    low, high = float(values.min()), float(values.max())
    return {"low": low, "high": high, "most": float(np.percentile(values, _PERCENT))}


def _facts(paths: Sequence[Path], progress: OnProgress) -> list[Fact]:
    return facts_about(paths, look_at_range, kind="range 2", what="Measuring 16-bit pixels", progress=progress)


def ask_if_dark(paths: Sequence[Path], progress: OnProgress) -> None:
    """Pictures of 16 bits a colour that use the lower ones only, of which all but nothing would be read.

    Raises:
        MendableError: If no picture uses the uppermost bit.
    """
    most = [fact["most_colour"] for fact in _facts(paths, progress) if "most_colour" in fact]
    if not most or max(most) >= _UPPERMOST_BIT:
        return
    raise MendableError(
        f"{counted(len(most), 'picture')} of 16 bits a colour, of which the upper 8 are read, and those reach "
        f"{max(most):g} of 255, which is dark. Save them with 8 bits a colour, scaled to what they use, or choose.",
        remedies=[Remedy("read them as they are", {"data.pixel_range": [0, _FULL]})],
    )


def measure_range(paths: Sequence[Path], progress: OnProgress) -> tuple[PixelRange | None, list[Notice]]:
    """The range that the deep ones of these pictures use, and what there is to say of it; None if none is deep.

    The range is 0 to the largest number of as many bits as are used (4095 of 12), if the values fill a quarter of
    that; else from the least to the largest value (a microscope's offset).
    """
    facts = [f for f in _facts(paths, progress) if "low" in f]
    if not facts:
        return None, []
    low, high = min(f["low"] for f in facts), max(f["high"] for f in facts)
    most = max(f["most"] for f in facts)
    white = 2 ** max(1, int(np.ceil(np.log2(max(most, 1) + 1)))) - 1
    if high > white and high <= 2 * white + 1:  # no outlier: the next bit is used
        white = 2 * white + 1
    if low >= 0 and white <= _FULL and min(high, white) - low >= white / 4:
        found = (0, int(white))
    else:
        found = (int(np.floor(low)), int(np.ceil(min(high, max(most, low + 1)) if low >= 0 else high)))
    found = (found[0], max(found[1], found[0] + 1))
    text = (
        f"{counted(len(facts), 'picture')} of more than 8 bits a pixel, values from {low:g} to {high:g}: {found[0]} is "
        f"shown as black and {found[1]} as white."
    )
    may_be_full = low >= 0 and 1 < high <= _FULL and found != (0, _FULL)
    other = (Remedy("scale by all that 16 bits hold", {"data.pixel_range": [0, _FULL]}),) if may_be_full else ()
    return found, [Notice(text, "note", other, "pixel_range")]
