"""Every format becomes the RGB picture a person sees; every broken file becomes a message that names it."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fine_tuner.base.errors import DataError
from fine_tuner.data.files.folders import IMAGE_SUFFIXES
from fine_tuner.data.files.images import MAX_PIXELS, load_image, load_mask, verify_quickly

RED, HALF_RED = (255, 0, 0), (255, 0, 0, 128)


def quarters(width: int = 24, height: int = 16) -> Image.Image:
    """Red, green, blue and white quarters: shows every turn and every mix of channels."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = RED
    pixels[: height // 2, width // 2 :] = (0, 255, 0)
    pixels[height // 2 :, : width // 2] = (0, 0, 255)
    pixels[height // 2 :, width // 2 :] = 255
    return Image.fromarray(pixels)


def corners(image: Image.Image) -> list[tuple[int, ...]]:
    w, h = image.size
    return [image.getpixel((x, y)) for y in (1, h - 2) for x in (1, w - 2)]


@pytest.mark.parametrize("suffix", sorted(IMAGE_SUFFIXES - {".pgm", ".jfif", ".jpe"}))
def test_every_format_gives_the_same_rgb_picture(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"picture{suffix}"
    quarters().save(path)
    image = load_image(path)
    assert (image.mode, image.size) == ("RGB", (24, 16))
    for found, expected in zip(corners(image), corners(quarters()), strict=True):
        assert np.abs(np.subtract(found, expected)).max() <= 24, "JPEG and WebP are lossy, the others exact"
    assert verify_quickly(path) == (24, 16)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_exif_orientation_is_applied(tmp_path: Path, suffix: str, orientation: int) -> None:
    upright = quarters(64, 32)
    stored = {
        1: upright,
        2: upright.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: upright.transpose(Image.Transpose.ROTATE_180),
        4: upright.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: upright.transpose(Image.Transpose.TRANSPOSE),
        6: upright.transpose(Image.Transpose.ROTATE_90),
        7: upright.transpose(Image.Transpose.TRANSVERSE),
        8: upright.transpose(Image.Transpose.ROTATE_270),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned{suffix}"
    stored.save(path, exif=exif)
    image = load_image(path)
    assert image.size == (64, 32)
    for found, expected in zip(corners(image), corners(upright), strict=True):
        assert np.abs(np.subtract(found, expected)).max() <= 24


def test_damaged_exif_does_not_hide_the_picture(tmp_path: Path) -> None:
    path = tmp_path / "odd.png"
    quarters().save(path, exif=b"Exif\x00\x00nonsense")
    assert corners(load_image(path)) == corners(quarters())


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("L", (4, 4), 7), (7, 7, 7)),
        (Image.new("1", (4, 4), 1), (255, 255, 255)),
        (Image.new("LA", (4, 4), (9, 255)), (9, 9, 9)),
        (Image.new("LA", (4, 4), (9, 0)), (255, 255, 255)),
        (Image.new("RGBA", (4, 4), (*RED, 255)), RED),
        (Image.new("RGBA", (4, 4), (*RED, 0)), (255, 255, 255)),
        (Image.fromarray(np.full((4, 4), 65535, np.uint16)), (255, 255, 255)),
        (Image.fromarray(np.full((4, 4), 257 * 10, np.uint16)), (10, 10, 10)),
    ],
    ids=["grey", "1-bit", "grey+alpha", "clear grey", "opaque", "clear", "16-bit white", "16-bit"],
)
def test_modes_become_rgb_on_white(tmp_path: Path, image: Image.Image, expected: tuple[int, ...]) -> None:
    image.save(tmp_path / "a.png")
    assert load_image(tmp_path / "a.png").getpixel((2, 2)) == expected


def test_half_transparent_red_on_white_is_pink(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), HALF_RED).save(tmp_path / "a.png")
    red, green, blue = load_image(tmp_path / "a.png").getpixel((0, 0))
    assert (red, green, blue) == (255, 127, 127)


def test_palette_gives_its_colours_and_as_a_mask_its_indices(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.save(tmp_path / "a.png")
    image.save(tmp_path / "clear.png", transparency=1)
    assert load_image(tmp_path / "a.png").getpixel((0, 0)) == (10, 20, 30)
    assert load_image(tmp_path / "clear.png").getpixel((0, 0)) == (255, 255, 255)
    assert np.array_equal(load_mask(tmp_path / "a.png"), np.ones((4, 4)))


def test_masks_keep_their_values(tmp_path: Path) -> None:
    values = np.arange(16, dtype=np.uint8).reshape(4, 4)
    Image.fromarray(values).save(tmp_path / "grey.png")
    Image.fromarray(np.dstack([values] * 3)).save(tmp_path / "grey-as-rgb.png")
    Image.fromarray(values.astype(np.uint16) * 300).save(tmp_path / "wide.png")
    Image.fromarray(np.dstack([values, values * 0, values])).save(tmp_path / "colours.png")
    assert np.array_equal(load_mask(tmp_path / "grey.png"), values)
    assert np.array_equal(load_mask(tmp_path / "grey-as-rgb.png"), values)
    assert np.array_equal(load_mask(tmp_path / "wide.png"), values.astype(int) * 300)
    assert load_mask(tmp_path / "colours.png").shape == (4, 4, 3)


def test_large_jpeg_is_decoded_smaller_but_not_below_what_is_needed(tmp_path: Path) -> None:
    quarters(1200, 800).save(tmp_path / "large.jpg")
    assert load_image(tmp_path / "large.jpg").size == (1200, 800)
    small = load_image(tmp_path / "large.jpg", min_side_px=190)
    assert small.size == (300, 200)
    assert corners(small) == corners(load_image(tmp_path / "large.jpg"))
    assert load_image(tmp_path / "large.jpg", min_side_px=900).size == (1200, 800)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".gif", ".tif", ".ppm"])
@pytest.mark.parametrize("kept", [0.95, 0.5])
def test_cut_file_is_named_at_the_scan_and_while_loading(tmp_path: Path, suffix: str, kept: float) -> None:
    path = tmp_path / f"cut{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    for use in (verify_quickly, load_image):
        with pytest.raises(DataError, match=rf"cut\{suffix} is damaged \(.+\)\. Replace it, or set data.on_unreadable"):
            use(path)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", r"is not an image \(the file is empty\)"),
        (b"hello", r"is not an image \(it begins like no image format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", r"is not an image \(it begins like no image format"),
        (b"\x89PNG\r\n\x1a\n", "is damaged"),
        (b"\xff\xd8\xff\xe0", "is damaged"),
        (b"BM1234", "is damaged"),
        (b"II*\0\xff\xff\xff\xff", "is damaged"),
        (b"RIFF1234WEBPVP8 ", "is damaged"),
        (b"GIF89a\0\0\0\0", "is damaged"),
        (b"P5 0 0 255\n", "is damaged"),
    ],
)
def test_file_that_is_no_image_is_named(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"broken\.png {why}.*Replace it"):
        load_image(path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.png is not there any more. Restore it"):
        load_image(tmp_path / "gone.png")


def test_decompression_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    side = int(MAX_PIXELS**0.5) + 1

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    bomb = tmp_path / "bomb.png"
    bomb.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b""))
    for use in (verify_quickly, load_image, load_mask):
        with pytest.raises(DataError, match=rf"claims {side} x {side} pixels, more than the 178 million"):
            use(bomb)


def test_float_pixels_are_refused_with_their_range(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 0.5, np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match=r"32-bit pixels \(0\.5 to 0\.5\).*save it with 8 or 16 bits"):
        load_image(tmp_path / "a.tif")


def test_loaded_picture_outlives_its_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    quarters().save(path)
    image = load_image(path)
    path.unlink()
    assert corners(image) == corners(quarters())
