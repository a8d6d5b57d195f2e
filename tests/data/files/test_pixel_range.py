"""Pictures of more than 8 bits are shown by the range that their set uses, in every place that reads them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fine_tuner.base.errors import DataError
from fine_tuner.data.files.images import load_image, scaled_to_bytes
from fine_tuner.data.notices import MendableError
from fine_tuner.data.records import DataSplits

Read = Callable[..., DataSplits]


def write(root: Path, black: int, white: int, dtype: type = np.uint16, suffix: str = ".png") -> Path:
    """Two classes of eight noisy pictures whose values run from ``black`` to ``white``."""
    for number in range(16):
        folder = root / ("ab"[number % 2])
        folder.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(number).uniform(black, white + 1, (16, 20))
        values.flat[:2] = black, white
        Image.fromarray(values.astype(dtype)).save(folder / f"{number}{suffix}")
    return root


@pytest.mark.parametrize(
    ("black", "white", "found"),
    [
        (0, 1000, (0, 1023)),
        (40, 4094, (0, 4095)),
        (0, 12000, (0, 16383)),
        (0, 65535, (0, 65535)),
        (31744, 36000, (31744, 36000)),
    ],
    ids=["10 bits", "12 bits", "14 bits", "16 bits", "offset"],
)
def test_range_is_measured_and_said(tmp_path: Path, read: Read, black: int, white: int, found: tuple[int, int]) -> None:
    data = read(write(tmp_path, black, white))
    assert data.pixel_range == pytest.approx(found, abs=8 if black > 10000 else 0), "percentiles leave out a few values"
    assert any(n.code == "pixel_range" and "16 pictures" in n.text for n in data.notices)
    shown = np.asarray(load_image(tmp_path / "a" / "0.png", pixel_range=data.pixel_range))
    assert shown.max() > 180
    assert shown.min() < 30


def write_colour(file: Path, values: np.ndarray) -> None:
    """A PNG with 16 bits a colour, which Pillow does not write. Source: PNG specification, 3rd edition, 11.2."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width, _ = values.shape
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in values)
    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(("white", "is_asked"), [(4095, True), (65535, False)])
def test_dark_colours_of_16_bits_are_asked_about(tmp_path: Path, read: Read, white: int, is_asked: bool) -> None:
    for number in range(12):
        values = np.random.default_rng(number).integers(0, white + 1, (16, 20, 3))
        write_colour(tmp_path / "ab"[number % 2] / f"{number}.png", values)
    if is_asked:
        with pytest.raises(MendableError, match=r"12 pictures of 16 bits a colour, .* reach 15 of 255"):
            read(tmp_path)
    assert read(tmp_path, pixel_range=(0, 65535) if is_asked else None).num_outputs == 2


def test_setting_overrides_and_a_wrong_one_is_refused(tmp_path: Path, read: Read) -> None:
    root = write(tmp_path, 0, 4095)
    assert read(root, pixel_range=(0, 65535)).pixel_range == (0, 65535)
    with pytest.raises(DataError, match=r"data\.pixel_range is \[5\]\. Give black and white"):
        read(root, pixel_range=(5,))


def test_one_hot_pixel_is_not_white(tmp_path: Path, read: Read) -> None:
    root = write(tmp_path, 0, 4095)
    values = np.full((64, 64), 100, np.uint16)
    values[3, 3] = 65535
    Image.fromarray(values).save(root / "a" / "hot.png")
    assert read(root).pixel_range == (0, 4095)


def test_float_pictures_are_read_with_a_range(tmp_path: Path, read: Read) -> None:
    data = read(write(tmp_path, 0, 3000, np.float32, ".tif"))
    assert data.pixel_range == (0, 4095)
    load_image(tmp_path / "a" / "0.tif", pixel_range=data.pixel_range)


def test_pictures_of_8_bits_have_no_range(class_folders: Callable[..., Path], read: Read) -> None:
    assert read(class_folders({"a": 4, "b": 4})).pixel_range is None


def test_ends_of_the_range_are_black_and_white() -> None:
    values = np.array([[0, 100, 4195, 60000]], np.uint16)
    assert scaled_to_bytes(values, 100, 4195).tolist() == [[0, 0, 255, 255]]
    full = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    assert np.array_equal(scaled_to_bytes(full, 0, 65535), full // 257)


def test_range_survives_the_file_of_the_splits(tmp_path: Path, read: Read) -> None:
    data = read(write(tmp_path / "set", 0, 4095))
    data.write(tmp_path / "splits.json")
    assert DataSplits.from_file(tmp_path / "splits.json") == data
