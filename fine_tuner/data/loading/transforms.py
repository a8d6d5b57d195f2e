"""From a picture to what the network sees: size, augmentation, numbers. Built of torchvision's v2 transforms.

What the augmentations do:

========== ============================================ ============================== ============================
augment    classification                               multi-label, regression        segmentation (with the mask)
========== ============================================ ============================== ============================
none       resize, centre crop, as in evaluation        whole picture, resized         whole picture, padded
light      crop of 80 to 100 % of the area, flip        flip                           flip, crop at 0.8 to 1.25x
standard   crop of 35 to 100 %, flip, colour            flip, zoom out to 1.2x, colour flip, crop at 0.5 to 2x, colour
strong     crop of 15 to 100 %, flip, TrivialAugment,   flip, zoom out to 1.5x,        flip, crop at 0.5 to 2x, turn,
           erase                                        colour, blur                   colour, blur
========== ============================================ ============================== ============================

A number or a label belongs to the whole picture, so regression and multi-label never cut parts away. All randomness
comes from torch's generator on the CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import InterpolationMode

from fine_tuner.data.loading.colour import ColourChange
from fine_tuner.data.loading.geometry import FitSquare, RandomCrop, RandomFlip, RandomZoomCrop, Together, to_tensor
from fine_tuner.data.masks.coding import IGNORE_INDEX

AUGMENTATIONS = ("none", "light", "standard", "strong")
_CROP_AREA = {"light": (0.8, 1.0), "standard": (0.35, 1.0), "strong": (0.15, 1.0)}
_COLOUR = {"none": 0.0, "light": 0.0, "standard": 0.2, "strong": 0.4}  # TrivialAugment brings its own
_ZOOM = {"light": (0.8, 1.25), "standard": (0.5, 2.0), "strong": (0.5, 2.0)}


def build_transforms(
    *,
    augment: str,
    train: bool,
    image_size: int,
    resize_size: int,
    mean: Sequence[float],
    std: Sequence[float],
    task: str,
    interpolation: str = "bilinear",
    flip: bool = True,
) -> ImageTransform:
    """The transform of one split.

    Args:
        augment: One of AUGMENTATIONS; used only if ``train``.
        train: Whether random changes are made.
        image_size: Side in px of the square the network sees.
        resize_size: Shorter side in px before the centre crop of evaluation (classification only).
        mean: Subtracted from each channel, of pixels in 0 to 1.
        std: Divided by.
        task: Decides what may be cut and what moves with the picture.
        interpolation: ``bilinear``, ``bicubic`` or ``nearest``, as the weights were trained.
        flip: Whether mirror images mean the same (not so for text or for left and right).

    Returns:
        ``transform(image, target)``: an RGB picture and its target to ``(3, image_size, image_size)`` float32 and the
        target. A target for segmentation is class indices ``(H, W)`` uint8 and becomes int64 of the size of the
        picture, IGNORE_INDEX where padded; other targets pass unchanged.

    Raises:
        ValueError: If ``augment`` or ``interpolation`` is unknown.
    """
    if augment not in AUGMENTATIONS:
        raise ValueError(f"augment {augment!r} is not one of {', '.join(AUGMENTATIONS)}")
    mode = InterpolationMode(interpolation)
    changes = augment if train else "none"
    strength = 0.0 if task == "classification" and changes == "strong" else _COLOUR[changes]
    fill = tuple(round(255 * m) for m in mean)
    if task == "segmentation":
        steps = _segmentation(changes, image_size, mode, fill, flip)
        return SegmentationTransform(steps, mean=mean, std=std, colour=strength)
    if task == "classification":
        steps = _classification(changes, image_size, resize_size, mode, flip)
    else:
        steps = _whole_picture(changes, image_size, mode, fill, flip)
    # Twice what is needed leaves the smoothing to the resize; a strong crop takes a third of the side.
    min_side_px = max(image_size, resize_size) * (3 if changes == "strong" else 2)
    return ImageTransform(steps, mean=mean, std=std, colour=strength, min_side_px=min_side_px)


class ImageTransform:
    """Steps on a uint8 picture, then float32, colour and normalisation; the target passes unchanged.

    Attributes:
        min_side_px: A picture whose sides are at least this long is as good as a larger one; None: it must be whole.
    """

    def __init__(
        self,
        steps: Sequence[nn.Module],
        *,
        mean: Sequence[float],
        std: Sequence[float],
        colour: float = 0.0,
        min_side_px: int | None = None,
    ) -> None:
        self.min_side_px = min_side_px
        self._colour = ColourChange(colour) if colour else None
        self.steps = steps
        # (pixel / 255 - mean) / std as one multiplication and one addition
        self._scale = torch.tensor([1 / (255 * s) for s in std]).view(3, 1, 1)
        self._shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)]).view(3, 1, 1)

    def __call__(self, image: Image.Image, target: Any) -> tuple[Tensor, Any]:
        """Picture and target as ``build_transforms`` tells."""
        pixels = to_tensor(image)
        for step in self.steps:
            pixels = step(pixels)
        return self._finish(pixels), target

    def _finish(self, pixels: Tensor) -> Tensor:
        """``(3, H, W)`` uint8 to what the network sees."""
        pixels = pixels.to(torch.float32, memory_format=torch.contiguous_format)
        if self._colour is not None:
            pixels = self._colour(pixels)
        return self.normalise(pixels)

    def normalise(self, pixels: Tensor) -> Tensor:
        """``(3, H, W)`` in 0 to 255, to normalised float32; a float32 input is changed in place."""
        return pixels.to(torch.float32).mul_(self._scale).add_(self._shift)

    def denormalise(self, pixels: Tensor) -> Tensor:
        """Inverse of ``normalise``, for looking at: uint8 ``(3, H, W)``."""
        return ((pixels - self._shift) / self._scale).round_().clamp_(0, 255).to(torch.uint8)


class SegmentationTransform(ImageTransform):
    """As ``ImageTransform``; geometry is applied to picture and mask together, the mask by nearest neighbour."""

    def __init__(
        self, steps: Sequence[nn.Module], *, mean: Sequence[float], std: Sequence[float], colour: float = 0.0
    ) -> None:
        super().__init__(steps, mean=mean, std=std, colour=colour)

    def __call__(self, image: Image.Image, target: np.ndarray) -> tuple[Tensor, Tensor]:
        """Picture and class indices as ``build_transforms`` tells."""
        picture, mask = to_tensor(image), torch.from_numpy(np.ascontiguousarray(target))
        for step in self.steps:
            picture, mask = step(picture, mask)
        return self._finish(picture), mask.long()


# ------------------------------------------------------------------- steps
def _flip(flip: bool) -> list[nn.Module]:
    return [RandomFlip()] if flip else []


def _classification(changes: str, size: int, resize_size: int, mode: InterpolationMode, flip: bool) -> list[nn.Module]:
    if changes == "none":
        return [v2.Resize(max(size, resize_size), interpolation=mode, antialias=True), v2.CenterCrop(size)]
    steps = [RandomCrop(size, area=_CROP_AREA[changes], mode=mode), *_flip(flip)]
    if changes == "strong":
        steps += [v2.TrivialAugmentWide(interpolation=mode), v2.RandomErasing(p=0.1)]
    return steps


def _whole_picture(
    changes: str, size: int, mode: InterpolationMode, fill: tuple[int, ...], flip: bool
) -> list[nn.Module]:
    steps: list[nn.Module] = [v2.Resize((size, size), interpolation=mode, antialias=True)]
    if changes == "none":
        return steps
    if changes != "light":  # onto a larger canvas, anywhere: nothing is cut off
        steps.insert(0, v2.RandomZoomOut(fill, side_range=(1.0, 1.2 if changes == "standard" else 1.5), p=1.0))
    steps += _flip(flip)
    if changes == "strong":
        steps.append(v2.RandomApply([v2.GaussianBlur(5, (0.1, 1.5))], p=0.2))
    return steps


def _segmentation(
    changes: str, size: int, mode: InterpolationMode, fill: tuple[int, ...], flip: bool
) -> list[nn.Module]:
    fills = {tv_tensors.Image: fill, tv_tensors.Mask: IGNORE_INDEX}
    if changes == "none":
        return [FitSquare(size, mode=mode, fill=fill)]
    steps = [*_flip(flip)]
    if changes == "strong":
        turn = v2.RandomRotation(15, interpolation=mode, fill=fills)
        steps.append(Together(v2.RandomApply([turn], p=0.5)))
    steps.append(RandomZoomCrop(size, zoom=_ZOOM[changes], mode=mode, fill=fill))
    if changes == "strong":
        steps.append(Together(v2.RandomApply([v2.GaussianBlur(5, (0.1, 1.5))], p=0.2)))
    return steps
