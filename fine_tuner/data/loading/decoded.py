"""Pictures as they were decoded, kept on disk and mapped into memory: from the second time on nothing is decoded.

What is kept is what ``load_image`` gives, so crops, flips and colours, and thereby views, metrics and predictions, are
the same to the last bit with and without it. A file is named by the content of the picture's own file and by how it was
decoded: a picture that is moved, or that two data sets share, is decoded once, and one that changes is decoded anew.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import PIL
import torch
from torch import Tensor

from fine_tuner.data.files.decoded_folder import DecodedFolder
from fine_tuner.data.files.images import load_image
from fine_tuner.data.loading.transforms import to_tensor

_HEADER = struct.Struct("<4sIII")  # mark, height, width, CRC-32 of the pixels
_MARK = b"FTd1"
_FEWEST_BYTES = 1 << 16  # of pixels; decoding less takes no longer than reading it

_Stamp = tuple[int, int]


class DecodedPictures:
    """Loads pictures, and keeps what decoding gave.

    Args:
        folder: Where.
    """

    def __init__(self, folder: DecodedFolder) -> None:
        self._folder = folder
        # Of each path, as its file was: the name under which it is kept, None if it is not.
        self._names: dict[tuple[Path, int | None], tuple[_Stamp, str | None]] = {}

    def load(self, path: Path, *, min_side_px: int | None, pixel_range: tuple[int, int] | None) -> Tensor:
        """Pixels ``(3, H, W)`` uint8 of the picture that ``load_image`` loads.

        Raises:
            DataError: Naming the file; see ``load_image``.
        """
        stamp = _stamp(path)
        known_stamp, name = self._names.get((path, min_side_px), (None, None))
        if stamp is not None and stamp == known_stamp:
            kept = self._kept(name) if name else None
            if kept is not None:
                return kept
            if name is None:
                return to_tensor(load_image(path, min_side_px=min_side_px, pixel_range=pixel_range))
        return self._load_first(path, stamp, min_side_px, pixel_range)

    def _load_first(
        self, path: Path, stamp: _Stamp | None, min_side_px: int | None, pixel_range: tuple[int, int] | None
    ) -> Tensor:
        """The first time in this process, or the picture has changed, or what was kept is gone."""
        name = None
        with suppress(OSError):  # whatever it is, load_image says it better
            name = _name(path, min_side_px, pixel_range)
        pixels = self._kept(name, is_new=True) if name else None
        if pixels is None:
            pixels = to_tensor(load_image(path, min_side_px=min_side_px, pixel_range=pixel_range))
            is_kept = name is not None and pixels.numel() >= _FEWEST_BYTES and self._keep(name, pixels)
            name = name if is_kept else None
        if stamp is not None:
            self._names[path, min_side_px] = stamp, name
        return pixels

    def _keep(self, name: str, pixels: Tensor) -> bool:
        data = pixels.permute(1, 2, 0).contiguous().numpy().data
        header = _HEADER.pack(_MARK, *pixels.shape[1:], zlib.crc32(data))
        return self._folder.keep(name, b"".join([header, data]))

    def _kept(self, name: str, *, is_new: bool = False) -> Tensor | None:
        """What is kept under this name; checked to be whole if it is new to this process."""
        file = self._folder.file(name)
        try:
            size = file.stat().st_size
            if size <= _HEADER.size:
                return None
            content = torch.from_file(str(file), shared=False, size=size, dtype=torch.uint8)
            os.utime(file)  # what is used last is deleted last
        except (OSError, RuntimeError):  # there is none, or it was deleted just now
            return None
        mark, height, width, checksum = _HEADER.unpack(content[: _HEADER.size].numpy().tobytes())
        pixels = content[_HEADER.size :]
        if mark != _MARK or len(pixels) != height * width * 3:
            return None
        if is_new and zlib.crc32(pixels.numpy().data) != checksum:  # the power failed while it was written
            return None
        return pixels.view(height, width, 3).permute(2, 0, 1)


def _stamp(path: Path) -> _Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _name(path: Path, min_side_px: int | None, pixel_range: tuple[int, int] | None) -> str:
    how = f"{PIL.__version__} {min_side_px} {pixel_range}".encode()
    return hashlib.blake2b(path.read_bytes(), digest_size=20, key=how).hexdigest()
