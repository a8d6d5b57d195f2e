"""Masks that lie beside their pictures in one folder, told by name and content: ``x.png``, ``x_mask_1.png``.

A name alone is no proof (``person_mask.jpg`` may be a photograph of someone with a mask), so some are opened.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from fine_tuner.base.cache_folder import cache_folder
from fine_tuner.base.errors import DataError
from fine_tuner.base.files import replacing
from fine_tuner.data.files.folders import composed
from fine_tuner.data.files.images import load_mask
from fine_tuner.data.masks.values import look_at_mask

_NAMED_AS_MASK = re.compile(
    r"^(?P<picture>.+?)[ _.\-]*(?:mask|masks|seg|segmentation|segm|groundtruth|ground_truth|gt|annotation|label|labels|"
    r"matte|roi)(?:[ _.\-]*\d+)?$",
    re.IGNORECASE,
)
_OPENED = 12
_MOST_VALUES = 32  # of a mask with soft edges there are more, but then nearly all pixels are 0 or 255
_ENDS_SHARE = 0.9


def masks_beside(files: Iterable[Path]) -> dict[Path, tuple[Path, ...]]:
    """Picture to the files of its folder that are named as its masks; empty if what they hold are no masks."""
    by_folder: dict[Path, dict[str, Path]] = defaultdict(dict)
    for file in files:
        by_folder[file.parent][composed(file.stem).lower()] = file
    found: dict[Path, list[Path]] = defaultdict(list)
    for stems in by_folder.values():
        for stem, file in stems.items():
            match = _NAMED_AS_MASK.match(stem)
            picture = stems.get(match["picture"].rstrip(" _.-")) if match else None
            if picture is not None and picture != file:
                found[picture].append(file)
    masks = [mask for several in found.values() for mask in several]
    return {picture: tuple(several) for picture, several in found.items()} if _are_masks(masks) else {}


def _are_masks(files: Sequence[Path]) -> bool:
    """Whether most of some of them hold few values, or hardly anything between black and white."""
    some = files[:: max(1, len(files) // _OPENED)][:_OPENED]
    return bool(some) and sum(map(_is_mask, some)) >= 0.75 * len(some)


def _is_mask(file: Path) -> bool:
    fact = look_at_mask(file)
    if "error" in fact:
        return False
    values = fact["values"]
    ends = sum(count for value, count in values.items() if int(value) in (0, 255, 0xFFFFFF))
    return fact["distinct"] <= _MOST_VALUES or ends >= _ENDS_SHARE * fact["size"][0] * fact["size"][1]


def joined(masks: Sequence[Path]) -> Path:
    """The one mask, or several laid over each other as a file in the cache: where one is 0 the others show.

    Raises:
        DataError: If one cannot be read, or their sizes differ.
    """
    if len(masks) == 1:
        return masks[0]
    stamps = [f"{m} {m.stat().st_size} {m.stat().st_mtime_ns}" for m in masks]
    digest = hashlib.sha256("\n".join(stamps).encode("utf-8", "surrogateescape")).hexdigest()[:20]
    target = cache_folder() / "joined-masks" / f"{digest}.png"
    if not target.is_file():
        arrays = [load_mask(mask) for mask in masks]
        if len({a.shape for a in arrays}) > 1:
            raise DataError(f"The masks {', '.join(m.name for m in masks)} of {masks[0].parent} differ in size.")
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as draft:
            Image.fromarray(np.maximum.reduce(arrays)).save(draft, format="PNG")
    return target
