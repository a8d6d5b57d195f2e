"""Objects of detection data become labels of each picture, or masks drawn from their outlines."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import yaml
from PIL import Image, ImageDraw

from fine_tuner.base.cache_folder import cache_folder
from fine_tuner.base.errors import DataError
from fine_tuner.base.files import replacing
from fine_tuner.base.progress import OnProgress
from fine_tuner.base.text import counted
from fine_tuner.config.tasks import TargetKind, target_kind
from fine_tuner.data.files.folders import Passed, check_reach, images_below, natural_order
from fine_tuner.data.files.images import verify_quickly
from fine_tuner.data.notices import Notice
from fine_tuner.data.options import Problem, ReadOptions, Source
from fine_tuner.data.readers.image_index import ImageIndex
from fine_tuner.data.readers.mask_folders import with_classes
from fine_tuner.data.readers.objects import Objects
from fine_tuner.data.records import Record

Labelled = dict[Path, set[str]]
_MOST_BYTES = 2 << 30
_BACKGROUND = "background"


def read_objects(root: Path, objects: Objects, task: str, options: ReadOptions, progress: OnProgress) -> Source:
    """Records of detection data.

    Raises:
        DataError: If a file is damaged, or ``task`` cannot be learned of it.
    """
    if target_kind(task) is TargetKind.MASK:
        if not objects.has_outlines:
            raise DataError(
                f"{root} holds {objects.words}: boxes without outlines, of which no masks can be made. Choose "
                "task=multilabel, which learns what is in each picture."
            )
        return _masks(root, objects, options, progress)
    if target_kind(task) is not TargetKind.LABELS:
        raise DataError(f"{root} holds {objects.words}, which do not serve task={task}. Choose task=multilabel.")
    index = ImageIndex(root, images_below(root, Passed()))
    problems: list[Problem] = []
    labelled: dict[str, Labelled] = {}
    names: set[str] = set()
    for split, place in objects.places.items():
        read = {"COCO": _labels_of_coco, "YOLO": _labels_of_yolo, "VOC": _labels_of_voc}[objects.kind]
        labelled[split] = read(place, index, split, problems)
        names |= {name for several in labelled[split].values() for name in several}
    ordered = natural_order(names)
    if len(ordered) < 1:
        raise DataError(f"{root} holds {objects.words}, but no object in them. Check the files.")
    records = {
        split: tuple(Record(i, tuple(float(n in has) for n in ordered)) for i, has in sorted(rows.items()))
        for split, rows in labelled.items()
    }
    text = f"Of the {'outlines and boxes' if objects.has_outlines else 'boxes'} only which kinds of object are in a "
    notice = Notice(f"{text}picture is learned, not where they are.")
    words = f"{objects.words} as {counted(len(ordered), 'label')} ({', '.join(ordered[:4])})"
    return Source(records=records, classes=ordered, words=words, notices=(notice,), problems=tuple(problems))


def _find(index: ImageIndex, name: str, split: str, problems: list[Problem], where: object) -> Path | None:
    image = index.find(name, prefer=split)
    if image is None:
        problems.append(Problem("missing_image", f"{where}: {index.why_not(name)}."))
    return image


# -------------------------------------------------------------------- COCO
def _read_coco(file: Path) -> tuple[Mapping[Any, str], Mapping[Any, str], Sequence[Mapping[str, Any]]]:
    """Names of categories, files of pictures (both by id), and annotations."""
    check_reach(file)
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise DataError(f"{file} has {file.stat().st_size / 2**30:.1f} GiB, more than is read here. Divide it.")
        tree = json.loads(file.read_bytes())
        categories = {c["id"]: str(c["name"]) for c in tree["categories"]}
        pictures = {i["id"]: str(i["file_name"]) for i in tree["images"]}
        annotations = [a for a in tree["annotations"] if a["category_id"] in categories and a["image_id"] in pictures]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{file} is no COCO file that can be read ({type(error).__name__}: {error}). Check it."
        ) from None
    return categories, pictures, annotations


def _labels_of_coco(file: Path, index: ImageIndex, split: str, problems: list[Problem]) -> Labelled:
    categories, pictures, annotations = _read_coco(file)
    images = {key: _find(index, name, split, problems, file) for key, name in pictures.items()}
    out: Labelled = {image: set() for image in images.values() if image is not None}
    for annotation in annotations:
        image = images[annotation["image_id"]]
        if image is not None:
            out[image].add(categories[annotation["category_id"]])
    return out


# -------------------------------------------------------------------- YOLO
def _labels_of_yolo(folder: Path, index: ImageIndex, split: str, problems: list[Problem]) -> Labelled:
    names = _yolo_names(index.root)
    out: Labelled = {}
    for file in _text_files(folder, ".txt"):
        image = _of_same_stem(index, file, split)
        if image is None:
            continue
        lines = [line.split() for line in file.read_text(encoding="utf-8", errors="replace").split("\n")]
        try:
            numbers = {int(words[0]) for words in lines if words}
        except ValueError as error:
            raise DataError(f"{file} is no YOLO file ({error}). Correct it, or move it away.") from None
        out[image] = {names[n] if n < len(names) else f"class {n}" for n in numbers}
    return out


def _yolo_names(root: Path) -> Sequence[str]:
    for file in sorted(root.glob("*.y*ml")):
        check_reach(file)
        try:
            names = (yaml.safe_load(file.read_text(encoding="utf-8", errors="replace")) or {}).get("names")
        except (yaml.YAMLError, AttributeError):
            continue
        if isinstance(names, dict) and all(isinstance(k, int) for k in names):
            return [str(names.get(k, f"class {k}")) for k in range(max(names, default=-1) + 1)]
        if isinstance(names, list):
            return [str(name) for name in names]
    for name in ("classes.txt", "obj.names", "labels/classes.txt"):
        if (root / name).is_file():
            check_reach(root / name)
            text = (root / name).read_text(encoding="utf-8-sig", errors="replace")
            return [line.strip() for line in text.split("\n") if line.strip()]
    return ()


# --------------------------------------------------------------------- VOC
def _labels_of_voc(folder: Path, index: ImageIndex, split: str, problems: list[Problem]) -> Labelled:
    out: Labelled = {}
    for file in _text_files(folder, ".xml"):
        content = file.read_bytes()
        if b"<!DOCTYPE" in content or b"<!ENTITY" in content:  # entities can grow without bound
            raise DataError(f"{file} declares XML entities, which annotations never need. It was not read.")
        try:
            tree = ElementTree.fromstring(content)
        except ElementTree.ParseError as error:
            raise DataError(f"{file} is no XML that can be read ({error}). Correct it, or move it away.") from None
        image = _of_same_stem(index, file, split) or index.find(tree.findtext("filename", ""), prefer=split)
        if image is None:
            problems.append(Problem("missing_image", f"{file} has no image of its name below {index.root}."))
            continue
        out[image] = {name.strip() for o in tree.iter("object") if (name := o.findtext("name", "")).strip()}
    return out


def _text_files(folder: Path, suffix: str) -> Iterator[Path]:
    for file in sorted(folder.rglob(f"*{suffix}")):
        check_reach(file)
        if file.name.lower() not in ("classes.txt", "train.txt", "val.txt", "test.txt"):
            yield file


def _of_same_stem(index: ImageIndex, file: Path, split: str) -> Path | None:
    """The image of the same stem, of several the one that lies alike (images/train/x.jpg for labels/train/x.txt)."""
    parts = [p if p.lower() != "labels" else "images" for p in file.relative_to(index.root).with_suffix("").parts]
    return index.find("/".join(parts), prefer=split) or index.find(file.stem, prefer=split)


# ------------------------------------------------------------------- masks
def _masks(root: Path, objects: Objects, options: ReadOptions, progress: OnProgress) -> Source:
    """Masks drawn from the outlines, kept in the cache; 0 is the background, then the categories in natural order."""
    index = ImageIndex(root, images_below(root, Passed()))
    problems: list[Problem] = []
    read = {split: _read_coco(file) for split, file in objects.places.items()}
    names = natural_order(n for categories, _, _ in read.values() for n in categories.values())
    if len(names) > 254:
        raise DataError(f"{root} has {len(names)} categories, masks hold at most 254. Leave some out.")
    records: dict[str, list[Record]] = {}
    for split, (categories, pictures, outlines) in read.items():
        file = objects.places[split]
        digest = hashlib.sha256(file.read_bytes() + repr(names).encode()).hexdigest()[:20]
        folder = cache_folder() / "drawn-masks" / digest
        folder.mkdir(parents=True, exist_ok=True)
        of_picture: dict[Any, list[Mapping[str, Any]]] = {}
        for annotation in outlines:
            of_picture.setdefault(annotation["image_id"], []).append(annotation)
        records[split] = []
        for done, (key, name) in enumerate(pictures.items(), start=1):
            image = _find(index, name, split, problems, file)
            if image is not None:
                mask = folder / f"{hashlib.sha256(str(key).encode()).hexdigest()[:16]}.png"
                if not mask.is_file():
                    numbers = {k: 1 + names.index(n) for k, n in categories.items()}
                    drawn = _drawn(of_picture.get(key, []), numbers, verify_quickly(image), f"{file}, image {name}")
                    with replacing(mask) as draft:
                        Image.fromarray(drawn).save(draft, format="PNG")
                records[split].append(Record(image, mask))
            progress("Drawing masks", done, len(pictures))
    source = with_classes(root, records, options, progress, words=objects.words, names=(_BACKGROUND, *names))
    notices = (*source.notices, Notice("Masks were drawn from the outlines; where objects overlap, the smaller shows."))
    return Source(
        records=source.records, classes=source.classes, words=source.words, mask_coding=source.mask_coding,
        mask_pixels=source.mask_pixels, notices=notices, problems=(*problems, *source.problems),
    )  # fmt: skip


def _drawn(
    annotations: Sequence[Mapping[str, Any]], numbers: Mapping[Any, int], size: tuple[int, int], where: str
) -> np.ndarray:
    """The mask ``(H, W)`` uint8 of one picture, large objects below small ones."""
    mask = np.zeros(size[::-1], np.uint8)
    try:
        for annotation in sorted(annotations, key=lambda a: -float(a.get("area", 0))):
            mask[_inside(annotation.get("segmentation") or [], size)] = numbers[annotation["category_id"]]
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise DataError(f"{where}: an outline cannot be read ({type(error).__name__}: {error}). Correct it.") from None
    return mask


def _inside(outline: Any, size: tuple[int, int]) -> np.ndarray:
    """Where an object is, ``(H, W)`` bool: polygons, or COCO's run lengths, which go down the columns."""
    if isinstance(outline, Mapping):
        height, width = outline["size"]
        counts = outline["counts"]
        runs = _decoded(counts) if isinstance(counts, str) else [int(c) for c in counts]
        if (width, height) != size or min(runs, default=0) < 0 or sum(runs) != width * height:
            raise ValueError(f"run lengths of {sum(runs)} pixels for {width} x {height}")
        return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T
    image = Image.new("1", size)
    draw = ImageDraw.Draw(image)
    for polygon in outline:
        if len(polygon) >= 6:
            draw.polygon([float(v) for v in polygon], fill=1)
    return np.asarray(image)


def _decoded(text: str) -> list[int]:
    """Run lengths from COCO's text. Source: rleFrString in cocoapi/common/maskApi.c (differences to the run before)."""
    runs: list[int] = []
    position = 0
    while position < len(text):
        value = shift = 0
        more = True
        while more:
            code = ord(text[position]) - 48
            value |= (code & 0x1F) << (5 * shift)
            more = bool(code & 0x20)
            position, shift = position + 1, shift + 1
            if not more and code & 0x10:
                value |= -1 << (5 * shift)
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
    return runs
