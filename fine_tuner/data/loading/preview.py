"""Pictures as the network will see them: augmented, then made visible again, masks laid over, labels in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from fine_tuner.config.tasks import TargetKind, target_kind
from fine_tuner.data.loading.batches import ImageDataset, Key
from fine_tuner.data.mask_coding import IGNORE_INDEX, lay_over

_GAP_PX = 4
_MOST_LOOKED_AT = 400  # masks that are read in search of a rare class


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
    looked_at = 0
    for index in order:
        if len(out) == count or looked_at == _MOST_LOOKED_AT:
            break
        record = dataset.records[index]
        if only is not None and not isinstance(record.target, Path) and not _has(record.target, only):
            continue
        looked_at += 1
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
    image = pixels.permute(1, 2, 0).numpy()
    return Image.fromarray(image.copy() if mask is None else lay_over(image, mask.numpy()))


def label_in_words(target: Tensor, names: Sequence[str], task: str) -> str:
    """What a picture is labelled with."""
    match target_kind(task):
        case TargetKind.CLASS:
            return names[int(target)]
        case TargetKind.LABELS:
            return ", ".join(n for n, present in zip(names, target.tolist(), strict=True) if present) or "none"
        case TargetKind.NUMBERS:
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
