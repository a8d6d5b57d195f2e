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

Crop, flip and colour are ours where that is faster. On small pictures the dispatch of torchvision's classes takes
longer than the arithmetic (96 px to 64 px: 183 us for its RandomResizedCrop, 71 us for the interpolation in it). Its
ColorJitter makes four passes over the picture, the one for hue through HSV, which on a CPU takes longer than reading
the file; all four changes are linear in the colour, so here their product is applied in one pass.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import InterpolationMode

from fine_tuner.config.tasks import TargetKind, target_kind
from fine_tuner.data.mask_coding import IGNORE_INDEX

_ATTEMPTS = 10
_RATIOS = (3 / 4, 4 / 3)


def to_tensor(image: Image.Image | Tensor) -> Tensor:
    """Pixels ``(3, H, W)`` uint8, in memory as the picture has them: ``(H, W, 3)``, which saves a transposition."""
    if isinstance(image, Tensor):
        return image
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


class RandomResizedCrop(nn.Module):
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


# Luma of Rec. 601, as in ColorJitter's grey.
_LUMA = torch.tensor([0.299, 0.587, 0.114])
_TO_YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
_FROM_YIQ = torch.linalg.inv(_TO_YIQ)


class ColourChange(nn.Module):
    """Scales brightness, contrast and saturation by factors in ``1 - strength`` to ``1 + strength`` and turns the hue.

    Contrast is scaled about the mean grey of the picture. Hue turns by up to ``strength / 10`` of the circle, in YIQ.

    Source: Haeberli 1993, "Matrix Operations for Image Processing", http://www.graficaobscura.com/matrix. Differs from
    ColorJitter: fixed order, one rounding, and the hue is turned in YIQ rather than in HSV.
    """

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength

    def forward(self, pixels: Tensor) -> Tensor:
        """``(3, H, W)`` float32 in 0 to 255, to the same."""
        brightness, contrast, saturation, turn = ((2 * torch.rand(4) - 1) * self.strength).tolist()
        matrix = colour_matrix(1 + brightness, 1 + saturation, turn / 10)
        flat = pixels.flatten(1)  # (3, HW)
        grey = (_LUMA @ (matrix @ flat.mean(1))).item()
        offset = torch.full((3, 1), -contrast * grey)
        return torch.addmm(offset, matrix * (1 + contrast), flat).clamp_(0, 255).view_as(pixels)


def colour_matrix(brightness: float, saturation: float, hue_turn: float) -> Tensor:
    """``(3, 3)``: scale all, scale the distance from grey, turn the hue by ``hue_turn`` of the circle."""
    saturate = saturation * torch.eye(3) + (1 - saturation) * _LUMA.expand(3, 3)
    cos, sin = math.cos(2 * math.pi * hue_turn), math.sin(2 * math.pi * hue_turn)
    rotate = torch.tensor([[1.0, 0.0, 0.0], [0.0, cos, -sin], [0.0, sin, cos]])
    return brightness * (_FROM_YIQ @ rotate @ _TO_YIQ @ saturate)


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
    pixel_range: tuple[int, int] | None = None,
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
        pixel_range: Black and white of pictures of more than 8 bits, which whoever loads a picture is to apply.

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
    strength = 0.0 if target_kind(task) is TargetKind.CLASS and changes == "strong" else _COLOUR[changes]
    fill = tuple(round(255 * m) for m in mean)
    if target_kind(task) is TargetKind.MASK:
        steps = _segmentation(changes, image_size, mode, fill, flip)
        return SegmentationTransform(steps, mean=mean, std=std, colour=strength, pixel_range=pixel_range)
    if target_kind(task) is TargetKind.CLASS:
        steps = _classification(changes, image_size, resize_size, mode, flip)
    else:
        steps = _whole_picture(changes, image_size, mode, fill, flip)
    # Twice what is needed leaves the smoothing to the resize; a strong crop takes a third of the side.
    min_side_px = max(image_size, resize_size) * (3 if changes == "strong" else 2)
    return ImageTransform(steps, mean=mean, std=std, colour=strength, min_side_px=min_side_px, pixel_range=pixel_range)


class ImageTransform:
    """Steps on a uint8 picture, then float32, colour and normalisation; the target passes unchanged.

    Attributes:
        min_side_px: A picture whose sides are at least this long is as good as a larger one; None: it must be whole.
        pixel_range: Black and white of pictures of more than 8 bits; None: what their files hold.
    """

    def __init__(
        self,
        steps: Sequence[nn.Module],
        *,
        mean: Sequence[float],
        std: Sequence[float],
        colour: float = 0.0,
        min_side_px: int | None = None,
        pixel_range: tuple[int, int] | None = None,
    ) -> None:
        self.min_side_px, self.pixel_range = min_side_px, pixel_range
        self._colour = ColourChange(colour) if colour else None
        self.steps = steps
        # (pixel / 255 - mean) / std as one multiplication and one addition
        self._scale = torch.tensor([1 / (255 * s) for s in std]).view(3, 1, 1)
        self._shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)]).view(3, 1, 1)

    def __call__(self, image: Image.Image | Tensor, target: Any) -> tuple[Tensor, Any]:
        """Picture, or its pixels as of ``to_tensor``, and target as ``build_transforms`` tells."""
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
        self,
        steps: Sequence[nn.Module],
        *,
        mean: Sequence[float],
        std: Sequence[float],
        colour: float = 0.0,
        pixel_range: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(steps, mean=mean, std=std, colour=colour, pixel_range=pixel_range)

    def __call__(self, image: Image.Image | Tensor, target: np.ndarray) -> tuple[Tensor, Tensor]:
        """Picture, or its pixels as of ``to_tensor``, and class indices as ``build_transforms`` tells."""
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
    steps = [RandomResizedCrop(size, area=_CROP_AREA[changes], mode=mode), *_flip(flip)]
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
