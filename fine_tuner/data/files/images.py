"""One image file becomes pixels, whatever its format; broken, absurd and hostile files become a ``DataError``."""

from __future__ import annotations

import importlib
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO

import numpy as np
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
    features,
)
from PIL.ImageFile import ImageFile

from fine_tuner.base.errors import DataError
from fine_tuner.data.files.folders import check_reach

# Pillow's own error level: 0.5 GB as RGB. A small file that claims more is an attack or a mistake.
MAX_PIXELS = 178_956_970
# Opened by their first bytes, not through Image.open: only these parsers are let near a file (Pillow's others include
# Ghostscript), and a large picture is one decision of ours instead of a warning filter, which is not thread-safe.
_PARSERS: tuple[tuple[bytes, type[ImageFile]], ...] = (
    (b"\xff\xd8\xff", JpegImagePlugin.JpegImageFile),
    (b"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile),
    (b"BM", BmpImagePlugin.BmpImageFile),
    (b"GIF8", GifImagePlugin.GifImageFile),
    (b"RIFF", WebPImagePlugin.WebPImageFile),
    (b"II", TiffImagePlugin.TiffImageFile),
    (b"MM", TiffImagePlugin.TiffImageFile),
    (b"P", PpmImagePlugin.PpmImageFile),
)
_AVIF = frozenset({b"avif", b"avis"})
_HEIF = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"heif"})
_NO_HEIF = (
    "which is read with the package pillow-heif. Run: pip install pillow-heif; or save it as JPEG (on an iPhone: "
    "Settings, Camera, Formats, Most Compatible)"
)
# Pictures that are not read here, by the bytes they begin with.
_OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"\xff\x0a", "JPEG XL"), (b"\x00\x00\x00\x0cJXL ", "JPEG XL"), (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"), (b"8BPS", "Photoshop"), (b"FUJIFILMCCD-RAW", "camera raw"),
    (b"IIRO", "camera raw"), (b"IIU\x00", "camera raw"), (b"IIRS", "camera raw"), (b"%PDF", "PDF"),
    (b"<svg", "SVG"), (b"<html", "HTML"), (b"<!DO", "HTML"), (b"<!do", "HTML"),
)  # fmt: skip
# What Pillow's parsers raise on damaged files, besides OSError; Warning only where warnings are errors.
_DECODER_ERRORS = (
    SyntaxError, ValueError, EOFError, struct.error, IndexError, KeyError, TypeError, MemoryError, Warning,
)  # fmt: skip
_ALPHA_MODES = frozenset({"RGBA", "LA", "PA", "RGBa", "La"})
_TAIL_BYTES = 4096
_ORIENTATION = 0x0112


@contextmanager
def open_image(path: Path) -> Iterator[ImageFile]:
    """The image with its header read and its pixels not yet decoded.

    Raises:
        DataError: If the file is absent, empty, no image, damaged (also while the caller decodes it), or has more than
            MAX_PIXELS pixels; or if it is none that this process may read.
    """
    check_reach(path)
    try:
        with path.open("rb") as file:
            parser = _parser_of(file.read(132), path)
            file.seek(0)
            image = parser(file, str(path))
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise DataError(
                    f"{path} claims {width} x {height} pixels, more than the {MAX_PIXELS // 10**6} million that are "
                    "read here; it was not opened. Scale it down."
                )
            yield image
    except FileNotFoundError:
        raise DataError(f"{path} is not there any more. Restore it, or read the data again in a new run.") from None
    except PermissionError:
        raise DataError(f"{path} may not be read by this user. Change its permissions.") from None
    except OSError as error:
        if error.errno is not None:  # the system's word, not the decoder's
            raise DataError(f"{path} could not be read ({error.strerror}). Check the disk and the file.") from None
        raise DataError(f"{path} is damaged ({error or type(error).__name__}). {_REMEDY}") from None
    except _DECODER_ERRORS as error:
        raise DataError(f"{path} is damaged ({error or type(error).__name__}). {_REMEDY}") from None


def _parser_of(head: bytes, path: Path) -> type[ImageFile]:
    if head[4:8] == b"ftyp":
        return _parser_of_box(head, path)
    other = next((name for sign, name in _OTHERS if head.startswith(sign)), None)
    if head[128:132] == b"DICM":
        other = "DICOM"
    if other is not None:
        raise DataError(f"{path} is {other}, which is not read here. Save it as PNG, TIFF or JPEG; {_LEAVE_OUT}")
    for sign, parser in _PARSERS:
        if head.startswith(sign):
            return parser
    why = "it begins like no image format that is read here" if head else "the file is empty"
    raise DataError(f"{path} is not an image ({why}). {_REMEDY}")


def _parser_of_box(head: bytes, path: Path) -> type[ImageFile]:
    """Of a file in boxes (ISO 14496-12): the brands in its first box say whose they are."""
    brands = [head[8:12], *(head[i : i + 4] for i in range(16, min(len(head), int.from_bytes(head[:4])), 4))]
    if not _AVIF.isdisjoint(brands) and features.check("avif"):
        return AvifImagePlugin.AvifImageFile
    if not _AVIF.isdisjoint(brands):
        raise DataError(f"{path} is AVIF, which this Pillow cannot read. Run: pip install -U pillow; {_LEAVE_OUT}")
    if _HEIF.isdisjoint(brands):
        raise DataError(f"{path} is not an image (a film, or {brands[0]!r}). {_REMEDY}")
    parser = _heif_parser()
    if parser is None:
        raise DataError(f"{path} is HEIC, {_NO_HEIF}; {_LEAVE_OUT}")
    return parser


@cache
def _heif_parser() -> type[ImageFile] | None:
    """The parser of pillow-heif, an extra; None where it is not installed."""
    try:
        return importlib.import_module("pillow_heif.as_plugin").HeifImageFile
    except ImportError:
        return None


_LEAVE_OUT = "or set data.on_unreadable=skip to leave it out."
_REMEDY = "Replace it, or set data.on_unreadable=skip to leave it out."


def load_image(
    path: Path, *, min_side_px: int | None = None, pixel_range: tuple[int, int] | None = None
) -> Image.Image:
    """The picture as a person sees it, in RGB.

    EXIF orientation is applied, transparency is laid on white, 16-bit grey is scaled to 8 bits,
    of an animation the first frame is taken.

    Args:
        path: The file.
        min_side_px: A JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, with both sides at least this long: much
            faster where the picture is shrunk anyway.
        pixel_range: Black and white of a picture of more than 8 bits; None: of 16 bits all that they hold.

    Raises:
        DataError: Naming the file; see ``open_image``.
    """
    with open_image(path) as image:
        if min_side_px and image.format == "JPEG":
            image.draft(None, _draft_size(image.size, min_side_px))
        image.load()
        return _to_rgb(_upright(image), path, pixel_range)


def _draft_size(size: tuple[int, int], min_side_px: int) -> tuple[int, int]:
    """Size of the same shape whose shorter side is ``min_side_px``; Pillow picks the next larger scale."""
    width, height = size
    shorter = min(width, height)
    return (-(-width * min_side_px // shorter), -(-height * min_side_px // shorter))


def orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 (upright) where there is none or it cannot be read. Decodes nothing."""
    try:
        value = Image.Image.getexif(image).get(_ORIENTATION, 1)  # PNG's own decodes, in case EXIF comes last
    except (OSError, *_DECODER_ERRORS):
        return 1
    return value if value in range(1, 9) else 1


def _upright(image: Image.Image) -> Image.Image:
    return ImageOps.exif_transpose(image) if orientation(image) != 1 else image


def is_deep(image: Image.Image) -> bool:
    """Whether a pixel has more than 8 bits of grey."""
    return image.mode.startswith("I") or image.mode == "F"


def is_deep_colour(image: ImageFile) -> bool:
    """Whether an image that is not loaded yet has 16 bits a colour; Pillow reads the upper 8 of them."""
    return image.mode in ("RGB", "RGBA") and any(";16" in str(tile[3]) for tile in image.tile)


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip


def turned_upright(mask: np.ndarray, orientation: int, size: tuple[int, int]) -> np.ndarray:
    """A mask ``(H, W)`` uint8 turned as EXIF says of its picture.

    Args:
        mask: Drawn on the picture as it is stored.
        orientation: EXIF orientation of the picture, 1 to 8.
        size: Width and height of the picture upright: a mask that has them and would lose them is upright already.
    """
    if orientation not in _TURNS or (orientation >= 5 and size[0] != size[1] and mask.shape == size[::-1]):
        return mask
    return np.array(Image.fromarray(mask).transpose(_TURNS[orientation]))  # torch wants to be able to write to it


def _to_rgb(image: Image.Image, path: Path, pixel_range: tuple[int, int] | None) -> Image.Image:
    mode = image.mode
    if mode == "RGB":
        return image
    if is_deep(image):
        return _deep_to_rgb(image, path, pixel_range)
    if mode in _ALPHA_MODES or "transparency" in image.info:
        picture = image.convert("RGBA")
        paper = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(paper, picture).convert("RGB")
    return image.convert("RGB")


def _deep_to_rgb(image: Image.Image, path: Path, pixel_range: tuple[int, int] | None) -> Image.Image:
    """More than 8 bits per pixel: black becomes 0, white 255, what lies beyond is cut."""
    values = np.asarray(image)
    if pixel_range is not None:
        return Image.fromarray(scaled_to_bytes(values, *pixel_range)).convert("RGB")
    if image.mode == "F" or values.min(initial=0) < 0 or values.max(initial=0) > 65535:
        raise DataError(
            f"{path} has 32-bit pixels ({values.min()} to {values.max()}), whose white is not known. "
            "Say it with data.pixel_range=[black,white], or save it with 8 or 16 bits."
        )
    return Image.fromarray(scaled_to_bytes(values, 0, 65535)).convert("RGB")


def scaled_to_bytes(values: np.ndarray, black: int, white: int) -> np.ndarray:
    """Values from ``black`` to ``white`` as 0 to 255, uint8; those beyond are cut, what is no number is black."""
    if values.dtype.kind == "f":
        values = np.nan_to_num(values, nan=black, posinf=white, neginf=black)
    shifted = np.clip(values.astype(np.float64), black, white) - black
    return (shifted * 255 / (white - black)).astype(np.uint8)


def load_mask(path: Path, *, as_colours: bool = False) -> np.ndarray:
    """Values of a mask file, not yet classes; see ``MaskCoding``.

    Args:
        path: The file.
        as_colours: Of a palette file give the colours, not the indices.

    Returns:
        ``(H, W)`` uint8 or int32 for an index, palette, grey or 16-bit file; ``(H, W, 3)`` uint8 for one in colours
        that are not all grey.

    Raises:
        DataError: Naming the file; see ``open_image``.
    """
    with open_image(path) as image:
        image.load()
        image = _upright(image)
        if image.mode == "L" or (image.mode == "P" and not as_colours):
            return np.array(image)
        if image.mode == "1":
            return np.array(image.convert("L"))
        if image.mode.startswith("I"):
            return np.array(image).astype(np.int32)
        if image.mode in ("LA", "La"):
            return np.array(image.getchannel(0))
        colours = np.array(image.convert("RGB"))
    is_grey = (colours[..., 0] == colours[..., 1]).all() and (colours[..., 0] == colours[..., 2]).all()
    return colours[..., 0].copy() if is_grey else colours


def verify_quickly(path: Path) -> tuple[int, int]:
    """Upright width and height from the header; decodes the whole file only where its end is suspicious.

    A file that was cut or whose end was never written is found; damage in the middle is not (``check-data`` does).

    Raises:
        DataError: Naming the file; see ``open_image``.
    """
    with open_image(path) as image:
        size = image.size if orientation(image) < 5 else image.size[::-1]
        if not _ends_properly(path, image):
            image.load()
    return size


def _ends_properly(path: Path, image: ImageFile) -> bool:
    """Whether the file reaches as far as its header says; False where that cannot be told."""
    if image.fp is None:  # its parser has read all of it
        with path.open("rb") as file:
            return _ends_as_told(file, image)
    before = image.fp.tell()  # the decoder goes on there
    try:
        return _ends_as_told(image.fp, image)
    finally:
        image.fp.seek(before)


def _ends_as_told(file: IO[bytes], image: ImageFile) -> bool:
    size = file.seek(0, 2)
    match image.format:
        case "JPEG" | "PNG":  # in either, the sign cannot be part of the compressed data
            file.seek(max(0, size - _TAIL_BYTES))
            return (b"\xff\xd9" if image.format == "JPEG" else b"IEND\xaeB`\x82") in file.read()
        case "WEBP":  # RIFF: bytes 4 to 7 are the size of what follows
            file.seek(4)
            return size >= int.from_bytes(file.read(4), "little") + 8
        case "TIFF":
            tags = image.tag_v2
            starts, lengths = tags.get(273) or tags.get(324) or (), tags.get(279) or tags.get(325) or ()
            return bool(starts) and size >= max(map(sum, zip(starts, lengths, strict=False)), default=size + 1)
    return False
