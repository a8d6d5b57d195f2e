"""A few training images as the network will see them, written as PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from fine_tuner.config.settings import Settings
from fine_tuner.data.batches import Key
from fine_tuner.models.build import find_preprocessing
from fine_tuner.tasks.build import build_data, build_dataset


def write_preview(settings: Settings, folder: Path, *, count: int, draw: int) -> dict[str, Any]:
    """Write augmented training images, colours as they were before normalising.

    Args:
        settings: Decide data, size and augmentation; the network itself is not built.
        folder: Made if it is not there.
        count: How many pictures.
        draw: Another number draws other images and another augmentation.

    Returns:
        ``{"images": [{"file", "label"}], "classes": [...]}``.
    """
    data = build_data(settings)
    model = settings.model
    preprocessing = find_preprocessing(
        model.name, task=settings.task, weights=model.weights, image_size=settings.data.image_size
    )
    dataset = build_dataset(settings, data, preprocessing, "train")
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(draw)).tolist()
    folder.mkdir(parents=True, exist_ok=True)
    images = []
    for number, index in enumerate(order[:count]):
        pixels, target = dataset[Key(index, seed=settings.seed, epoch=draw)]
        path = folder / f"{number:02d}.png"
        _picture(pixels, preprocessing.mean, preprocessing.std).save(path)
        images.append({"file": str(path), "label": _label(target, data.output_names)})
    return {"images": images, "classes": list(data.output_names)}


def _picture(pixels: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Image.Image:
    """``(3, H, W)`` normalised float to an RGB picture."""
    channels = (pixels * torch.tensor(std)[:, None, None] + torch.tensor(mean)[:, None, None]).clamp(0, 1)
    return Image.fromarray((channels * 255).round().byte().permute(1, 2, 0).numpy())


def _label(target: Tensor, names: tuple[str, ...]) -> str:
    """What the picture is labelled with, in words."""
    if target.ndim == 0:
        return names[int(target)]
    if target.ndim > 1:
        return ""
    if set(target.tolist()) <= {0.0, 1.0}:
        return ", ".join(name for name, present in zip(names, target.tolist(), strict=True) if present)
    return ", ".join(f"{name} {value:g}" for name, value in zip(names, target.tolist(), strict=True))
