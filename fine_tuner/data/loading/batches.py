"""Micro-batches for training and for evaluation, the same whatever loads them and wherever one begins.

The order of training images is a function of (seed, epoch); the augmentation of an image is a function of (seed,
epoch, its index). Neither depends on the number of loading processes, on what was drawn before, or on torch's global
generator, which is left untouched. So ``starting_at(k)`` yields exactly what is left after ``k`` micro-batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from fine_tuner.base.errors import DataError, TrainingError
from fine_tuner.base.machine import default_num_workers
from fine_tuner.config.tasks import TargetKind, target_kind
from fine_tuner.data.files.images import load_image, load_mask, open_image, orientation, turned_upright
from fine_tuner.data.loading.decoded import DecodedPictures
from fine_tuner.data.loading.loader import Loader
from fine_tuner.data.loading.mixing import MixedTargets, Mixer
from fine_tuner.data.loading.randomness import randomness_of, seed_of
from fine_tuner.data.loading.transforms import ImageTransform, to_tensor
from fine_tuner.data.mask_coding import MaskCoding
from fine_tuner.data.records import Record


class Key(NamedTuple):
    """Which image of a data set, in which draw of its augmentation."""

    index: int
    seed: int = 0
    epoch: int = 0


class Portion(list[Key]):
    """The keys that one of several ranks loads of a micro-batch: a run of them, in a circle.

    Attributes:
        whole: All keys of the micro-batch.
    """

    def __init__(self, whole: Sequence[Key], part: slice) -> None:
        super().__init__(whole[part])
        self.whole = list(whole)
        self._start = part.start

    @property
    def before(self) -> Key:
        """The key before the first of this portion, which mixing needs."""
        return self.whole[self._start - 1]


class ImageDataset(Dataset):
    """Images with their targets, ready for a batch.

    Args:
        records: What to load.
        transform: See ``build_transforms``.
        task: Decides the type of the target: int64 class, float32 numbers or labels, int64 mask.
        mask_coding: How masks are read (segmentation).
        decoded: Keeps pictures as decoded; None: each is decoded whenever it is asked for.
    """

    def __init__(
        self,
        records: Sequence[Record],
        transform: ImageTransform,
        task: str,
        *,
        mask_coding: MaskCoding | None = None,
        decoded: DecodedPictures | None = None,
    ) -> None:
        self.records = records
        self.transform = transform
        self.task = task
        self.mask_coding = mask_coding
        self.decoded = decoded

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, key: Key | int) -> tuple[Tensor, Tensor]:
        """Image ``(3, H, W)`` float32 and its target.

        Raises:
            DataError: Naming the file that cannot be read.
        """
        key = key if isinstance(key, tuple) else Key(key)
        record = self.records[key.index]
        with randomness_of(key.seed, key.epoch, key.index):
            return load_input(
                record.image, self.transform, lambda size: self._target(record, size), decoded=self.decoded
            )

    def _target(self, record: Record, size: tuple[int, int]) -> Any:
        if target_kind(self.task) is TargetKind.CLASS:
            return torch.tensor(record.target, dtype=torch.int64)
        if target_kind(self.task) is not TargetKind.MASK:
            return torch.tensor(record.target, dtype=torch.float32)
        return load_classes(record, size, self.mask_coding)


def load_input(
    image: Path,
    transform: ImageTransform,
    target_for: Callable[[tuple[int, int]], Any],
    *,
    decoded: DecodedPictures | None = None,
) -> tuple[Tensor, Any]:
    """What a network sees of a file: the one way from a picture to a tensor, for training, evaluation and prediction.

    A picture may be decoded at a fraction of its size (``load_image``), which changes its pixels a little. A network
    that was validated on such pictures is asked about such pictures.

    Args:
        image: The file.
        transform: See ``build_transforms``; draws from torch's generator where it augments.
        target_for: From the picture's width and height, as decoded, to its target.
        decoded: Where pictures are kept as decoded; changes no pixel.

    Returns:
        Image ``(3, H, W)`` float32 and its target.

    Raises:
        DataError: Naming the file that cannot be read.
    """
    load = decoded.load if decoded else load_image
    pixels = to_tensor(load(image, min_side_px=transform.min_side_px, pixel_range=transform.pixel_range))
    return transform(pixels, target_for((pixels.shape[2], pixels.shape[1])))


def load_classes(record: Record, size: tuple[int, int], coding: MaskCoding) -> np.ndarray:
    """Class indices ``(H, W)`` uint8 of the mask of ``record``, whose image has this width and height.

    Raises:
        DataError: If the mask cannot be read, holds a value that is no class, or is of another size than the image.
    """
    mask = coding.classes_of(load_mask(record.target, as_colours=coding.is_colours), record.target)
    if coding.is_stored:
        with open_image(record.image) as image:
            mask = turned_upright(mask, orientation(image), size)
    if mask.shape == size[::-1]:
        return mask
    if not coding.resize:
        raise DataError(
            f"Mask {record.target} is {mask.shape[1]} x {mask.shape[0]} pixels, its image {record.image} is "
            f"{size[0]} x {size[1]}. Make them equal, or set data.mask_resize=true."
        )
    return np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))


class TrainBatches:
    """Endless micro-batches of training images; see the module's text for what their order depends on.

    The last batch of an epoch holds what is left, unless that is a single image: BatchNorm cannot train on one, so it
    is left out of this epoch (the order is another in the next). If there is only one image in all, it is kept.

    Args:
        dataset: What to load.
        batch_size: Images per micro-batch.
        seed: Decides order and augmentation.
        num_workers: Loading processes; 0 loads in this one; None chooses for the machine.
        pin_memory: Page-locked memory, from which copies to a GPU overlap with computing.
        prefetch: Batches that each loading process is ahead.
        sampling: ``natural`` shows every image once per epoch; ``balanced`` every class equally often, which repeats
            images of rare classes and leaves out some of frequent ones (classification).
        mixer: Mixes the images of each batch; its targets are then ``MixedTargets``.
        rank: Of several processes that share each micro-batch, the number of this one.
        world_size: How many they are. Each loads an equal part (to within one), none of a single image unless all are:
            one that gets none loads others' images, which do not count (``part``).
    """

    def __init__(
        self,
        dataset: ImageDataset,
        *,
        batch_size: int,
        seed: int,
        num_workers: int | None = None,
        pin_memory: bool = False,
        prefetch: int = 2,
        sampling: str = "natural",
        mixer: Mixer | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if not len(dataset):
            raise ValueError("no images to train on")
        if sampling not in ("natural", "balanced"):
            raise ValueError(f"sampling {sampling!r} is not natural or balanced")
        self._by_class = _indices_by_class(dataset.records) if sampling == "balanced" else None
        self._mixer = mixer
        self.dataset, self.batch_size, self.seed = dataset, batch_size, seed
        self._num_workers = default_num_workers() if num_workers is None else num_workers
        self._pin_memory, self._prefetch = pin_memory, prefetch
        self._rank, self._world_size = rank, world_size
        self._loader: Loader | None = None
        self._left_out: frozenset[int] = frozenset()

    @property
    def per_epoch(self) -> int:
        """Micro-batches in one epoch."""
        whole, rest = divmod(len(self.dataset), self.batch_size)
        is_kept = rest > 1 or (rest == 1 and (self.batch_size <= self._world_size or whole == 0))
        return whole + is_kept

    def size(self, micro_step: int) -> int:
        """How many images this micro-batch of the run has, over all ranks."""
        number = micro_step % self.per_epoch
        return min(self.batch_size, len(self.dataset) - number * self.batch_size)

    def part(self, micro_step: int) -> slice:
        """Which of the images of this micro-batch are this rank's; if none, others' are loaded, which do not count."""
        return self._part(self.size(micro_step))

    def _part(self, count: int) -> slice:
        """Which of ``count`` images are this rank's."""
        least = 1 if self.batch_size <= self._world_size else 2
        holders = max(1, min(self._world_size, count // least))
        start, stop = (min(count, count * rank // holders) for rank in (self._rank, self._rank + 1))
        return slice(start, stop)

    def prepare(self, micro_step: int) -> None:
        """Do what has to be done by all ranks together before this micro-batch can be loaded: nothing."""

    def own(self, keys: list[Key]) -> list[Key]:
        """Those of a micro-batch that this rank loads."""
        if self._world_size == 1:
            return keys
        part = self._part(len(keys))
        return Portion(keys, part if part.start < part.stop else slice(0, 2))

    def epoch_order(self, epoch: int) -> list[int]:
        """Indices in the order of this epoch."""
        generator = torch.Generator().manual_seed(seed_of(self.seed, epoch))
        order = torch.randperm(len(self.dataset), generator=generator)
        if self._by_class is not None:
            order = balanced_order(self._by_class, len(self.dataset), generator)[order]
        return _without(order.tolist(), self._left_out)

    @property
    def left_out(self) -> frozenset[int]:
        """Indices of the images that are not shown."""
        return self._left_out

    def leave_out(self, indices: Iterable[int]) -> None:
        """From the next ``starting_at`` on show other images in place of these; all others keep theirs.

        Raises:
            TrainingError: If no image is left.
        """
        left_out = self._left_out | frozenset(indices)
        if len(left_out) >= len(self.dataset):
            raise TrainingError(f"All {len(left_out)} training images would be left out. Check the data and the loss.")
        self._left_out = left_out

    def indices(self, micro_step: int) -> list[int]:
        """Which images are in this micro-batch of the run."""
        epoch, number = divmod(micro_step, self.per_epoch)
        return self.epoch_order(epoch)[number * self.batch_size : (number + 1) * self.batch_size]

    def keys_from(self, micro_step: int) -> Iterator[list[Key]]:
        """Endless: the keys of each micro-batch, over all ranks, from number ``micro_step`` on."""
        epoch, skipped = divmod(micro_step, self.per_epoch)
        while True:
            order = self.epoch_order(epoch)
            for number in range(skipped, self.per_epoch):
                chosen = order[number * self.batch_size : (number + 1) * self.batch_size]
                yield [Key(index, self.seed, epoch) for index in chosen]
            epoch, skipped = epoch + 1, 0

    def starting_at(self, micro_step: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Endless: images ``(B, 3, H, W)`` float32 and targets, from micro-batch ``micro_step`` of the run on.

        Of several ranks each gets its own part.

        One loader serves the whole run. It ends when the iterator is closed or forgotten, at another call, or at
        ``close``.

        Raises:
            DataError: While iterating, naming a file that cannot be read.
        """
        return self.load(map(self.own, self.keys_from(micro_step)))

    def load(self, keys: Iterable[list[Key]]) -> Iterator[tuple[Tensor, Tensor]]:
        """Micro-batches of any images instead of those of the run, in the same way; see ``starting_at``."""
        self.close()
        loader = self._loader = Loader(
            self.dataset,
            keys,
            num_workers=self._num_workers,
            pin_memory=self._pin_memory,
            prefetch=self._prefetch,
            finish=_Mixed(self._mixer, self.dataset) if self._mixer else None,
        )
        return iter(loader)

    def close(self) -> None:
        """End the loading processes; does nothing if there are none."""
        if self._loader is not None:
            self._loader.close()
            self._loader = None


def _without(order: list[int], left_out: frozenset[int]) -> list[int]:
    """``order`` with the first of the other images, in turn, in the places of those left out."""
    if not left_out:
        return order
    others = cycle([index for index in order if index not in left_out])
    return [next(others) if index in left_out else index for index in order]


class _Mixed:
    """Mixes a batch; how is a function of seed, epoch and the images in it, also in those that a rank has no part of.

    Args:
        mixer: Mixes each image with the one before it.
        dataset: Has that of a portion's first.
    """

    def __init__(self, mixer: Mixer, dataset: ImageDataset) -> None:
        self.mixer, self.dataset = mixer, dataset

    def __call__(self, images: Tensor, targets: Tensor, keys: Sequence[Key]) -> tuple[Tensor, Tensor | MixedTargets]:
        whole = keys.whole if isinstance(keys, Portion) else keys
        if len(whole) < 2:
            return images, targets
        is_part = isinstance(keys, Portion)
        if is_part:
            image, target = self.dataset[keys.before]
            images, targets = torch.cat([image[None], images]), torch.cat([target[None], targets])
        with randomness_of(whole[0].seed, whole[0].epoch, *(key.index for key in whole)):
            images, targets = self.mixer(images, targets)
        return (images[1:], targets[1:]) if is_part else (images, targets)


def _indices_by_class(records: Sequence[Record]) -> list[Tensor]:
    """Indices of the images of each class that has any.

    Raises:
        ValueError: If the targets are not classes.
    """
    if not all(isinstance(record.target, int) for record in records):
        raise ValueError("balanced sampling needs one class per image")
    targets = torch.tensor([record.target for record in records])
    return [torch.nonzero(targets == k).flatten() for k in targets.unique()]


def balanced_order(by_class: Sequence[Tensor], count: int, generator: torch.Generator) -> Tensor:
    """``count`` indices, of each class equally many (to within one), each of its images equally often (likewise)."""
    drawn = []
    for number, indices in enumerate(by_class):
        wanted = count // len(by_class) + (number < count % len(by_class))
        rounds = [indices[torch.randperm(len(indices), generator=generator)] for _ in range(-(-wanted // len(indices)))]
        drawn.append(torch.cat(rounds)[:wanted] if rounds else indices[:0])
    return torch.cat(drawn)


class EvalBatches:
    """Batches in the order of the records, each image once. Can be iterated any number of times.

    Loading processes live for one pass, so that they take no memory while the network trains.

    Args:
        dataset: What to load; its transform should be that of evaluation.
        batch_size: Images per batch; the last may be smaller.
        num_workers: Loading processes; 0 loads in this one; None chooses for the machine.
        pin_memory: See ``TrainBatches``.
        rank: Of several processes that share the images, the number of this one.
        world_size: How many they are. Each has a run of the records (which keeps their order when what comes of them is
            put together), none has one twice; with few records some have none.
    """

    def __init__(
        self,
        dataset: ImageDataset,
        *,
        batch_size: int,
        num_workers: int | None = None,
        pin_memory: bool = False,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.dataset, self.batch_size = dataset, batch_size
        self.indices = range(len(dataset) * rank // world_size, len(dataset) * (rank + 1) // world_size)
        self._num_workers = default_num_workers() if num_workers is None else num_workers
        self._pin_memory = pin_memory

    def __len__(self) -> int:
        return -(-len(self.indices) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        starts = range(0, len(self.indices), self.batch_size)
        keys = [[Key(i) for i in self.indices[start : start + self.batch_size]] for start in starts]
        return iter(
            Loader(self.dataset, keys, num_workers=min(self._num_workers, len(keys)), pin_memory=self._pin_memory)
        )
