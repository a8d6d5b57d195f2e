"""The sample is the same everywhere, is written once even by two processes, and its labels tell what is drawn."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fine_tuner.base.cache_folder import CACHE_VARIABLE
from fine_tuner.base.errors import DataError
from fine_tuner.config.sections.data import SAMPLE_DATA
from fine_tuner.data.files.images import load_image, load_mask
from fine_tuner.data.readers.sample import NUM_PICTURES, SHAPES, SIDE_PX, draw_picture, sample_folder
from fine_tuner.data.records import DataSplits

Read = Callable[..., DataSplits]
TASKS = ("classification", "multilabel", "regression", "segmentation")


def looks_like(image: Image.Image, pixels: np.ndarray) -> bool:
    """Equal but for what JPEG loses."""
    return np.abs(np.asarray(image).astype(int) - pixels).mean() < 2


def test_a_picture_is_a_function_of_its_number() -> None:
    one, again, other = draw_picture(5), draw_picture(5), draw_picture(9)
    assert np.array_equal(one.pixels, again.pixels)
    assert one.shape == other.shape
    assert not np.array_equal(one.pixels, other.pixels)


@pytest.mark.parametrize("number", range(0, 40, 3))
def test_mask_and_count_tell_what_is_drawn(number: int) -> None:
    """As many connected patches in the mask as the count says, all of the picture's shape."""
    picture = draw_picture(number)
    inside = picture.mask > 0
    assert set(np.unique(picture.mask)) == {0, picture.shape + 1}
    assert 0.03 < inside.mean() < 0.6
    left, patches = {tuple(p) for p in np.argwhere(inside)}, []
    while left:
        patch, border = 0, [left.pop()]
        while border:
            y, x = border.pop()
            patch += 1
            around = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= around
            border += around
        patches.append(patch)
    large = [p for p in patches if p > 0.15 * max(patches)]  # a leaf's stalk may touch, a tip may be cut off
    assert len(large) in (picture.count, picture.count - 1)


@pytest.mark.parametrize("task", TASKS)
def test_sample_serves_every_task(read: Read, task: str) -> None:
    data = read(SAMPLE_DATA, task=task)
    assert sum(map(len, data.splits.values())) == NUM_PICTURES
    assert abs(len(data.splits["val"]) - NUM_PICTURES / 4) <= 2
    assert data.num_outputs == {"classification": 4, "multilabel": 3, "regression": 1, "segmentation": 5}[task]
    for record in data.splits["val"][:20]:
        picture = draw_picture(int(record.image.stem))
        assert looks_like(load_image(record.image), picture.pixels)
        match task:
            case "classification":
                assert data.classes[record.target] == SHAPES[picture.shape]
            case "multilabel":
                assert record.target == picture.labels
            case "regression":
                assert record.target == (picture.count,)
            case "segmentation":
                classes = data.mask_coding.classes_of(load_mask(record.target), record.target)
                assert np.array_equal(classes, picture.mask)


def test_classes_are_equally_frequent_in_both_splits(read: Read) -> None:
    data = read(SAMPLE_DATA)
    assert data.class_counts("train") == (NUM_PICTURES * 3 // 16,) * 4
    assert data.class_counts("val") == (NUM_PICTURES // 16,) * 4


def test_mask_files_are_seen_in_colours(cache: Path) -> None:
    with Image.open(sample_folder() / "masks" / "0001.png") as mask:
        assert (mask.mode, mask.size) == ("P", (SIDE_PX, SIDE_PX))
        assert len(mask.convert("RGB").getcolors()) == 2


def _sample_in(folder: str, barrier: object, results: object) -> None:
    os.environ[CACHE_VARIABLE] = folder
    barrier.wait()
    results.put(str(sample_folder(count=40)))


def test_two_processes_at_once_make_one_sample(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(2), context.Queue()
    processes = [context.Process(target=_sample_in, args=(str(tmp_path), barrier, results)) for _ in range(2)]
    for process in processes:
        process.start()
    folders = {results.get(timeout=60) for _ in processes}
    for process in processes:
        process.join(timeout=60)
    assert [p.exitcode for p in processes] == [0, 0]
    (folder,) = folders
    assert len(list(Path(folder, "images").iterdir())) == 40
    assert [p.name for p in tmp_path.iterdir()] == [Path(folder).name]


def test_sample_that_lost_a_file_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    lost = sample_folder(count=8) / "images" / "0003.jpg"
    lost.unlink()
    assert sample_folder(count=8) == lost.parents[1]
    assert looks_like(load_image(lost), draw_picture(3).pixels)


def test_unwritable_cache_names_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(DataError, match=rf"cannot be written to .*/file/sample.*{CACHE_VARIABLE}"):
        sample_folder()
