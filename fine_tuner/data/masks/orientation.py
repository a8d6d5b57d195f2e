"""Masks of photographs that the camera stored turned (EXIF): drawn on the picture upright, or as it is stored?

Viewers turn such pictures upright, most programs that draw masks do not. Where a side is longer than the other, the
size of the mask tells; for square pictures and those turned by half, nothing in the files does, so it is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fine_tuner.base.errors import DataError
from fine_tuner.data.files.images import open_image, orientation
from fine_tuner.data.options import Problem

Size = tuple[int, int]
_MAY_BE_TURNED = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".png", ".webp", ".avif"})


@dataclass(frozen=True)
class Turned:
    """A picture that is stored turned, and its mask.

    Attributes:
        image: The picture.
        mask: Its mask.
        upright: Size of the picture as a person sees it.
        is_swapped: Width and height of the stored picture are exchanged.
        mask_size: Size of the mask.
    """

    image: Path
    mask: Path
    upright: Size
    is_swapped: bool
    mask_size: Size

    @property
    def fits_upright(self) -> bool | None:
        """Whether the mask fits the picture upright and not as stored; None if its size does not tell."""
        if not self.is_swapped or self.upright[0] == self.upright[1]:
            return None
        return {self.upright: True, self.upright[::-1]: False}.get(self.mask_size)


def find_turned(
    pairs: Sequence[tuple[Path, Path]], sizes: Mapping[Path, Size], masks: Mapping[Path, Size]
) -> list[Turned]:
    """The pictures among ``pairs`` (image, mask) that are stored turned."""
    out = []
    for image, mask in pairs:
        if image.suffix.lower() not in _MAY_BE_TURNED or mask not in masks:
            continue
        try:
            with open_image(image) as opened:
                turn = orientation(opened)
        except DataError:  # named elsewhere
            continue
        if turn != 1:
            out.append(Turned(image, mask, sizes[image], turn >= 5, masks[mask]))
    return out


def ask_of_turned(turned: Sequence[Turned]) -> list[Problem]:
    """A problem for each mask that fits its picture as stored, or that may; none if sizes say that all are upright."""
    told = [t.fits_upright for t in turned]
    stored = [t for t, fits in zip(turned, told, strict=True) if fits is False]
    if stored:
        return [
            Problem(
                "turned_mask",
                f"Mask {t.mask} ({_written(t.mask_size)}) fits its picture {t.image} as the camera stored it, not "
                f"upright ({_written(t.upright)}).",
                t.mask,
            )
            for t in stored
        ]
    if any(told):  # the others were drawn alike
        return []
    return [
        Problem(
            "turned_mask",
            f"Picture {t.image} is stored turned, and the size of its mask {t.mask.name} does not tell whether it was "
            "drawn on the picture upright or as stored.",
            t.image,
        )
        for t, fits in zip(turned, told, strict=True)
        if fits is None and t.mask_size in (t.upright, t.upright[::-1])
    ]


def _written(size: Size) -> str:
    return f"{size[0]} x {size[1]}"
