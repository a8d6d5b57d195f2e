"""Mixed pictures, how much of each, and classes in equal numbers."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from torchvision.transforms import v2

from fine_tuner.data.loading.batches import ImageDataset, TrainBatches
from fine_tuner.data.loading.mixing import MixedTargets, Mixer
from fine_tuner.data.loading.randomness import randomness_of
from fine_tuner.data.loading.transforms import build_transforms
from fine_tuner.data.records import Record
from fine_tuner.tasks.mixed import MixedLoss


@pytest.mark.parametrize("kind", ["mixup", "cutmix", "both"])
def test_lam_is_what_is_left_of_the_first_picture(kind: str) -> None:
    """Each picture is one value throughout, so the mean of the mixed picture tells lam."""
    images = torch.arange(8.0).view(8, 1, 1, 1).expand(8, 3, 20, 30)
    targets = torch.arange(8)
    for draw in range(20):
        with randomness_of(draw):
            mixed, both = Mixer(kind, 1.0)(images, targets)
        expected = both.lam * both.first + (1 - both.lam) * both.second
        assert torch.allclose(mixed.mean((1, 2, 3)), expected, atol=1e-4)
        assert torch.equal(both.first, targets)
        assert (both.first != both.second).all()


@pytest.mark.parametrize(("kind", "reference"), [("mixup", v2.MixUp), ("cutmix", v2.CutMix)])
def test_mixing_is_that_of_torchvision_with_the_soft_targets_in_two_parts(kind: str, reference: type) -> None:
    with randomness_of(0):
        images, targets = torch.rand(4, 3, 12, 20), torch.tensor([0, 1, 2, 1])
    with randomness_of(5):
        mixed, both = Mixer(kind, 1.0)(images, targets)
    with randomness_of(5):
        expected, soft = reference(alpha=1.0, num_classes=3)(images, targets)
    assert torch.equal(mixed, expected)
    assert torch.allclose(both.lam * F.one_hot(both.first, 3) + (1 - both.lam) * F.one_hot(both.second, 3), soft)


def test_cutmix_pastes_and_mixup_blends() -> None:
    images = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 20, 20)
    with randomness_of(1):
        cut, _ = Mixer("cutmix", 1.0)(images, torch.arange(2))
    with randomness_of(1):
        blended, both = Mixer("mixup", 1.0)(images, torch.arange(2))
    assert set(cut.unique().tolist()) == {0.0, 1.0}
    assert torch.allclose(blended[1], torch.tensor(both.lam))


def test_mixed_loss_of_cross_entropy_is_that_of_soft_targets() -> None:
    with randomness_of(0):
        logits = torch.randn(5, 3)
    first, second = torch.tensor([0, 1, 2, 0, 1]), torch.tensor([1, 2, 0, 0, 2])
    soft = 0.3 * F.one_hot(first, 3) + 0.7 * F.one_hot(second, 3)
    loss = MixedLoss(nn.CrossEntropyLoss())
    assert torch.allclose(loss(logits, MixedTargets(first, second, 0.3)), F.cross_entropy(logits, soft))
    assert torch.equal(loss(logits, first), F.cross_entropy(logits, first))


def test_batch_of_one_is_left_alone() -> None:
    images, targets = torch.ones(1, 3, 4, 4), torch.zeros(1, dtype=torch.int64)
    assert Mixer("cutmix", 1.0)(images, targets) == (images, targets)


def test_unknown_mix_is_refused() -> None:
    with pytest.raises(ValueError, match="mix 'blend' is not one of mixup, cutmix, both"):
        Mixer("blend", 1.0)


@pytest.fixture
def unbalanced(tmp_path: Path) -> ImageDataset:
    """20 images of class 0, 5 of class 1, 2 of class 3."""
    records = []
    for i, target in enumerate([0] * 20 + [1] * 5 + [3] * 2):
        path = tmp_path / f"{i}.png"
        Image.fromarray(np.full((8, 8, 3), 9 * i, np.uint8)).save(path)
        records.append(Record(path, target))
    transform = build_transforms(
        augment="none", train=True, image_size=8, resize_size=8, mean=(0, 0, 0), std=(1, 1, 1), task="classification"
    )
    return ImageDataset(records, transform, "classification")


def test_balanced_sampling_shows_all_classes_and_all_their_images_equally_often(unbalanced: ImageDataset) -> None:
    batches = TrainBatches(unbalanced, batch_size=4, seed=0, num_workers=0, sampling="balanced")
    order = batches.epoch_order(0)
    assert len(order) == 27
    assert Counter(unbalanced.records[i].target for i in order) == {0: 9, 1: 9, 3: 9}
    counts = Counter(order)
    assert sorted(counts[i] for i in (25, 26)) == [4, 5]
    assert {counts[i] for i in range(20, 25)} == {1, 2}
    assert order != batches.epoch_order(1)
    assert order == batches.epoch_order(0)


def test_balanced_sampling_needs_classes(tmp_path: Path, unbalanced: ImageDataset) -> None:
    numbers = ImageDataset([Record(tmp_path / "0.png", (1.0,))], unbalanced.transform, "regression")
    with pytest.raises(ValueError, match="balanced sampling needs one class per image"):
        TrainBatches(numbers, batch_size=1, seed=0, sampling="balanced")


def test_mixed_batches_do_not_depend_on_who_loads_them(unbalanced: ImageDataset) -> None:
    def take(num_workers: int, start: int) -> list[tuple[torch.Tensor, MixedTargets]]:
        batches = TrainBatches(
            unbalanced, batch_size=5, seed=3, num_workers=num_workers, sampling="balanced", mixer=Mixer("both", 0.5)
        )
        try:
            return list(islice(batches.starting_at(start), 8 - start))
        finally:
            batches.close()

    alone = take(0, 0)
    for start, other in ((0, take(2, 0)), (3, take(1, 3))):
        for (images, targets), (same_images, same_targets) in zip(alone[start:], other, strict=True):
            assert torch.equal(images, same_images)
            assert torch.equal(targets.second, same_targets.second)
            assert targets.lam == same_targets.lam
    assert len({targets.lam for _, targets in alone}) == 8


def test_cutmix_takes_each_pixel_as_often_as_the_paper_s_code() -> None:
    """Its box is centred anywhere and cut off at the edges: centre pixels are replaced often, corners seldom.

    Yun et al. 2019, algorithm 1: with a side of ``sqrt(1 - lam)`` of the picture, lam uniform, the middle lies in the
    box with probability ``E[1 - lam] = 1/2`` (a little less, for whole pixels) and a corner with ``E[(1 - lam) / 4]``.
    """
    images = torch.stack([torch.zeros(1, 64, 64), torch.ones(1, 64, 64)])
    with randomness_of(0):
        replaced = torch.stack([Mixer("cutmix", 1.0)(images, torch.arange(2))[0][0, 0] for _ in range(1500)]).mean(0)
    assert replaced[32, 32].item() == pytest.approx(0.47, abs=0.04)
    assert replaced[[0, 0, -1, -1], [0, -1, 0, -1]].mean().item() == pytest.approx(0.13, abs=0.02)
