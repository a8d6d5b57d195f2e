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

from fine_tuner.data.colour import ColourChange
from fine_tuner.data.mask_coding import IGNORE_INDEX

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
        self.steps = v2.Compose([v2.PILToTensor(), *steps])
        # (pixel / 255 - mean) / std as one multiplication and one addition
        self._scale = torch.tensor([1 / (255 * s) for s in std]).view(3, 1, 1)
        self._shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)]).view(3, 1, 1)

    def __call__(self, image: Image.Image, target: Any) -> tuple[Tensor, Any]:
        """Picture and target as ``build_transforms`` tells."""
        return self._finish(self.steps(image)), target

    def _finish(self, pixels: Tensor) -> Tensor:
        """``(3, H, W)`` uint8 to what the network sees."""
        pixels = pixels.to(torch.float32)
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
        super().__init__((), mean=mean, std=std, colour=colour)
        self.steps = v2.Compose(list(steps))

    def __call__(self, image: Image.Image, target: np.ndarray) -> tuple[Tensor, Tensor]:
        """Picture and class indices as ``build_transforms`` tells."""
        picture = tv_tensors.Image(v2.functional.pil_to_tensor(image))
        mask = tv_tensors.Mask(torch.from_numpy(np.ascontiguousarray(target)))
        picture, mask = self.steps(picture, mask)
        return self._finish(picture.as_subclass(Tensor)), mask.as_subclass(Tensor).long()


# ------------------------------------------------------------------- steps
def _flip(flip: bool) -> list[nn.Module]:
    return [v2.RandomHorizontalFlip()] if flip else []


def _classification(changes: str, size: int, resize_size: int, mode: InterpolationMode, flip: bool) -> list[nn.Module]:
    if changes == "none":
        return [v2.Resize(max(size, resize_size), interpolation=mode, antialias=True), v2.CenterCrop(size)]
    crop = v2.RandomResizedCrop(size, scale=_CROP_AREA[changes], interpolation=mode, antialias=True)
    steps = [crop, *_flip(flip)]
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
        steps.append(v2.RandomApply([v2.RandomRotation(15, interpolation=mode, fill=fills)], p=0.5))
    steps.append(RandomZoomCrop(size, zoom=_ZOOM[changes], mode=mode, fill=fill))
    if changes == "strong":
        steps.append(v2.RandomApply([v2.GaussianBlur(5, (0.1, 1.5))], p=0.2))
    return steps


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
    picture = v2.functional.resize(picture, size, interpolation=spec.mode, antialias=True)
    mask = v2.functional.resize(mask, size, interpolation=InterpolationMode.NEAREST_EXACT)
    top, left = (round((side - spec.size) * part) for side, part in zip(size, at, strict=True))
    box = max(0, top), max(0, left), min(size[0], spec.size), min(size[1], spec.size)
    picture, mask = v2.functional.crop(picture, *box), v2.functional.crop(mask, *box)
    before = max(0, -left), max(0, -top)
    after = spec.size - box[3] - before[0], spec.size - box[2] - before[1]
    if any(before) or any(after):
        picture = v2.functional.pad(picture, [*before, *after], fill=list(spec.fill))
        mask = v2.functional.pad(mask, [*before, *after], fill=IGNORE_INDEX)
    return picture, mask
