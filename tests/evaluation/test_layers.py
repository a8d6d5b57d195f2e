"""Files of masks that somebody else put into a run's folder: refused in a sentence, whatever they are."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fine_tuner.base.errors import RunError
from fine_tuner.evaluation.layers import draw_layer, read_mask


def _claims(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be so large."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


@pytest.mark.parametrize("content", [b"", b"text", _claims(60_000, 60_000), _claims(10_000, 10_000), _claims(8, 8)])
def test_what_is_no_mask_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mask.png").write_bytes(content)
    with pytest.raises(RunError, match="Evaluate the run once more"):
        read_mask(tmp_path / "mask.png")


def test_a_pipe_a_folder_and_colours_are_no_masks(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "colours.png")
    for name in ("pipe.png", "folder.png", "colours.png", "none.png"):
        with pytest.raises(RunError, match="Evaluate the run once more"):
            read_mask(tmp_path / name)


def test_masks_of_two_sizes_are_not_drawn_over_each_other() -> None:
    with pytest.raises(RunError, match="not of the same pictures"):
        draw_layer(np.zeros((8, 8), np.uint8), np.zeros((4, 8), np.uint8), "errors")
