"""Cutting, scaling and flipping of uint8 tensors, with a mask where there is one.

torchvision's own classes do the same in general; on small pictures their dispatch takes longer than the arithmetic
(96 px to 64 px: 183 us for RandomResizedCrop, 71 us for the interpolation in it).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import InterpolationMode

from fine_tuner.data.masks.coding import IGNORE_INDEX

_ATTEMPTS = 10
_RATIOS = (3 / 4, 4 / 3)


def to_tensor(image: Image.Image) -> Tensor:
    """Pixels ``(3, H, W)`` uint8, in memory as the picture has them: ``(H, W, 3)``, which saves a transposition."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


class RandomCrop(nn.Module):
    """A random part of the picture, scaled to a square.

    Args:
        size: Side of the square in px.
        area: Least and greatest share of the picture's area.
        mode: How to interpolate.

    Source: as torchvision's RandomResizedCrop (Szegedy et al. 2015, https://arxiv.org/abs/1409.4842).
    """

    def __init__(self, size: int, *, area: tuple[float, float], mode: InterpolationMode) -> None:
        super().__init__()
        self.size, self.area, self.mode = size, area, mode

    def forward(self, pixels: Tensor) -> Tensor:
        """``(3, H, W)`` to ``(3, size, size)``."""
        top, left, height, width = self._box(*pixels.shape[-2:])
        part = pixels[:, top : top + height, left : left + width]
        return scaled(part, (self.size, self.size), self.mode)

    def _box(self, height: int, width: int) -> tuple[int, int, int, int]:
        low, high = self.area
        for _ in range(_ATTEMPTS):
            share, shape, down, right = torch.rand(4).tolist()
            area = height * width * (low + (high - low) * share)
            ratio = _RATIOS[0] * (_RATIOS[1] / _RATIOS[0]) ** shape
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                return int(down * (height - h + 1)), int(right * (width - w + 1)), h, w
        w, h = min(width, round(height * _RATIOS[1])), min(height, round(width / _RATIOS[0]))  # very long pictures
        return (height - h) // 2, (width - w) // 2, h, w


class RandomFlip(nn.Module):
    """Mirrors every other picture left to right, its mask with it."""

    def forward(self, *parts: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Tensors ``(..., H, W)`` to the same."""
        if torch.rand(()).item() < 0.5:
            parts = tuple(part.flip(-1) for part in parts)
        return parts if len(parts) > 1 else parts[0]


def scaled(pixels: Tensor, size: tuple[int, int], mode: InterpolationMode) -> Tensor:
    """``(3, H, W)`` uint8 to the size (height, width), smoothed where it is made smaller."""
    if mode == InterpolationMode.NEAREST:
        return v2.functional.resize(pixels, list(size), interpolation=mode)
    return F.interpolate(pixels[None], size, mode=mode.value, antialias=True)[0]


class FitSquare(nn.Module):
    """The whole picture, its shape kept, on a square; the mask of the padding is IGNORE_INDEX."""

    def __init__(self, size: int, *, mode: InterpolationMode, fill: Sequence[int]) -> None:
        super().__init__()
        self.size, self.mode, self.fill = size, mode, fill

    def forward(self, picture: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Picture ``(3, h, w)`` and mask ``(h, w)`` to ``size`` by ``size``."""
        height, width = picture.shape[-2:]
        scale = self.size / max(height, width)
        return _place(self, picture, mask, scale, (0.5, 0.5))


class RandomZoomCrop(nn.Module):
    """Scales by a random factor, relative to the picture fitted into the square, then takes a random square."""

    def __init__(self, size: int, *, zoom: tuple[float, float], mode: InterpolationMode, fill: Sequence[int]) -> None:
        super().__init__()
        self.size, self.zoom, self.mode, self.fill = size, zoom, mode, fill

    def forward(self, picture: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Picture ``(3, h, w)`` and mask ``(h, w)`` to ``size`` by ``size``."""
        height, width = picture.shape[-2:]
        position, right, down = torch.rand(3).tolist()
        low, high = self.zoom
        scale = low * (high / low) ** position * self.size / max(height, width)
        return _place(self, picture, mask, scale, (down, right))


def _place(
    spec: FitSquare | RandomZoomCrop, picture: Tensor, mask: Tensor, scale: float, at: tuple[float, float]
) -> tuple[Tensor, Tensor]:
    """Scale both, then cut or pad to the square; ``at`` is where in the free play, 0 to 1, down and right."""
    size = [max(1, round(side * scale)) for side in picture.shape[-2:]]
    picture = scaled(picture, (size[0], size[1]), spec.mode)
    mask = F.interpolate(mask[None, None], size, mode="nearest-exact")[0, 0]
    top, left = (round((side - spec.size) * part) for side, part in zip(size, at, strict=True))
    box = max(0, top), max(0, left), min(size[0], spec.size), min(size[1], spec.size)
    window = (..., slice(box[0], box[0] + box[2]), slice(box[1], box[1] + box[3]))
    picture, mask = picture[window], mask[window]
    before = max(0, -left), max(0, -top)
    after = spec.size - box[3] - before[0], spec.size - box[2] - before[1]
    if any(before) or any(after):
        picture = v2.functional.pad(picture, [*before, *after], fill=list(spec.fill))
        mask = F.pad(mask, (before[0], after[0], before[1], after[1]), value=IGNORE_INDEX)
    return picture, mask


class Together(nn.Module):
    """A transform of torchvision on picture and mask: geometry moves both, colour and blur the picture only."""

    def __init__(self, transform: nn.Module) -> None:
        super().__init__()
        self.transform = transform

    def forward(self, picture: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Picture ``(3, H, W)`` and mask ``(H, W)`` to the same."""
        picture, mask = self.transform(tv_tensors.Image(picture), tv_tensors.Mask(mask))
        return picture.as_subclass(Tensor), mask.as_subclass(Tensor)
