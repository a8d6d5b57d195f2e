"""Files of several pictures: stacks of slices, animations. Of each the first picture is read, which is said.

A stack can be taken apart into files of their own, images and masks in the same way, so that each slice is trained on.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from PIL.ImageFile import ImageFile

from fine_tuner.base.errors import DataError
from fine_tuner.base.progress import OnProgress
from fine_tuner.base.text import counted
from fine_tuner.data.files.folders import Passed, images_below
from fine_tuner.data.files.images import open_image
from fine_tuner.data.files.scan_cache import Fact, facts_about
from fine_tuner.data.notices import Notice

_SUFFIXES = frozenset({".tif", ".tiff", ".gif", ".webp", ".png", ".avif"})
_SUBFILE_TYPE = 254  # of TIFF; bit 0: a smaller copy of another picture in the file
_TO_TAKE_APART = "python -m fine_tuner unstack {folder} --out DIR writes each as a file of its own, masks alike."


def slices_in(image: ImageFile) -> list[int]:
    """Frames of the size of the first; smaller copies of it, as scanners and microscopes store them, do not count."""
    frames, size = [], image.size
    for number in range(getattr(image, "n_frames", 1)):
        image.seek(number)
        is_copy = image.format == "TIFF" and image.tag_v2.get(_SUBFILE_TYPE, 0) & 1
        if image.size == size and not is_copy:
            frames.append(number)
    image.seek(0)
    return frames or [0]


def look_at_slices(path: Path) -> Fact:
    """Facts about one file: ``slices``, how many pictures it holds; empty if it cannot be read."""
    try:
        with open_image(path) as image:
            return {"slices": len(slices_in(image)), "format": image.format}
    except DataError:
        return {}


def about_slices(paths: Sequence[Path], root: Path, progress: OnProgress) -> list[Notice]:
    """What there is to say of images and masks that hold more than the picture that is read of them."""
    suspects = [path for path in paths if path.suffix.lower() in _SUFFIXES]
    facts = facts_about(suspects, look_at_slices, kind="slices 1", what="Counting slices", progress=progress)
    several = [(path, fact) for path, fact in zip(suspects, facts, strict=True) if fact.get("slices", 1) > 1]
    if not several:
        return []
    example, fact = several[0]
    total = sum(fact["slices"] for _, fact in several)
    is_stack = any(fact["format"] == "TIFF" for _, fact in several)
    text = (
        f"{counted(len(several), 'file')} of several pictures each, such as {example.name} with {fact['slices']}: only "
        f"the first of each is read, {len(several):,} of {total:,}. {_TO_TAKE_APART.format(folder=root)}"
    )
    return [Notice(text, "warning" if is_stack else "note", code="slices")]


def unstack(root: Path, out: Path, progress: OnProgress) -> tuple[int, int]:
    """Write every slice of the images below ``root`` to the same place below ``out``: ``a.tif`` as ``a_slice3.tif``.

    Files of one picture, and what is no image, are copied. Nothing below ``root`` is changed.

    Returns:
        How many files were taken apart, and into how many.

    Raises:
        DataError: If ``out`` is there already, or lies in ``root``, or a stack is damaged.
    """
    root, out = root.expanduser().absolute(), out.expanduser().absolute()
    if out.exists() or out.is_relative_to(root):
        raise DataError(f"--out {out} has to be a new folder outside of {root}. Give another.")
    if not root.is_dir():
        raise DataError(f"{root} is no folder. Give the one that holds the stacks.")
    shutil.copytree(root, out, ignore_dangling_symlinks=True)
    stacks = written = 0
    images = list(images_below(out, Passed()))
    for done, path in enumerate(images, start=1):
        with open_image(path) as image:
            frames = slices_in(image) if path.suffix.lower() in _SUFFIXES else [0]
            width = len(str(len(frames)))
            for number, frame in enumerate(frames if len(frames) > 1 else (), start=1):
                image.seek(frame)
                suffix = ".tif" if image.format == "TIFF" else ".png"
                image.copy().save(path.with_name(f"{path.stem}_slice{number:0{width}d}{suffix}"))
        if len(frames) > 1:
            path.unlink()
            stacks, written = stacks + 1, written + len(frames)
        progress("Taking stacks apart", done, len(images))
    return stacks, written
