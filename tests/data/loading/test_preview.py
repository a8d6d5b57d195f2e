"""The preview shows what training sees."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image

from fine_tuner.config.sections.data import SAMPLE_DATA
from fine_tuner.data.loading.batches import ImageDataset, Key
from fine_tuner.data.loading.preview import grid, preview, visible
from fine_tuner.data.loading.transforms import build_transforms
from fine_tuner.data.mask_coding import IGNORE_INDEX
from fine_tuner.data.records import DataSplits

TASKS = ("classification", "multilabel", "regression", "segmentation")


@pytest.fixture
def dataset(read: Callable[..., DataSplits]) -> Callable[[str], tuple[ImageDataset, DataSplits]]:
    def make(task: str) -> tuple[ImageDataset, DataSplits]:
        data = read(SAMPLE_DATA, task=task)
        transform = build_transforms(
            augment="standard", train=True, image_size=64, resize_size=64, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.2),
            task=task,
        )  # fmt: skip
        return ImageDataset(data.splits["train"], transform, task, mask_coding=data.mask_coding), data

    return make


@pytest.mark.parametrize("task", TASKS)
def test_pictures_are_those_of_training_made_visible(dataset: Callable[..., tuple], task: str) -> None:
    images, data = dataset(task)
    shown = preview(images, data.output_names, count=6, draw=3, seed=5)
    assert len(shown) == 6
    assert len({s.file for s in shown}) == 6
    index = [r.image for r in images.records].index(shown[0].file)
    pixels, _ = images[Key(index, 5, 3)]
    if task != "segmentation":
        back = np.asarray(shown[0].picture).astype(np.float32) / 255
        seen = (pixels.permute(1, 2, 0).numpy() * (0.2, 0.3, 0.2)) + (0.5, 0.4, 0.3)
        assert np.abs(back - seen).max() <= 0.51 / 255, "rounded to 8 bits"


def test_draw_decides_and_class_filters(dataset: Callable[..., tuple]) -> None:
    images, data = dataset("classification")
    one, again, other = (preview(images, data.classes, count=4, draw=d) for d in (1, 1, 2))
    assert [s.file for s in one] == [s.file for s in again]
    assert [s.file for s in one] != [s.file for s in other]
    assert {s.label for s in preview(images, data.classes, count=5, only=2)} == {data.classes[2]}


@pytest.mark.parametrize("task", ["multilabel", "segmentation"])
def test_filter_by_label_and_by_class_of_the_mask(dataset: Callable[..., tuple], task: str) -> None:
    images, data = dataset(task)
    shown = preview(images, data.classes, count=5, only=2)
    assert len(shown) == 5
    assert all(data.classes[2] in s.label for s in shown)


def test_labels_in_words(dataset: Callable[..., tuple]) -> None:
    images, data = dataset("regression")
    assert all(s.label.startswith("count ") for s in preview(images, data.output_names, count=3))


def test_mask_is_laid_over_and_background_stays_clear() -> None:
    pixels = torch.full((3, 2, 2), 100, dtype=torch.uint8)
    picture = np.asarray(visible(pixels, torch.tensor([[0, 1], [2, IGNORE_INDEX]])))
    assert picture[0, 0].tolist() == [100, 100, 100]
    assert picture[0, 1].tolist() == [165, 130, 50]
    assert picture[1, 0].tolist() == [93, 140, 166]
    assert picture[1, 1].tolist() == [50, 50, 50]


def test_grid_holds_all_pictures(dataset: Callable[..., tuple]) -> None:
    images, data = dataset("classification")
    shown = preview(images, data.classes, count=5)
    sheet = grid(shown, columns=3)
    assert sheet.size == (3 * 68 - 4, 2 * 68 - 4)
    assert np.array_equal(np.asarray(sheet.crop((68, 68, 132, 132))), np.asarray(shown[4].picture))
    assert isinstance(sheet, Image.Image)
    with pytest.raises(ValueError, match="no pictures"):
        grid([], columns=3)
