"""Masks that number objects are told from masks of classes by their regions, whichever numbers the files hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fine_tuner.data.notices import MendableError
from fine_tuner.data.records import DataSplits

Read = Callable[..., DataSplits]
SIDE = 96


def scattered(seed: int, values: Sequence[int]) -> np.ndarray:
    """One disc of each value, in places drawn at random that do not touch."""
    rng = np.random.default_rng(seed)
    cells = rng.permutation(16)[: len(values)]
    rows, columns = np.mgrid[:SIDE, :SIDE]
    mask = np.zeros((SIDE, SIDE), np.uint16)
    for value, cell in zip(values, cells, strict=True):
        y, x = (np.array(divmod(int(cell), 4)) + 0.5) * SIDE / 4 + rng.uniform(-2, 2, 2)
        mask[(rows - y) ** 2 + (columns - x) ** 2 < rng.uniform(5, 9) ** 2] = value
    return mask


def layers(seed: int, count: int) -> np.ndarray:
    """Of a retina: one above the other, each as wide as the picture."""
    rng = np.random.default_rng(seed)
    ends = np.linspace(20, 90, count + 1) + rng.uniform(-3, 3, count + 1)
    heights = np.arange(SIDE)[:, None] + 2 * np.sin(np.arange(SIDE) / 9)
    return np.digitize(heights, ends).astype(np.uint16) % (count + 1)


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[list[np.ndarray]], Path]:
    """Writes masks with as many pictures."""

    def make(masks: list[np.ndarray]) -> Path:
        for name in ("images", "masks"):
            (tmp_path / "set" / name).mkdir(parents=True)
        for number, mask in enumerate(masks):
            noise = np.random.default_rng(number).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
            Image.fromarray(noise).save(tmp_path / "set" / "images" / f"{number}.jpg")
            picture = Image.fromarray(mask if mask.ndim == 3 or mask.max() > 255 else mask.astype(np.uint8))
            picture.save(tmp_path / "set" / "masks" / f"{number}.png")
        return tmp_path / "set"

    return make


def _own(number: int) -> list[int]:
    """Numbers that no other file has."""
    return [300 + 3 * number, 301 + 3 * number, 302 + 3 * number]


NUMBERED = {
    "the same numbers in every file": [scattered(n, range(1, 8)) for n in range(12)],
    "three in every file": [scattered(n, (1, 2, 3)) for n in range(12)],
    "few, more or less": [scattered(n, range(1, 3 + n % 4)) for n in range(12)],
    "counted through all files": [scattered(n, _own(n)) for n in range(4)],
    "as many as in a crowd": [scattered(n, range(1, 8 + n % 9)) for n in range(12)],
}


@pytest.mark.parametrize("masks", NUMBERED.values(), ids=NUMBERED)
def test_numbers_of_objects_are_asked_about_and_either_answer_is_taken(
    masks: list[np.ndarray], folder: Callable[..., Path], read: Read
) -> None:
    root = folder(masks)
    with pytest.raises(MendableError, match="number objects, it seems, not classes") as asked:
        read(root, task="segmentation")
    objects, classes = (remedy.settings for remedy in asked.value.remedies)
    as_options = lambda settings: {key.removeprefix("data."): value for key, value in settings.items()}  # noqa: E731
    assert read(root, task="segmentation", **as_options(objects)).num_outputs == 2
    assert read(root, task="segmentation", **as_options(classes)).num_outputs == len(np.unique(masks))


def test_colours_drawn_for_each_object_are_asked_about(folder: Callable[..., Path], read: Read) -> None:
    rng = np.random.default_rng(0)
    palettes = [np.vstack([[[0, 0, 0]], rng.integers(1, 256, (5, 3))]).astype(np.uint8) for _ in range(8)]
    root = folder([palettes[n][scattered(n, range(1, 6))] for n in range(8)])
    with pytest.raises(MendableError, match="40 colours, in each file 5 to 5 of them, hardly one") as asked:
        read(root, task="segmentation")
    settings = {key.removeprefix("data."): value for key, value in asked.value.remedies[0].settings.items()}
    data = read(root, task="segmentation", **settings)
    assert data.num_outputs == 2
    scene = scattered(0, range(1, 6))
    np.testing.assert_array_equal(data.mask_coding.classes_of(palettes[0][scene], "0.png"), scene > 0)


def test_layers_that_have_their_place_are_classes_and_it_is_said(folder: Callable[..., Path], read: Read) -> None:
    data = read(folder([layers(n, 6) for n in range(12)]), task="segmentation")
    (notice,) = [n for n in data.notices if n.code == "regions"]
    assert data.num_outputs == 7
    assert "may number objects: 6 values" in notice.text
    assert notice.remedies[0].settings["data.mask_values"] == [0, 1]


def test_classes_of_several_regions_are_classes_without_a_word(folder: Callable[..., Path], read: Read) -> None:
    masks = [np.maximum(scattered(n, [1, 1, 2, 3, 3, 3]), 0) for n in range(12)]
    data = read(folder(masks), task="segmentation")
    assert data.num_outputs == 4
    assert not [n for n in data.notices if n.code == "regions"]


def test_names_for_all_values_settle_it(folder: Callable[..., Path], read: Read) -> None:
    root = folder(NUMBERED["three in every file"])
    data = read(root, task="segmentation", class_names="ground, one, two, three")
    assert data.output_names == ("ground", "one", "two", "three")
