"""What a folder is: class folders, a table with images, or images with masks; and what it can be learned as.

From names and headers alone, quick enough to follow someone who types a path.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from fine_tuner.base.errors import DataError
from fine_tuner.base.pasted_path import cleaned_path, refusal_of_windows_path
from fine_tuner.base.progress import OnProgress, no_progress
from fine_tuner.base.text import counted
from fine_tuner.config.sections.data import SAMPLE_DATA
from fine_tuner.config.tasks import (
    CLASSIFICATION,
    MULTILABEL,
    SEGMENTATION,
    TASK_SPECS,
    TargetKind,
    target_kind,
    tasks_with,
)
from fine_tuner.data.files.archives import ARCHIVE_SUFFIXES, find_name_encoding, unpack
from fine_tuner.data.files.folders import (
    Passed,
    composed,
    existing_folder,
    holds_images,
    images_below,
    is_image_name,
    natural_order,
    visible_files,
    visible_folders,
)
from fine_tuner.data.notices import Notice
from fine_tuner.data.options import UNSPLIT, Layout, ReadOptions, listed_classes, split_named
from fine_tuner.data.readers.image_index import ImageIndex
from fine_tuner.data.readers.mask_folders import (
    IMAGE_FOLDERS,
    MASK_FOLDERS,
    FolderPair,
    find_folder_pairs,
    fit,
    pairs_by_content,
)
from fine_tuner.data.readers.masks_beside import masks_beside
from fine_tuner.data.readers.objects import Objects, find_objects
from fine_tuner.data.readers.set_list import SETS, TORCHVISION_PREFIX
from fine_tuner.data.readers.table_columns import task_of
from fine_tuner.data.readers.table_source import choose_tables, tables_in
from fine_tuner.data.readers.tables import TABLE_SUFFIXES, read_table

_SERVES: Mapping[Layout, tuple[str, str]] = {
    "masks": ("images with masks", SEGMENTATION.name),
    "objects": ("objects with boxes or outlines", MULTILABEL.name),
    "classes": ("class folders", CLASSIFICATION.name),
}
_NEEDS: Mapping[Layout, str] = {
    "masks": "has no masks that are recognised. Put images into a folder images/ and their masks, named alike, into "
    "masks/ beside it, or name the two folders in data.image_folder and data.mask_folder.",
    "table": "has no table (CSV or TSV), which task={task} needs. Add one with a column that names the images and a "
    "column for each label or number.",
}


@dataclass(frozen=True)
class Found:
    """What lies in a folder.

    Attributes:
        root: The folder itself, or the lone folder below it that holds everything.
        pairs: Folders of images and masks by split; empty if there are none.
        tables: Whether there is a table.
        class_folders: Folders that may be classes, in the root or in its train folder.
        splits: Split folders.
        objects: Data of object detection; None if there is none.
        has_masks_beside: Some files are named as masks of pictures in their folder, and hold masks.
        options: What the user chose.
        is_told_by_content: What the folders of images and masks hold says so, not their names.
        num_folders: How many folders with images there are where classes would be.
    """

    root: Path
    pairs: Mapping[str, FolderPair] = field(default_factory=dict)
    tables: tuple[Path, ...] = ()
    class_folders: tuple[Path, ...] = ()
    splits: Mapping[str, Path] = field(default_factory=dict)
    objects: Objects | None = None
    has_masks_beside: bool = False
    options: ReadOptions = field(default_factory=ReadOptions)
    num_folders: int = 0
    is_told_by_content: bool = False

    def layout_for(self, task: str) -> Layout:
        """The layout that serves ``task``.

        Raises:
            DataError: If the folder plainly holds something else; naming the task that fits.
        """
        if self.options.layout != "auto":
            return self._chosen(self.options.layout, task)
        layouts: dict[Layout, bool] = {
            "objects": self.objects is not None,
            "classes": len(self.class_folders) >= 2,
            "masks": bool(self.pairs),
            "table": bool(self.tables),
        }
        wanted = TASK_SPECS[task].layouts
        for layout in wanted:
            if layouts[layout]:
                return layout
        for layout, (what, better) in _SERVES.items():
            if layouts[layout]:
                raise DataError(f"{self.root} holds {what}, which do not serve task={task}. Choose task={better}.")
        if "classes" in wanted:
            raise self.no_classes()
        raise DataError(f"{self.root} {_NEEDS[wanted[0]].format(task=task)}")

    def _chosen(self, layout: Layout, task: str) -> Layout:
        """The layout that the user chose."""
        if layout not in TASK_SPECS[task].layouts:
            serves = f"{_SERVES[layout][1]} only, " if layout in _SERVES else ""
            raise DataError(f"data.layout={layout} serves {serves}not task={task}. Change one of the two.")
        if layout == "objects" and self.objects is None:
            raise DataError(f"{self.root} holds no objects as COCO, YOLO or Pascal VOC have them. Correct data.layout.")
        if layout == "masks" and not self.pairs:
            raise DataError(f"{self.root} has no folders images/ and masks/. Correct data.layout, or add them.")
        return layout

    def no_classes(self) -> DataError:
        """That there are no classes to tell apart: one only, or nothing that was recognised."""
        if len(self.class_folders) == 1:
            return one_class_only(self.splits.get("train", self.root), composed(self.class_folders[0].name))
        return self.nothing()

    def nothing(self) -> DataError:
        """That nothing was recognised, what there is, and what would be."""
        return DataError(f"Nothing was recognised in {self.root}: {content_of(self.root)} {_WHAT_IS_READ}")

    def likely_task(self) -> str:
        """The task that the data is most likely made for.

        Raises:
            DataError: If there is nothing but a table that cannot be read.
        """
        layout = self.options.layout
        if layout in ("masks", "classes"):
            return _SERVES[layout][1]
        if self.objects is not None and layout != "table":
            return (SEGMENTATION if self.objects.has_outlines else MULTILABEL).name
        if self.pairs and layout != "table" and not (self.has_masks_beside and len(self.class_folders) >= 2):
            return SEGMENTATION.name
        if not self.tables:
            if len(self.class_folders) < 2:
                raise self.no_classes()
            return CLASSIFICATION.name
        try:
            index = ImageIndex(self.root, images_below(self.root, Passed()))
            first = self.tables[0] if len(self.tables) == 1 else next(iter(choose_tables(self.root).values()))
            task = task_of(read_table(first, self.options.encoding), index, self.options)
        except DataError:
            if layout == "table" or len(self.class_folders) < 2:
                raise
            return CLASSIFICATION.name  # the table is about something else
        is_meant = layout == "table" or target_kind(task) is TargetKind.MASK
        return task if is_meant or len(self.class_folders) < 2 else CLASSIFICATION.name


def unpacked(
    path: str, progress: OnProgress = no_progress, options: ReadOptions | None = None
) -> tuple[str, tuple[Notice, ...]]:
    """``path`` as it was meant, or of a zip the folder that it was unpacked into; and what there is to say of that.

    Raises:
        DataError: If the zip cannot be unpacked, or the path is one of another system.
    """
    path = cleaned_path(path)
    if refusal := refusal_of_windows_path(path):
        raise DataError(f"data.path: {refusal}")
    if Path(path).suffix.lower() not in ARCHIVE_SUFFIXES or Path(path).expanduser().is_dir():
        return path, ()
    encoding, notices = find_name_encoding(Path(path).expanduser(), options.encoding if options else "")
    return str(unpack(Path(path), progress, encoding=encoding)), notices


def one_class_only(folder: Path, name: str) -> DataError:
    """That a folder holds a single class."""
    return DataError(
        f"{folder} has one class only ({name!r}); a classifier needs two or more. Add a folder for each other class, "
        "or give the folder above if this is itself a class."
    )


_WHAT_IS_READ = (
    "Give a folder that holds a folder of images for each class (data.layout=classes takes each folder for a class), "
    "images/ with masks/ (or name the two in data.image_folder and data.mask_folder), or images with a table (CSV)."
)


def content_of(root: Path) -> str:
    """What a folder holds, in a sentence that begins in the middle of one."""
    folders, files = visible_folders(root), visible_files(root)
    images = sum(map(is_image_name, files))
    if files and not folders and not images:
        endings = sorted({file.suffix.lower() for file in files} - {""})[:_NAMES_SHOWN]
        named = f" ({', '.join(endings)})" if endings else ""
        return f"it holds {counted(len(files), 'file')}, none of them a picture{named}."
    named = ", ".join(f.name for f in folders[:_NAMES_SHOWN])
    parts = [f"{counted(len(folders), 'folder')} ({named})"] if folders else []
    parts += [counted(images, "image")] if images else []
    parts += [counted(len(files) - images, "other file")] if len(files) > images else []
    if folders and not images and not any(map(holds_images, folders)):
        parts.append("no image")
    return f"it holds {' and '.join(parts)}." if parts else "it is empty."


def look_into(path: str | Path, options: ReadOptions | None = None) -> Found:
    """What lies in a folder; a lone folder that wraps everything is looked into.

    Args:
        path: The folder.
        options: What the user chose.

    Raises:
        DataError: If there is no such folder, two folders mean one split, or there are split folders but none for
            training.
    """
    root = _descend(existing_folder(str(path)))
    folders = visible_folders(root)
    options = options or ReadOptions()
    pairs = find_folder_pairs(root, options)
    objects = None if pairs else find_objects(root)
    tables = tuple(tables_in(root))
    splits = _split_folders(root, folders, must_have_train=not tables and not pairs and objects is None)
    candidates = visible_folders(splits["train"]) if "train" in splits else folders
    filled = [f for f in candidates if holds_images(f)]
    classes = _class_folders(filled, options)
    is_told_by_content = False
    if not pairs and not objects and not tables and options.layout in ("auto", "masks"):
        pairs = pairs_by_content(splits if "train" in splits else {UNSPLIT: root})
        is_told_by_content = bool(pairs)
    may_be_beside = not pairs and options.masks_beside == "recognise" and (not tables or options.layout == "masks")
    has_beside = may_be_beside and _has_masks_beside(root)  # a table says itself which file is whose mask
    if has_beside:
        where = splits if "train" in splits else {UNSPLIT: root}
        pairs = {split: FolderPair(folder, folder) for split, folder in where.items()}
    elif (pairs or objects is not None) and options.layout != "classes":
        classes = ()
    return Found(root, pairs, tables, classes, splits, objects, has_beside, options, len(filled), is_told_by_content)


def _class_folders(filled: list[Path], options: ReadOptions) -> tuple[Path, ...]:
    """Folders that may be classes: all of them, or none where one is named as images or masks and fits another.

    ``photos/`` beside ``drawings/`` are classes, ``images/`` beside ``outlines/`` with the same names in both are not.
    """
    named = [f for f in filled if f.name.lower() in IMAGE_FOLDERS | MASK_FOLDERS]
    if options.layout != "classes" and any(fit(f, other) for f in named for other in filled if other != f):
        return ()
    if options.class_level == "inner":
        filled = list({composed(f.name): f for outer in filled for f in visible_folders(outer)}.values())
    ordered = natural_order(composed(f.name) for f in filled)
    return tuple(sorted(filled, key=lambda f: ordered.index(composed(f.name))))


def _has_masks_beside(root: Path) -> bool:
    """Whether pictures of one of the first folders have masks beside them."""
    folders = list(islice(_folders_below(root), _FOLDERS_LOOKED_AT))
    names = [[f for f in visible_files(folder) if is_image_name(f)] for folder in folders]
    return bool(masks_beside(f for files in names for f in (*files[:_LOOKED_AT], *files[_LOOKED_AT:][-_LOOKED_AT:])))


def _folders_below(root: Path) -> Iterator[Path]:
    """``root`` and the folders below it, the nearest first, linked ones aside."""
    level = [root]
    while level:
        yield from level
        level = [f for folder in level for f in visible_folders(folder) if not f.is_symlink()]


_FOLDERS_LOOKED_AT = 32
_LOOKED_AT = 400


def _descend(root: Path) -> Path:
    while True:
        folders = visible_folders(root)
        if len(folders) != 1 or split_named(folders[0].name) or tables_in(root):
            return root
        inner = folders[0]
        if any(map(is_image_name, visible_files(root))) or not (visible_folders(inner) or tables_in(inner)):
            return root
        root = inner


def _split_folders(root: Path, folders: list[Path], *, must_have_train: bool) -> dict[str, Path]:
    splits: dict[str, Path] = {}
    for folder in folders:
        split = split_named(folder.name)
        if split in splits:
            raise DataError(f"{splits[split]} and {folder} both mean the {split} split. Rename or move one of them.")
        if split:
            splits[split] = folder
    if splits and "train" not in splits and must_have_train:
        found = ", ".join(f.name for f in splits.values())
        raise DataError(f"{root} has {found} but no train folder. Add one, or give the folder of classes itself.")
    return {s: splits[s] for s in ("train", "val", "test") if s in splits}


_NAMES_SHOWN = 4


@dataclass(frozen=True)
class Glance:
    """First impression of a data set.

    Attributes:
        task: What it seems to be made for.
        tasks: Everything it can serve, that first.
        layout: How it lies there; ``auto`` where there is no folder to have one.
        words: What was recognised, for a person.
    """

    task: str
    tasks: tuple[str, ...]
    layout: Layout
    words: str


def glance_at(path: str, progress: OnProgress = no_progress, options: ReadOptions | None = None) -> Glance:
    """The first impression of what ``data.path`` names; a zip is unpacked for it.

    Raises:
        DataError: If there is nothing of the kind, or nothing that can be told.
    """
    if path == SAMPLE_DATA:
        tasks = tuple(TASK_SPECS)
        return Glance(tasks[0], tasks, "auto", "sample pictures made by the app")
    if path.startswith(TORCHVISION_PREFIX):
        return _of_set(path.removeprefix(TORCHVISION_PREFIX).partition("@")[0])
    path, _ = unpacked(path, progress, options)
    table = Path(path).expanduser().absolute()
    if table.suffix.lower() in TABLE_SUFFIXES and table.is_file():
        found = Found(table.parent, tables=(table,), options=options or ReadOptions())
    else:
        found = look_into(path, options)
    task = found.likely_task()
    layout = found.layout_for(task)
    return Glance(task, _served(found, task), layout, _words(found, layout))


def _of_set(name: str) -> Glance:
    spec = SETS.get(name)
    if spec is None:
        raise DataError(f"data.path: torchvision:{name} is not offered. There are {', '.join(SETS)}.")
    return Glance(spec.tasks[0], spec.tasks, "auto", f"torchvision's {name} ({spec.title})")


def _served(found: Found, likely: str) -> tuple[str, ...]:
    tasks = [likely]
    if found.objects is not None:
        tasks += tasks_with(TargetKind.LABELS)
    if found.pairs:
        tasks += tasks_with(TargetKind.MASK)
    if len(found.class_folders) >= 2:
        tasks += tasks_with(TargetKind.CLASS)
    if found.tables:
        tasks += tasks_with(TargetKind.CLASS, TargetKind.LABELS, TargetKind.NUMBERS)
    return tuple(dict.fromkeys(tasks))


def _words(found: Found, layout: str) -> str:
    if layout == "objects" and found.objects is not None:
        return found.objects.words
    if layout == "masks" and found.has_masks_beside:
        return "images with masks beside them"
    if layout == "masks":
        pair = next(iter(found.pairs.values()))
        return f"images with masks in {pair.images.name}/ and {pair.masks.name}/"
    if layout == "table":
        return f"images with a table, {', '.join(t.name for t in found.tables[:_NAMES_SHOWN])}"
    names = [f.name for f in found.class_folders]
    return f"class folders, {listed_classes(names)}" if names else "class folders"
