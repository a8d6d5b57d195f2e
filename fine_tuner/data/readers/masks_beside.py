"""Masks that lie among their pictures, told by name and content: ``x.png`` and ``x_mask_1.png``, ``masks/x.png``.

A name alone is no proof (``person_mask.jpg`` may be a photograph of someone with a mask), so some are opened. Names
that say nothing (``x_lesion.png``, ``x.png`` beside ``x.jpg``) are believed if many pictures have such a file, and it
holds few values where the picture does not.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from fine_tuner.base.cache_folder import cache_folder
from fine_tuner.base.errors import DataError
from fine_tuner.base.files import replacing
from fine_tuner.data.files.folders import composed
from fine_tuner.data.files.images import load_mask
from fine_tuner.data.masks.values import look_at_mask

# The most telling first: of several folders that fit equally, this order decides.
MASK_NAMES = (
    "masks", "mask", "segmentationclass", "gtfine", "groundtruth", "gt", "segmentation", "segmentations", "seg",
    "segmasks", "labels", "label", "annotations", "annotation", "annots", "annot", "anno", "targets", "target",
    "mattes", "trimaps", "manual", "1stmanual", "output", "outputs", "segmentationclasspng", "segmentationobject",
    "segmentationobjectpng",
)  # fmt: skip
_NAMED_AS_MASK = re.compile(
    r"^(?P<picture>.+?)[ _.\-]*(?:mask|masks|seg|segmentation|segm|groundtruth|ground_truth|gt|annotation|label|labels|"
    r"matte|roi)(?:[ _.\-]*\d+)?$",
    re.IGNORECASE,
)
_SEPARATOR = re.compile(r"[ _.\-]+")
_NAMED = ("named", "")
_LEAST_SHARE = 0.1  # of all files, those whose names are of one kind
_OPENED = 12
_MOST_VALUES = 32  # of a mask with soft edges there are more, but then nearly all pixels are 0 or 255
_ENDS_SHARE = 0.9
LEAST_SHARE_OF_MASKS = 0.75

Kind = tuple[str, str]
Candidate = tuple[Path, Path]  # picture, file that may be its mask


def plain_name(name: str) -> str:
    """A name without what separates its words."""
    return "".join(c for c in name.lower() if c.isalnum())


def masks_beside(files: Iterable[Path]) -> dict[Path, tuple[Path, ...]]:
    """Picture to the files that are its masks, in its folder or in one for masks beside it; empty if there are none."""
    listed = list(files)
    candidates: dict[Kind, list[Candidate]] = defaultdict(list)
    for kind, picture, mask in _candidates(listed):
        candidates[kind].append((picture, mask))
    found: dict[Path, list[Path]] = defaultdict(list)
    for kind, pairs in candidates.items():
        is_common = kind == _NAMED or len(pairs) >= _LEAST_SHARE * len(listed)
        if not is_common or share_of_masks([m for _, m in pairs]) < LEAST_SHARE_OF_MASKS:
            continue
        if kind == _NAMED or share_of_masks([p for p, _ in pairs]) <= 1 - LEAST_SHARE_OF_MASKS:
            for picture, mask in pairs:
                found[picture].append(mask)
    masks = {mask for several in found.values() for mask in several}
    return {picture: tuple(several) for picture, several in found.items() if picture not in masks}


def _candidates(files: Sequence[Path]) -> Iterator[tuple[Kind, Path, Path]]:
    """What the names of two files say: of which kind of pair they would be, picture and mask."""
    folders: dict[Path, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for file in files:
        folders[file.parent][composed(file.stem).lower()].append(file)
    for folder, stems in folders.items():
        is_for_masks = plain_name(folder.name) in MASK_NAMES
        around = [folders[f] for f in (*_siblings(folder, folders), folder.parent) if f in folders]
        for stem, (file, *others) in stems.items():
            for other in others:  # x.jpg and x.png: which is the mask, their content says
                yield ("suffix", f"{file.suffix.lower()} {other.suffix.lower()}"), file, other
                yield ("suffix", f"{other.suffix.lower()} {file.suffix.lower()}"), other, file
            if is_for_masks and (pictures := _of_same_name(stem, around)):
                yield ("folder", plain_name(folder.name)), pictures[0], file
            elif named := _named_picture(stem, stems):
                yield _NAMED, named, file
            else:
                for kind, picture in _longer_than(stem, stems):
                    yield kind, picture, file


def _siblings(folder: Path, folders: Iterable[Path]) -> list[Path]:
    return [f for f in folders if f.parent == folder.parent and f != folder and plain_name(f.name) not in MASK_NAMES]


def _of_same_name(stem: str, around: Sequence[dict[str, list[Path]]]) -> list[Path]:
    match = _NAMED_AS_MASK.match(stem)
    names = [stem, match["picture"].rstrip(" _.-")] if match else [stem]
    return [stems[name][0] for name in names for stems in around if name in stems]


def _named_picture(stem: str, stems: dict[str, list[Path]]) -> Path | None:
    """The picture of which ``stem`` says that it is the mask."""
    match = _NAMED_AS_MASK.match(stem)
    found = stems.get(match["picture"].rstrip(" _.-")) if match else None
    return found[0] if found else None


def _longer_than(stem: str, stems: dict[str, list[Path]]) -> Iterator[tuple[Kind, Path]]:
    """Pictures whose name begins or ends ``stem``, which has a word more: ``x`` of ``x_lesion`` and of ``roi_x``."""
    for gap in _SEPARATOR.finditer(stem):
        before, after = stem[: gap.start()], stem[gap.end() :]
        for kind, name, word in (("after", before, after), ("before", after, before)):
            word = word.rstrip("0123456789 _.-")
            if name in stems and word:
                yield (kind, word), stems[name][0]


def share_of_masks(files: Sequence[Path]) -> float:
    """Of some of the files the share that hold few values, or hardly anything between black and white."""
    some = files[:: max(1, len(files) // _OPENED)][:_OPENED]
    return sum(map(_is_mask, some)) / len(some)


def _is_mask(file: Path) -> bool:
    fact = look_at_mask(file)
    if "error" in fact:
        return False
    values = fact["values"]
    ends = sum(count for value, count in values.items() if int(value) in (0, 255, 0xFFFFFF))
    return fact["distinct"] <= _MOST_VALUES or ends >= _ENDS_SHARE * fact["size"][0] * fact["size"][1]


def joined(masks: Sequence[Path]) -> Path:
    """The one mask, or several laid over each other as a file in the cache: where one is 0 the others show.

    Raises:
        DataError: If one cannot be read, or their sizes differ.
    """
    if len(masks) == 1:
        return masks[0]
    stamps = [f"{m} {m.stat().st_size} {m.stat().st_mtime_ns}" for m in masks]
    digest = hashlib.sha256("\n".join(stamps).encode("utf-8", "surrogateescape")).hexdigest()[:20]
    target = cache_folder() / "joined-masks" / f"{digest}.png"
    if not target.is_file():
        arrays = [load_mask(mask) for mask in masks]
        if len({a.shape for a in arrays}) > 1:
            raise DataError(f"The masks {', '.join(m.name for m in masks)} of {masks[0].parent} differ in size.")
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as draft:
            Image.fromarray(np.maximum.reduce(arrays)).save(draft, format="PNG")
    return target
