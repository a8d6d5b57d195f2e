"""Batches do not depend on who loads them or where one begins, and leave nothing behind."""

from __future__ import annotations

import gc
import multiprocessing
import pickle
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from fine_tuner.base.errors import DataError
from fine_tuner.base.machine import default_num_workers
from fine_tuner.data.loading.batches import EvalBatches, ImageDataset, Key, TrainBatches, _Mixed
from fine_tuner.data.loading.mixing import Mixer
from fine_tuner.data.loading.transforms import build_transforms
from fine_tuner.data.mask_coding import MaskCoding
from fine_tuner.data.records import Record

Batch = tuple[Tensor, Tensor]


@pytest.fixture
def make_dataset(tmp_path: Path) -> Callable[..., ImageDataset]:
    """Images of one grey each, so that a batch tells which they are; target is the number."""

    def make(count: int, *, augment: str = "standard", train: bool = True) -> ImageDataset:
        records = []
        for i in range(count):
            path = tmp_path / f"{i:03d}.png"
            if not path.exists():
                pixels = np.random.default_rng(i).integers(0, 256, (12, 12, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(path)
            records.append(Record(path, i))
        transform = build_transforms(
            augment=augment, train=train, image_size=8, resize_size=8, mean=(0, 0, 0), std=(1, 1, 1),
            task="classification",
        )  # fmt: skip
        return ImageDataset(records, transform, "classification")

    return make


def take(batches: TrainBatches, count: int, start: int = 0) -> list[Batch]:
    iterator = batches.starting_at(start)
    try:
        return list(islice(iterator, count))
    finally:
        batches.close()


def assert_equal(one: list[Batch], other: list[Batch]) -> None:
    assert len(one) == len(other)
    for (images, targets), (same_images, same_targets) in zip(one, other, strict=True):
        assert torch.equal(targets, same_targets)
        assert torch.equal(images, same_images)


def test_loading_processes_change_nothing(make_dataset: Callable[..., ImageDataset]) -> None:
    dataset = make_dataset(13, augment="strong")
    alone = take(TrainBatches(dataset, batch_size=4, seed=7, num_workers=0), 10)
    assert_equal(alone, take(TrainBatches(dataset, batch_size=4, seed=7, num_workers=1), 10))
    assert_equal(alone, take(TrainBatches(dataset, batch_size=4, seed=7, num_workers=2, prefetch=3), 10))


@pytest.mark.parametrize("start", [1, 3, 4, 9])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_starting_at_k_equals_skipping_k(
    make_dataset: Callable[..., ImageDataset], start: int, num_workers: int
) -> None:
    dataset = make_dataset(13)
    batches = TrainBatches(dataset, batch_size=4, seed=7, num_workers=num_workers)
    assert batches.per_epoch == 3
    assert_equal(
        take(batches, 4, start), take(TrainBatches(dataset, batch_size=4, seed=7, num_workers=0), start + 4)[start:]
    )


def test_global_generator_neither_matters_nor_is_touched(make_dataset: Callable[..., ImageDataset]) -> None:
    dataset = make_dataset(9)
    before = torch.get_rng_state()
    one = take(TrainBatches(dataset, batch_size=4, seed=7, num_workers=0), 6)
    other = take(TrainBatches(dataset, batch_size=4, seed=7, num_workers=2), 6)
    assert torch.equal(before, torch.get_rng_state())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(123)
        assert_equal(one, take(TrainBatches(dataset, batch_size=4, seed=7, num_workers=2), 6))
    assert_equal(one, other)


def test_each_epoch_shows_every_image_once_in_another_order(make_dataset: Callable[..., ImageDataset]) -> None:
    batches = TrainBatches(make_dataset(10), batch_size=4, seed=0, num_workers=0)
    epochs = [[t for _, targets in take(batches, 3, 3 * e) for t in targets.tolist()] for e in range(3)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(10))] * 3
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_augmentation_is_another_in_each_epoch_and_for_each_seed(make_dataset: Callable[..., ImageDataset]) -> None:
    dataset = make_dataset(2)

    def image(seed: int, epoch: int) -> Tensor:
        ((images, targets),) = take(TrainBatches(dataset, batch_size=2, seed=seed, num_workers=0), 1, epoch)
        return images[targets.tolist().index(1)]

    pictures = [image(0, 0), image(0, 1), image(1, 0)]
    assert torch.equal(pictures[0], image(0, 0))
    assert not any(torch.equal(a, b) for a in pictures for b in pictures if a is not b)


@pytest.mark.parametrize(
    ("count", "batch_size", "sizes"),
    [(8, 4, [4, 4]), (10, 4, [4, 4, 2]), (9, 4, [4, 4]), (1, 4, [1]), (3, 1, [1, 1, 1]), (2, 4, [2])],
)
def test_last_batch_is_kept_unless_it_is_a_single_image(
    make_dataset: Callable[..., ImageDataset], count: int, batch_size: int, sizes: list[int]
) -> None:
    batches = TrainBatches(make_dataset(count), batch_size=batch_size, seed=0, num_workers=0)
    assert batches.per_epoch == len(sizes)
    assert [len(t) for _, t in take(batches, 2 * len(sizes))] == sizes * 2


def test_image_left_out_of_one_epoch_comes_in_another(make_dataset: Callable[..., ImageDataset]) -> None:
    batches = TrainBatches(make_dataset(5), batch_size=4, seed=0, num_workers=0)
    assert len({t for _, targets in take(batches, 6) for t in targets.tolist()}) == 5


@pytest.mark.parametrize("num_workers", [0, 2])
def test_evaluation_goes_through_all_images_in_order_each_time(
    make_dataset: Callable[..., ImageDataset], num_workers: int
) -> None:
    batches = EvalBatches(make_dataset(11, train=False), batch_size=4, num_workers=num_workers)
    first, second = list(batches), list(batches)
    assert [len(t) for _, t in first] == [4, 4, 3]
    assert len(batches) == 3
    assert torch.cat([t for _, t in first]).tolist() == list(range(11))
    assert_equal(first, second)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_unreadable_image_is_named_without_a_traceback(
    make_dataset: Callable[..., ImageDataset], num_workers: int
) -> None:
    dataset = make_dataset(6)
    dataset.records[4].image.write_bytes(b"")
    with pytest.raises(
        DataError, match=r"^\S*004\.png is not an image \(the file is empty\)\. Replace it.*$"
    ) as caught:
        take(TrainBatches(dataset, batch_size=2, seed=0, num_workers=num_workers), 3)
    assert "Traceback" not in str(caught.value)
    with pytest.raises(DataError, match=r"004\.png"):
        list(EvalBatches(dataset, batch_size=2, num_workers=num_workers))
    assert not multiprocessing.active_children()


def test_no_process_is_left_behind(make_dataset: Callable[..., ImageDataset]) -> None:
    dataset = make_dataset(8)
    batches = TrainBatches(dataset, batch_size=2, seed=0, num_workers=2)
    iterator = batches.starting_at(0)
    next(iterator)
    assert len(multiprocessing.active_children()) == 2
    again = batches.starting_at(1)  # ends the first
    next(again)
    assert len(multiprocessing.active_children()) == 2
    batches.close()
    assert not multiprocessing.active_children()
    assert list(again) == []

    forgotten = TrainBatches(dataset, batch_size=2, seed=0, num_workers=2).starting_at(0)
    next(forgotten)
    del forgotten
    gc.collect()
    assert not multiprocessing.active_children()

    left_early = iter(EvalBatches(dataset, batch_size=2, num_workers=2))
    next(left_early)
    left_early.close()
    assert not multiprocessing.active_children()


def test_targets_have_the_type_the_loss_wants(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    Image.fromarray(np.tile(np.uint8([0, 255]), (8, 4))).save(tmp_path / "mask.png")

    def target(task: str, value: object) -> Tensor:
        transform = build_transforms(
            augment="none", train=False, image_size=8, resize_size=8, mean=(0, 0, 0), std=(1, 1, 1), task=task
        )
        records = [Record(tmp_path / "a.png", value)] * 2
        dataset = ImageDataset(records, transform, task, mask_coding=MaskCoding((0, 255)))
        ((_, targets),) = EvalBatches(dataset, batch_size=2, num_workers=0)
        return targets

    classes = target("classification", 1)
    assert (classes.dtype, classes.tolist()) == (torch.int64, [1, 1])
    labels = target("multilabel", (1.0, 0.0))
    assert (labels.dtype, labels.tolist()) == (torch.float32, [[1.0, 0.0]] * 2)
    numbers = target("regression", (2.5,))
    assert (numbers.dtype, numbers.tolist()) == (torch.float32, [[2.5]] * 2)
    masks = target("segmentation", tmp_path / "mask.png")
    assert (masks.dtype, masks.shape) == (torch.int64, (2, 8, 8))
    assert masks[0, 0].tolist() == [0, 1] * 4


def test_mask_of_another_size_is_named_with_both_sizes(tmp_path: Path) -> None:
    Image.new("RGB", (8, 6)).save(tmp_path / "a.png")
    Image.new("L", (6, 8)).save(tmp_path / "mask.png")
    transform = build_transforms(
        augment="none", train=False, image_size=8, resize_size=8, mean=(0, 0, 0), std=(1, 1, 1), task="segmentation"
    )
    records = [Record(tmp_path / "a.png", tmp_path / "mask.png")]
    dataset = ImageDataset(records, transform, "segmentation", mask_coding=MaskCoding((0,)))
    with pytest.raises(DataError, match=r"mask\.png is 6 x 8 pixels, its image .*a\.png is 8 x 6\. Make them equal"):
        dataset[0]


def test_dataset_travels_to_a_process_that_is_not_forked(make_dataset: Callable[..., ImageDataset]) -> None:
    for augment in ("standard", "strong"):
        dataset = make_dataset(3, augment=augment)
        copy = pickle.loads(pickle.dumps(dataset))
        assert torch.equal(copy[Key(1, 2, 3)][0], dataset[Key(1, 2, 3)][0])
    pickle.dumps(_Mixed(Mixer("both", 1.0), dataset))


def test_no_images_is_a_mistake_of_the_caller(make_dataset: Callable[..., ImageDataset]) -> None:
    with pytest.raises(ValueError, match="no images to train on"):
        TrainBatches(make_dataset(0), batch_size=2, seed=0)


def test_number_of_loading_processes_suits_the_machine() -> None:
    assert 0 <= default_num_workers() <= 8


def test_record_order_counts_each_image_once_per_epoch_for_any_seed(make_dataset: Callable[..., ImageDataset]) -> None:
    batches = TrainBatches(make_dataset(7), batch_size=3, seed=2**32 - 1, num_workers=0)
    for epoch in (0, 1, 10**6):
        assert Counter(batches.epoch_order(epoch)) == Counter(range(7))
