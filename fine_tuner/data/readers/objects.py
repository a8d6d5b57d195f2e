"""Data of object detection: what it is called, and what can be learned of it here.

=========  ==================================================  =========================================
kind       told by                                             learned as
=========  ==================================================  =========================================
COCO       a JSON file with images, annotations, categories    labels of each picture; its outlines as masks
YOLO       ``labels/`` with lines ``class x y w h``            labels of each picture
VOC        ``Annotations/`` with XML                           labels of each picture
=========  ==================================================  =========================================

Boxes themselves are not learned here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fine_tuner.data.files.folders import check_reach, holds_images, visible_files, visible_folders
from fine_tuner.data.options import UNSPLIT, split_named

Kind = Literal["COCO", "YOLO", "VOC"]
_SNIFFED_BYTES = 1 << 16
_OUTLINE = re.compile(rb'"segmentation"\s*:\s*(\[\s*\[|\{)')
_YOLO_LINE = re.compile(r"^\s*\d+(\s+-?\d*\.?\d+(e-?\d+)?){4,}\s*$", re.IGNORECASE)
_YOLO_NAMES = frozenset({"labels", "label", "annotations"})
_LISTS = frozenset({"classes.txt", "obj.names", "train.txt", "val.txt", "test.txt", "readme.txt", "notes.txt"})


@dataclass(frozen=True)
class Objects:
    """Where the boxes or outlines lie.

    Attributes:
        kind: Whose format it is.
        places: By split (``all`` where there are none) the JSON file, or the folder of the text or XML files.
        has_outlines: Whether objects have outlines, of which masks can be made.
    """

    kind: Kind
    places: Mapping[str, Path]
    has_outlines: bool = False

    @property
    def words(self) -> str:
        """What it is, for a person."""
        what = {"COCO": "a COCO JSON file", "YOLO": "YOLO text files", "VOC": "Pascal VOC XML files"}[self.kind]
        return f"images with objects in {what} ({', '.join(sorted({p.name for p in self.places.values()}))})"


def find_objects(root: Path) -> Objects | None:
    """Detection data below ``root``; None if there is none."""
    return _find_coco(root) or _find_files(root, "VOC", ".xml", _is_voc) or _find_files(root, "YOLO", ".txt", _is_yolo)


# -------------------------------------------------------------------- COCO
def _find_coco(root: Path) -> Objects | None:
    folders = visible_folders(root)
    inner = [
        g for f in folders if f.name.lower() in ("annotations", "annotation", "labels") for g in visible_folders(f)
    ]
    places: dict[str, Path] = {}
    for folder in (root, *folders, *inner):
        for file in visible_files(folder, ".json"):
            if _is_coco(file):
                split = _split_in(file.stem) or (split_named(folder.name) if folder != root else None) or UNSPLIT
                if split not in places or "instances" in file.stem.lower():
                    places[split] = file
    if "train" in places:
        places.pop(UNSPLIT, None)
    elif places:
        places = {UNSPLIT: next(iter(places.values()))}
    if not places:
        return None
    with next(iter(places.values())).open("rb") as file:
        has_outlines = _OUTLINE.search(file.read(64 * _SNIFFED_BYTES)) is not None
    return Objects("COCO", places, has_outlines)


def _is_coco(file: Path) -> bool:
    check_reach(file)
    with file.open("rb") as opened:
        head = opened.read(_SNIFFED_BYTES)
        opened.seek(max(0, opened.seek(0, 2) - _SNIFFED_BYTES))
        text = head + opened.read()
    found = sum(key in text for key in (b'"annotations"', b'"images"', b'"categories"', b'"image_id"', b'"bbox"'))
    return found >= 3 and head.lstrip()[:1] == b"{"


def _split_in(stem: str) -> str | None:
    """``instances_train2017`` is of train."""
    for word in re.split(r"[^a-z]+", stem.lower()):
        if split := split_named(word):
            return split
    return None


# ------------------------------------------------------- a file per picture
def _find_files(root: Path, kind: Kind, suffix: str, is_one: object) -> Objects | None:
    """Folders of one text file per picture: beside the pictures, or in a folder of their own, below splits or not."""
    places: dict[str, Path] = {}
    for folder, split in _folders_with_splits(root):
        files = [f for f in visible_files(folder, suffix)[:8] if f.name.lower() not in _LISTS]
        if files and sum(map(is_one, files)) >= 0.75 * len(files):  # type: ignore[arg-type]
            places.setdefault(split, folder)
    if "train" in places:
        places.pop(UNSPLIT, None)
    elif UNSPLIT in places:
        places = {UNSPLIT: places[UNSPLIT]}
    has_pictures = holds_images(root)
    return Objects(kind, places) if places and has_pictures and {"train", UNSPLIT} & set(places) else None


def _folders_with_splits(root: Path) -> Iterator[tuple[Path, str]]:
    """Folders that may hold files of annotations, and the split that their place says."""
    yield root, UNSPLIT
    for folder in visible_folders(root):
        split = split_named(folder.name)
        yield folder, split or UNSPLIT
        for inner in visible_folders(folder):
            yield inner, split or split_named(inner.name) or UNSPLIT


def _is_yolo(file: Path) -> bool:
    check_reach(file)
    lines = [line for line in file.read_text(encoding="utf-8", errors="replace").split("\n")[:20] if line.strip()]
    is_empty_label = not lines and file.parent.name.lower() in _YOLO_NAMES  # a picture without objects
    return is_empty_label or (bool(lines) and all(map(_YOLO_LINE.match, lines)))


def _is_voc(file: Path) -> bool:
    check_reach(file)
    with file.open("rb") as opened:
        return b"<annotation" in opened.read(4096)
