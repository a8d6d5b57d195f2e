"""Small pictures of files that a finding is about, made anew from their pixels: nothing else of a file gets out.

A mask whose values are numbers of classes is all but black to the eye, so its values get the colours of classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fine_tuner.base.errors import DataError
from fine_tuner.base.progress import no_progress
from fine_tuner.data.files.images import load_image, load_mask, open_image
from fine_tuner.data.files.pixel_range import measure_range
from fine_tuner.data.mask_coding import lay_over

SIDE_PX = 160
_MOST_NUMBERS = 64  # a picture of darker greys than this, and of few of them, is a mask


def write_thumbnails(report: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A report with ``thumbnails`` beside the ``files`` of each example: names of PNGs, None where none can be made.

    Args:
        report: As ``Report.to_json`` gives it.
        folder: Made if it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names: dict[str, str | None] = {}
    for finding in report["findings"]:
        for example in finding["examples"]:
            for file in example["files"]:
                if file not in names:
                    names[file] = _write(Path(file), folder / f"{len(names):03d}.png")
    findings = [
        {**f, "examples": [{**e, "thumbnails": [names[file] for file in e["files"]]} for e in f["examples"]]}
        for f in report["findings"]
    ]
    return {**report, "findings": findings}


def _write(file: Path, target: Path) -> str | None:
    try:
        picture = thumbnail(file)
    except DataError:  # what is wrong with it is what the finding says
        return None
    picture.save(target)
    return target.name


def thumbnail(file: Path) -> Image.Image:
    """The picture in ``file``, upright, RGB, at most SIDE_PX on a side.

    Raises:
        DataError: If it cannot be read.
    """
    with open_image(file) as image:
        mode = image.mode
    if mode in ("L", "1") and (numbers := load_mask(file)).max(initial=0) < _MOST_NUMBERS:
        shrunk = Image.fromarray(numbers)
        shrunk.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.NEAREST)
        classes = np.asarray(shrunk)
        return Image.fromarray(lay_over(np.full((*classes.shape, 3), 40, np.uint8), classes))
    own_range, _ = measure_range([file], no_progress)  # its set's is not told here
    picture = load_image(file, min_side_px=SIDE_PX, pixel_range=own_range)
    picture.thumbnail((SIDE_PX, SIDE_PX))
    return picture
