"""Class folders: one folder of images per class, flat or below ``train/``, ``val/`` and ``test/``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from fine_tuner.base.errors import DataError
from fine_tuner.base.text import counted
from fine_tuner.data.files.folders import (
    Passed,
    composed,
    holds_images,
    images_below,
    is_image_name,
    natural_key,
    natural_order,
    visible_files,
    visible_folders,
)
from fine_tuner.data.notices import Notice, Remedy
from fine_tuner.data.options import UNSPLIT, Problem, ReadOptions, Source, listed_classes
from fine_tuner.data.readers.masks_beside import masks_beside
from fine_tuner.data.readers.recognise import Found, content_of, one_class_only
from fine_tuner.data.records import Record

Classes = Mapping[str, list[Path]]
_TO_INNER = Remedy("learn the inner folders, the outer ones being variants", {"data.class_level": "inner"})
_TO_TOGETHER = Remedy("keep the images of an inner folder in one split", {"data.group_by_name": True})
_TO_MASKS = Remedy("learn the masks", {"task": "segmentation", "data.layout": "masks"})
_TO_PICTURES = Remedy("take them for pictures", {"data.masks_beside": "ignore"})


def read_classes(folder: Path, passed: Passed, *, level: str = "outer") -> Classes:
    """Images of each class folder below ``folder``, as a person counts: 1, 2, 10.

    Args:
        folder: Whose folders are the classes.
        passed: Counts what is not used.
        level: ``inner`` takes the folders one level deeper, those of one name together.

    Raises:
        DataError: If there is no class folder, or none with an image.
    """
    folders = visible_folders(folder, passed)
    files = visible_files(folder)
    loose = [f for f in files if is_image_name(f)]
    if not folders:
        raise DataError(
            f"{folder} has no class folders: {content_of(folder)} Put the images of each class into a folder named "
            "after the class."
        )
    passed.loose += len(loose)
    for file in files:
        if not is_image_name(file):
            passed.file(file)
    if level == "inner":
        folders = [inner for outer in folders for inner in visible_folders(outer, passed)]
    classes: dict[str, list[Path]] = {}
    for f in sorted(folders, key=lambda f: natural_key(f.name)):
        classes.setdefault(composed(f.name), []).extend(images_below(f, passed))
    if not any(classes.values()):
        raise DataError(
            f"{folder} has no classes: none of its folders ({_listed(classes)}) holds an image. Give the folder whose "
            "folders are the classes."
        )
    return classes


def _require_classes(classes: Classes, folder: Path) -> None:
    if len(classes) == 1:
        raise one_class_only(folder, next(iter(classes)))


def _listed(names: Iterable[str]) -> str:
    listed = natural_order(names)
    return ", ".join(repr(n) for n in listed[:5]) + (f" and {len(listed) - 5} more" if len(listed) > 5 else "")


def read_class_folders(found: Found, options: ReadOptions) -> Source:
    """Records of class folders, flat or below split folders.

    A class folder of train without an image is no class; a class that only val or test has cannot be learned, so its
    images are a problem of the kind ``extra_class``.

    Raises:
        DataError: If there are too few classes.
    """
    passed = Passed()
    folders = found.splits or {UNSPLIT: found.root}
    notices: list[Notice] = []
    if found.splits:
        folders, notices = _with_classes(found)
    splits = {split: read_classes(f, passed, level=options.class_level) for split, f in folders.items()}
    learned = splits.get("train") or splits[UNSPLIT]
    main = folders.get("train") or folders[UNSPLIT]
    empty = [name for name, images in learned.items() if not images]
    names = natural_order(name for name, images in learned.items() if images)
    _require_classes({name: learned[name] for name in names}, main)
    notices += passed.notices()
    if empty:
        what = "Class folder" if len(empty) == 1 else "Class folders"
        notices.append(
            Notice(f"{what} {_listed(empty)} in {main} without any image, left out.", "warning", code="empty_class")
        )
    records, problems = {}, []
    for split, as_named in splits.items():
        classes, about_names = _matched(as_named, names, split)
        notices += about_names
        extra = {name: images for name, images in classes.items() if images and name not in names}
        problems += [
            Problem("extra_class", f"Image {image} is of class {name!r}, which train does not have.", image)
            for name, images in extra.items()
            for image in images
        ]
        records[split] = [Record(image, names.index(n)) for n in names for image in classes.get(n, ())]
    records, about_masks = _without_masks(records, options)
    notices += _about_nesting(folders, records, options) + about_masks
    if options.class_level == "inner":
        records = {split: _variants_together(rows) for split, rows in records.items()}
    if found.tables:
        text = f"{found.tables[0].name} is not used: the classes are the folders."
        notices.append(Notice(text, remedies=(Remedy("use it", {"data.layout": "table"}),), code="table_unused"))
    where = f"class folders in {', '.join(f.name for f in folders.values())}" if found.splits else "class folders"
    return Source(
        records={split: tuple(rows) for split, rows in records.items()},
        classes=names,
        words=f"{where}, {listed_classes(names)}",
        notices=tuple(notices),
        problems=tuple(problems),
    )


def _with_classes(found: Found) -> tuple[dict[str, Path], list[Notice]]:
    """Split folders that hold classes with images, train always; and what there is to say of the others."""
    folders, notices = {}, []
    for split, folder in found.splits.items():
        if split == "train" or any(map(holds_images, visible_folders(folder))):
            folders[split] = folder
            continue
        num_images = sum(map(is_image_name, visible_files(folder)))
        what = f"holds {counted(num_images, 'image')} without classes" if num_images else "holds no image"
        then = "; a part of train is kept for validation instead" if split == "val" else ""
        notices.append(Notice(f"{folder.name}/ {what} and is not used{then}.", "warning", code="unused_split"))
    used = set(found.splits.values())
    others = [f for f in visible_folders(found.root) if f not in used and holds_images(f)]
    if others:
        listed = ", ".join(f"{f.name}/" for f in others[:5])
        text = f"Not used, since only {', '.join(f.name for f in found.splits.values())} are splits: {listed}."
        notices.append(Notice(text, "warning", code="unused_folders"))
    return folders, notices


def _matched(classes: Classes, names: tuple[str, ...], split: str) -> tuple[Classes, list[Notice]]:
    """``classes`` of a split under the names that train has, where they differ in case or blanks alone."""
    plain = [name.strip().casefold() for name in names]
    out: dict[str, list[Path]] = {}
    renamed = []
    for name, images in classes.items():
        alike = [n for n, p in zip(names, plain, strict=True) if p == name.strip().casefold()]
        own = alike[0] if name not in names and len(alike) == 1 else name
        out.setdefault(own, []).extend(images)
        if own != name:
            renamed.append(f"{name!r} as {own!r}")
    if not renamed:
        return classes, []
    return out, [
        Notice(
            f"Class folders of {split} are read under the names of train: {', '.join(renamed[:5])}.",
            "warning",
            code="class_names",
        )
    ]


def _about_nesting(
    folders: Mapping[str, Path], records: Mapping[str, Iterable[Record]], options: ReadOptions
) -> list[Notice]:
    """Images that lie deeper than their class folder: whether the inner folders are the classes is not known."""
    if options.class_level == "inner":
        return []
    outside = {split: len(folder.parts) for split, folder in folders.items()}
    below = [r.image.parts[outside[split] :] for split, rows in records.items() for r in rows]
    inner = Counter(composed(parts[1]) for parts in below if len(parts) > 2)
    deep = inner.total()
    direct = len(below) - deep
    if not deep:
        return []
    text = f"{counted(deep, 'image')} in folders below a class folder ({_listed(inner)}) counted for the outer folder."
    if direct or len(inner) < 2:
        return [Notice(text)]
    return [Notice(text, "warning", (_TO_INNER, _TO_TOGETHER), "nested_folders")]


def _without_masks(
    records: Mapping[str, list[Record]], options: ReadOptions
) -> tuple[dict[str, list[Record]], list[Notice]]:
    """The pictures without the masks that lie beside them."""
    if options.masks_beside == "ignore":
        return dict(records), []
    beside = masks_beside(r.image for rows in records.values() for r in rows)
    masks = {mask for several in beside.values() for mask in several}
    if not masks:
        return dict(records), []
    example = min(masks)
    what = "1 file that seems a mask" if len(masks) == 1 else f"{len(masks):,} files that seem masks"
    text = f"{what} of a picture beside them, such as {example.name}, left out."
    notice = Notice(text, "warning", (_TO_MASKS, _TO_PICTURES), "masks_beside")
    return {split: [r for r in rows if r.image not in masks] for split, rows in records.items()}, [notice]


def _variants_together(records: Iterable[Record]) -> list[Record]:
    """The same picture in several outer folders stays in one split."""
    return [replace(r, group=f"{r.target}/{composed(r.image.stem)}" if r.group is None else r.group) for r in records]
