"""A full look at every image: does it decode, how large is it, which way up, and what does it look like."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from fine_tuner.base.errors import DataError
from fine_tuner.data.files.folders import Progress
from fine_tuner.data.files.images import open_image, orientation
from fine_tuner.data.files.scan_cache import Fact, facts_about

THUMB_PX = 24


def look_at_image(path: Path) -> Fact:
    """Facts about one image file: ``error``, or ``size`` (upright), ``mode``, ``format``, ``turned`` and ``thumb``."""
    try:
        with open_image(path) as image:
            size, mode, turn = image.size, image.mode, orientation(image)
            if image.format == "JPEG":
                image.draft("L", (4 * THUMB_PX, 4 * THUMB_PX))  # every byte is still decoded
            image.load()
            thumb = _thumb(image)
            found = image.format
    except DataError as error:
        return {"error": str(error)}
    return {
        "size": list(size if turn < 5 else size[::-1]),
        "mode": mode,
        "format": found,
        "turned": turn != 1,
        "thumb": base64.b64encode(thumb.tobytes()).decode(),
    }


def _thumb(image: Image.Image) -> np.ndarray:
    """Grey levels ``(THUMB_PX, THUMB_PX)`` uint8, each the mean of its part of the picture."""
    grey = image
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, np.float32)
        span = float(values.max() - values.min()) or 1.0
        grey = Image.fromarray(((values - values.min()) * (255 / span)).astype(np.uint8))
    elif image.mode != "L":
        grey = image.convert("L")
    return np.asarray(grey.resize((THUMB_PX, THUMB_PX), Image.Resampling.BOX))


def scan_images(paths: Sequence[Path], progress: Progress) -> dict[Path, Fact]:
    """Facts about each image; remembered between runs until a file changes."""
    facts = facts_about(paths, look_at_image, kind="image 2", what="Decoding images", progress=progress)
    return dict(zip(paths, facts, strict=True))


def thumbs_of(facts: Sequence[Fact]) -> np.ndarray:
    """Thumbs ``(N, THUMB_PX ** 2)`` uint8 of readable images."""
    content = [np.frombuffer(base64.b64decode(fact["thumb"]), np.uint8) for fact in facts]
    return np.stack(content) if content else np.zeros((0, THUMB_PX**2), np.uint8)
