"""What a script that repeats a run has of its own for pictures: reading, order, batches; copied as ``replay.py`` is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from fine_tuner.data.files.images import scaled_to_bytes
from fine_tuner.data.loading.randomness import randomness_of, seed_of

PictureKey = tuple[int, int]  # which picture, and the epoch, which decides its augmentation


def load_picture(path: Path, min_side_px: int | None, pixel_range: tuple[int, int] | None) -> Image.Image:
    """The picture as a person sees it, in RGB: upright, transparency on white, 16 bits as 8.

    Args:
        path: The file.
        min_side_px: A JPEG may be decoded at a fraction of its size with both sides at least this long.
        pixel_range: Black and white of a picture of more than 8 bits; None: of 16 bits all that they hold.
    """
    with Image.open(path) as image:
        if min_side_px and image.format == "JPEG":
            width, height = image.size
            shorter = min(width, height)
            image.draft(None, (-(-width * min_side_px // shorter), -(-height * min_side_px // shorter)))
        image.load()
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        black, white = pixel_range or (0, 65535)
        return Image.fromarray(scaled_to_bytes(np.asarray(image), black, white)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        picture = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return image.convert("RGB")


def load_mask_values(path: Path, *, as_colours: bool) -> np.ndarray:
    """Values of a mask file: ``(H, W)``, or ``(H, W, 3)`` for one in colours that are not all grey."""
    with Image.open(path) as image:
        image.load()
        image = ImageOps.exif_transpose(image)
    if image.mode == "L" or (image.mode == "P" and not as_colours):
        return np.array(image)
    if image.mode == "1":
        return np.array(image.convert("L"))
    if image.mode.startswith("I"):
        return np.array(image).astype(np.int32)
    if image.mode in ("LA", "La"):
        return np.array(image.getchannel(0))
    colours = np.array(image.convert("RGB"))
    is_grey = (colours[..., 0] == colours[..., 1]).all() and (colours[..., 0] == colours[..., 2]).all()
    return colours[..., 0].copy() if is_grey else colours


class Pictures(Dataset):
    """Pictures of one split with their targets, by key.

    Args:
        rows: ``image``, relative to ``root``, and ``target`` or ``mask``.
        root: Folder of the data.
        transform: From picture and target to what the network sees.
        target_of: From a row, the root and the picture's (width, height) to the target.
        seed: Decides the augmentation, with the key.
    """

    def __init__(
        self,
        rows: Sequence[Mapping[str, Any]],
        root: Path,
        transform: Any,
        target_of: Callable[[Mapping[str, Any], Path, tuple[int, int]], Any],
        seed: int,
    ) -> None:
        self.rows, self.root, self.transform, self.target_of, self.seed = rows, root, transform, target_of, seed

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: PictureKey) -> tuple[Tensor, Any]:
        """Image ``(3, H, W)`` float32 and its target."""
        index, epoch = key
        row = self.rows[index]
        picture = load_picture(self.root / row["image"], self.transform.min_side_px, self.transform.pixel_range)
        target = self.target_of(row, self.root, picture.size)
        with randomness_of(self.seed, epoch, index):
            return self.transform(picture, target)


def batches(pictures: Pictures, keys: Sequence[list[PictureKey]], num_workers: int) -> Iterator[tuple[Tensor, Any]]:
    """The batches of these keys, in order; torch's global generator is left alone."""
    generator = torch.Generator().manual_seed(0)
    return iter(DataLoader(pictures, batch_sampler=keys, num_workers=num_workers, generator=generator))


def epoch_keys(order: Sequence[int], batch_size: int, epoch: int) -> list[list[PictureKey]]:
    """Keys of each batch of an epoch; a last batch of one picture is left out, since BatchNorm cannot train on it."""
    keys = [[(index, epoch) for index in order[at : at + batch_size]] for at in range(0, len(order), batch_size)]
    if len(keys) > 1 and batch_size > 1 and len(keys[-1]) == 1:
        keys.pop()
    return keys


def epoch_order(count: int, seed: int, epoch: int) -> list[int]:
    """The order of the training pictures: a function of seed and epoch."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed_of(seed, epoch))).tolist()
