"""A picture that is kept decoded is the decoded picture, whoever asks, whatever happened to the file that keeps it."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from fine_tuner.base.errors import DataError
from fine_tuner.data.files.decoded_folder import DecodedFolder
from fine_tuner.data.files.images import load_image
from fine_tuner.data.loading.decoded import DecodedPictures
from fine_tuner.data.loading.transforms import to_tensor


def draw(path: Path, seed: int = 0, side: int = 200, exif: Image.Exif | None = None) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side + 50, 3), np.uint8)
    Image.fromarray(pixels).save(path, **({"exif": exif} if exif else {}))
    return path


def decoded(path: Path, min_side_px: int | None = None) -> Tensor:
    return to_tensor(load_image(path, min_side_px=min_side_px))


@pytest.fixture
def folder(tmp_path: Path) -> DecodedFolder:
    return DecodedFolder(tmp_path / "kept", limit_mib=16)


def files(folder: DecodedFolder) -> list[Path]:
    return [path for path in folder.path.rglob("*") if path.is_file()]


def load(pictures: DecodedPictures, path: Path, min_side_px: int | None = None) -> Tensor:
    return pictures.load(path, min_side_px=min_side_px, pixel_range=None)


@pytest.mark.parametrize(("name", "min_side_px"), [("a.png", None), ("a.jpg", None), ("a.jpg", 150)])
def test_every_time_gives_the_pixels_and_their_order_in_memory_of_the_first(
    name: str, min_side_px: int | None, folder: DecodedFolder, tmp_path: Path
) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    path = draw(tmp_path / name, side=300, exif=turned)
    expected = decoded(path, min_side_px)
    pictures = DecodedPictures(folder)
    for one in [load(pictures, path, min_side_px), load(pictures, path, min_side_px)]:
        assert torch.equal(one, expected)
        assert one.stride() == expected.stride()
    assert len(files(folder)) == 1


def test_another_process_and_a_copy_of_the_picture_decode_nothing(folder: DecodedFolder, tmp_path: Path) -> None:
    path = draw(tmp_path / "a.png")
    load(DecodedPictures(folder), path)
    (kept,) = files(folder)
    content = bytearray(kept.read_bytes())
    copy = tmp_path / "copy.png"
    copy.write_bytes(path.read_bytes())
    assert torch.equal(load(DecodedPictures(folder), copy), decoded(path))
    assert files(folder) == [kept]
    assert kept.read_bytes() == content


def test_a_picture_that_changes_is_decoded_anew(folder: DecodedFolder, tmp_path: Path) -> None:
    path, pictures = draw(tmp_path / "a.png"), DecodedPictures(folder)
    load(pictures, path)
    load(pictures, path)
    os.utime(draw(path, seed=1), ns=(1, 1))
    assert torch.equal(load(pictures, path), decoded(path))
    assert len(files(folder)) == 2


@pytest.mark.parametrize("harm", ["deleted", "empty", "short", "other bytes"])
def test_a_kept_file_that_came_to_harm_is_made_again(harm: str, folder: DecodedFolder, tmp_path: Path) -> None:
    path = draw(tmp_path / "a.png")
    load(DecodedPictures(folder), path)
    (kept,) = files(folder)
    content = kept.read_bytes()
    if harm == "deleted":
        kept.unlink()
    else:
        kept.write_bytes({"empty": b"", "short": content[:-1], "other bytes": content[:-1] + b"?"}[harm])
    assert torch.equal(load(DecodedPictures(folder), path), decoded(path))
    assert kept.read_bytes() == content


def test_what_is_deleted_while_a_run_uses_it_is_made_again(folder: DecodedFolder, tmp_path: Path) -> None:
    path, pictures = draw(tmp_path / "a.png"), DecodedPictures(folder)
    load(pictures, path)
    before = load(pictures, path)
    folder.delete()
    assert folder.used_bytes() == 0
    assert torch.equal(before, decoded(path))
    assert torch.equal(load(pictures, path), decoded(path))
    assert len(files(folder)) == 1


def test_changing_the_pixels_that_were_loaded_changes_nothing_that_is_kept(
    folder: DecodedFolder, tmp_path: Path
) -> None:
    path, pictures = draw(tmp_path / "a.png"), DecodedPictures(folder)
    load(pictures, path)
    load(pictures, path).zero_()
    assert torch.equal(load(pictures, path), decoded(path))


def test_two_at_once_leave_one_good_file_for_each_picture(folder: DecodedFolder, tmp_path: Path) -> None:
    paths = [draw(tmp_path / f"{i}.png", seed=i) for i in range(4)]

    def one_run(_: int) -> list[Tensor]:
        pictures = DecodedPictures(DecodedFolder(folder.path, limit_mib=16))
        return [load(pictures, path) for path in paths * 2]

    with ThreadPoolExecutor(4) as pool:
        for loaded in pool.map(one_run, range(4)):
            assert all(torch.equal(one, decoded(path)) for one, path in zip(loaded, paths * 2, strict=True))
    assert len(files(folder)) == 4


def test_small_pictures_are_not_kept(folder: DecodedFolder, tmp_path: Path) -> None:
    path, pictures = draw(tmp_path / "a.png", side=40), DecodedPictures(folder)
    for _ in range(2):
        assert torch.equal(load(pictures, path), decoded(path))
    assert files(folder) == []


def test_a_picture_that_cannot_be_read_is_named_as_ever(folder: DecodedFolder, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    for name in ("broken.png", "absent.png"):
        with pytest.raises(DataError, match=name):
            load(DecodedPictures(folder), tmp_path / name)
    assert files(folder) == []


def test_where_nothing_can_be_written_pictures_are_decoded(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("a file in place of the folder")
    path, pictures = draw(tmp_path / "a.png"), DecodedPictures(DecodedFolder(tmp_path / "kept", limit_mib=16))
    for _ in range(2):
        assert torch.equal(load(pictures, path), decoded(path))
