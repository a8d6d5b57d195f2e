"""Pictures as the network will see them: augmented, then made visible again, masks laid over, labels in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fine_tuner.data.batches import ImageDataset, Key
from fine_tuner.data.mask_coding import IGNORE_INDEX

# Okabe-Ito without black, then the same darker: told apart with any colour vision.
_COLOURS = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167),
    (140, 95, 0), (40, 105, 140), (0, 90, 65), (140, 130, 20), (0, 60, 100), (120, 50, 0), (115, 60, 90),
)  # fmt: skip
_OPACITY = 0.5
_GAP_PX = 4


@dataclass(frozen=True)
class Preview:
    """One picture to look at.

    Attributes:
        picture: RGB, of the size the network sees.
        label: What it is labelled with, in words; empty for masks.
        file: Where it comes from.
    """

    picture: Image.Image
    label: str
    file: Path


def preview(
    dataset: ImageDataset, names: Sequence[str], *, count: int, draw: int = 0, seed: int = 0, only: int | None = None
) -> list[Preview]:
    """A few images of a data set, each as it would come out of training.

    Args:
        dataset: With the transform of training.
        names: Of the outputs: classes or numbers.
        count: How many; fewer if there are not so many.
        draw: Another number draws other images and another augmentation.
        seed: Of the run.
        only: Images of this class, or with this label, or whose mask holds it.

    Raises:
        DataError: Naming a file that cannot be read.
    """
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(draw)).tolist()
    out: list[Preview] = []
    for index in order:
        if len(out) == count:
            break
        record = dataset.records[index]
        if only is not None and not isinstance(record.target, Path) and not _has(record.target, only):
            continue
        pixels, target = dataset[Key(index, seed, epoch=draw)]
        if only is not None and target.ndim == 2 and not (target == only).any():
            continue
        picture = visible(dataset.transform.denormalise(pixels), target if target.ndim == 2 else None)
        out.append(Preview(picture, label_in_words(target, names, dataset.task), record.image))
    return out


def _has(target: int | tuple[float, ...], wanted: int) -> bool:
    return target[wanted] == 1 if isinstance(target, tuple) else target == wanted


def visible(pixels: Tensor, mask: Tensor | None = None) -> Image.Image:
    """Pixels ``(3, H, W)`` uint8 as a picture; classes above 0 of a mask ``(H, W)`` laid over it in colours.

    Class 0 is most often the background and stays clear; pixels that are ignored are dimmed.
    """
    image = pixels.permute(1, 2, 0).numpy().astype(np.float32)
    if mask is not None:
        classes = mask.numpy()
        palette = np.array([_COLOURS[i % len(_COLOURS)] for i in range(256)], np.float32)
        shown = (classes > 0) & (classes != IGNORE_INDEX)
        image[shown] = (1 - _OPACITY) * image[shown] + _OPACITY * palette[classes[shown] - 1]
        image[classes == IGNORE_INDEX] *= 1 - _OPACITY
    return Image.fromarray(image.round().astype(np.uint8))


def label_in_words(target: Tensor, names: Sequence[str], task: str) -> str:
    """What a picture is labelled with."""
    match task:
        case "classification":
            return names[int(target)]
        case "multilabel":
            return ", ".join(n for n, present in zip(names, target.tolist(), strict=True) if present) or "none"
        case "regression":
            return ", ".join(f"{n} {value:g}" for n, value in zip(names, target.tolist(), strict=True))
    present = [int(k) for k in target.unique() if k != IGNORE_INDEX]
    return ", ".join(names[k] for k in present if k > 0)


def grid(previews: Sequence[Preview], *, columns: int) -> Image.Image:
    """All pictures side by side on white.

    Raises:
        ValueError: If there are none.
    """
    if not previews:
        raise ValueError("no pictures to lay out")
    width, height = previews[0].picture.size
    rows = -(-len(previews) // columns)
    columns = min(columns, len(previews))
    size = (columns * (width + _GAP_PX) - _GAP_PX, rows * (height + _GAP_PX) - _GAP_PX)
    sheet = Image.new("RGB", size, "white")
    for i, shown in enumerate(previews):
        sheet.paste(shown.picture, (i % columns * (width + _GAP_PX), i // columns * (height + _GAP_PX)))
    return sheet
