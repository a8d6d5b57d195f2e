"""Files of several slices: said, and taken apart into pictures that are trained on, one volume in one split."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fine_tuner.base.errors import DataError
from fine_tuner.base.progress import no_progress
from fine_tuner.data.files.slices import look_at_slices, unstack

Read = Callable[..., object]
SLICES = 6


def save_stack(path: Path, frames: list[np.ndarray], **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *others = map(Image.fromarray, frames)
    first.save(path, save_all=True, append_images=others, **options)


@pytest.fixture
def stacks(tmp_path: Path) -> Path:
    """Three volumes of 12-bit slices with their masks, which are of another format of TIFF."""
    rng = np.random.default_rng(0)
    for volume in range(3):
        images = [rng.integers(0, 4000, (20, 24), np.uint16) for _ in range(SLICES)]
        save_stack(tmp_path / "set" / "images" / f"volume{volume}.tif", images)
        masks = [(image > 2000).astype(np.uint8) * 255 for image in images]
        save_stack(tmp_path / "set" / "masks" / f"volume{volume}.tif", masks, compression="tiff_lzw")
    return tmp_path / "set"


def test_stacks_are_named_with_what_is_read_of_them(stacks: Path, read: Read) -> None:
    (notice,) = [n for n in read(stacks, task="segmentation").notices if n.code == "slices"]
    assert notice.level == "warning"
    assert "6 files of several pictures each, such as volume0.tif with 6" in notice.text
    assert "6 of 36" in notice.text
    assert "unstack" in notice.text


def test_stacks_taken_apart_are_pairs_of_slices_kept_together_by_volume(
    stacks: Path, tmp_path: Path, read: Read
) -> None:
    out = tmp_path / "apart"
    assert unstack(stacks, out, no_progress) == (6, 36)
    data = read(out, task="segmentation", group_by_name=True)
    assert sum(map(len, data.splits.values())) == 18
    volumes = {split: {r.group for r in rows} for split, rows in data.splits.items()}
    assert volumes["train"].isdisjoint(volumes["val"])
    assert len(volumes["train"] | volumes["val"]) == 3
    with Image.open(stacks / "images" / "volume1.tif") as stack, Image.open(stacks / "masks" / "volume1.tif") as masks:
        for number in range(SLICES):
            stack.seek(number)
            masks.seek(number)
            for folder, frame in (("images", stack), ("masks", masks)):
                with Image.open(out / folder / f"volume1_slice{number + 1}.tif") as alone:
                    np.testing.assert_array_equal(np.asarray(alone), np.asarray(frame))
    assert (stacks / "images" / "volume1.tif").exists(), "the data itself is not changed"


def test_smaller_copies_in_a_file_are_no_slices(tmp_path: Path) -> None:
    save_stack(tmp_path / "scan.tif", [np.zeros((64, 64), np.uint8), np.zeros((16, 16), np.uint8)])
    assert look_at_slices(tmp_path / "scan.tif")["slices"] == 1


def test_names_that_tell_recordings_are_offered_as_groups_for_masks_too(tmp_path: Path, read: Read) -> None:
    rng = np.random.default_rng(0)
    for video in range(3):
        for frame in range(4):
            pixels = rng.integers(0, 256, (20, 24), np.uint8)
            for folder, content in (("images", pixels), ("masks", (pixels > 99).astype(np.uint8))):
                path = tmp_path / folder / f"seq{video}_frame{frame:02d}.png"
                path.parent.mkdir(exist_ok=True)
                Image.fromarray(content).save(path)
    (notice,) = [n for n in read(tmp_path, task="segmentation").notices if n.code == "name_groups"]
    assert notice.remedies[0].settings == {"data.group_by_name": True}


def test_the_folder_to_write_to_has_to_be_new_and_outside(stacks: Path) -> None:
    for out in (stacks, stacks / "inside"):
        with pytest.raises(DataError, match="has to be a new folder outside"):
            unstack(stacks, out, no_progress)
