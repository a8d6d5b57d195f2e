"""What a folder is: class folders, a table with images, or images with masks; and what it can be learned as.

From names and headers alone, quick enough to follow someone who types a path.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fine_tuner.base.errors import DataError
from fine_tuner.base.progress import OnProgress, no_progress
from fine_tuner.base.text import counted
from fine_tuner.config.tasks import CLASSIFICATION, SEGMENTATION, TASK_SPECS, TargetKind, target_kind, tasks_with
from fine_tuner.data.files.archives import ARCHIVE_SUFFIXES, unpack
from fine_tuner.data.files.folders import (
    Passed,
    existing_folder,
    holds_images,
    images_below,
    is_image_name,
    visible_files,
    visible_folders,
)
from fine_tuner.data.masks.folders import IMAGE_FOLDERS, MASK_FOLDERS, FolderPair, find_folder_pairs
from fine_tuner.data.options import Layout, split_named
from fine_tuner.data.readers.image_index import ImageIndex
from fine_tuner.data.readers.sample import SAMPLE_PATH
from fine_tuner.data.readers.set_list import SETS, TORCHVISION_PREFIX
from fine_tuner.data.readers.table_columns import task_of
from fine_tuner.data.readers.table_source import choose_tables, tables_in
from fine_tuner.data.readers.tables import TABLE_SUFFIXES, read_table

_SERVES: Mapping[Layout, tuple[str, str]] = {
    "masks": ("images with masks", SEGMENTATION.name),
    "classes": ("class folders", CLASSIFICATION.name),
}
_NEEDS: Mapping[Layout, str] = {
    "masks": "has no masks. Put images into a folder images/ and their masks, named alike, into masks/ beside it.",
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
    """

    root: Path
    pairs: Mapping[str, FolderPair] = field(default_factory=dict)
    tables: tuple[Path, ...] = ()
    class_folders: tuple[Path, ...] = ()
    splits: Mapping[str, Path] = field(default_factory=dict)

    def layout_for(self, task: str) -> Layout:
        """The layout that serves ``task``.

        Raises:
            DataError: If the folder plainly holds something else; naming the task that fits.
        """
        layouts: dict[Layout, bool] = {
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
            return "classes"  # whose reader says what is missing
        raise DataError(f"{self.root} {_NEEDS[wanted[0]].format(task=task)}")

    def likely_task(self) -> str:
        """The task that the data is most likely made for.

        Raises:
            DataError: If there is nothing but a table that cannot be read.
        """
        if self.pairs:
            return SEGMENTATION.name
        if not self.tables:
            return CLASSIFICATION.name
        try:
            index = ImageIndex(self.root, images_below(self.root, Passed()))
            task = task_of(read_table(next(iter(choose_tables(self.root).values()))), index)
        except DataError:
            if len(self.class_folders) < 2:
                raise
            return CLASSIFICATION.name  # the table is about something else
        return task if target_kind(task) is TargetKind.MASK or len(self.class_folders) < 2 else CLASSIFICATION.name


def unpacked(path: str, progress: OnProgress = no_progress) -> str:
    """``path``, or of a zip the folder that it was unpacked into.

    Raises:
        DataError: If the zip cannot be unpacked.
    """
    return str(unpack(Path(path), progress)) if Path(path).suffix.lower() in ARCHIVE_SUFFIXES else path


def look_into(path: str | Path) -> Found:
    """What lies in a folder; a lone folder that wraps everything is looked into.

    Raises:
        DataError: If there is no such folder, two folders mean one split, or there are split folders but none for
            training.
    """
    root = _descend(existing_folder(str(path)))
    folders = visible_folders(root)
    pairs = find_folder_pairs(root)
    tables = tuple(tables_in(root))
    splits = _split_folders(root, folders, must_have_train=not tables and not pairs)
    candidates = visible_folders(splits["train"]) if "train" in splits else folders
    classes = tuple(f for f in candidates if f.name.lower() not in IMAGE_FOLDERS | MASK_FOLDERS and holds_images(f))
    return Found(root, pairs, tables, () if pairs else classes, splits)


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


def glance_at(path: str, progress: OnProgress = no_progress) -> Glance:
    """The first impression of what ``data.path`` names; a zip is unpacked for it.

    Raises:
        DataError: If there is nothing of the kind, or nothing that can be told.
    """
    if path == SAMPLE_PATH:
        tasks = tuple(TASK_SPECS)
        return Glance(tasks[0], tasks, "auto", "sample pictures made by the app")
    if path.startswith(TORCHVISION_PREFIX):
        return _of_set(path.removeprefix(TORCHVISION_PREFIX).partition("@")[0])
    path = unpacked(path, progress)
    if Path(path).suffix.lower() in TABLE_SUFFIXES:
        path = str(Path(path).parent)
    found = look_into(path)
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
    if found.pairs:
        tasks += tasks_with(TargetKind.MASK)
    if len(found.class_folders) >= 2:
        tasks += tasks_with(TargetKind.CLASS)
    if found.tables:
        tasks += tasks_with(TargetKind.CLASS, TargetKind.LABELS, TargetKind.NUMBERS)
    return tuple(dict.fromkeys(tasks))


def _words(found: Found, layout: str) -> str:
    if layout == "masks":
        pair = next(iter(found.pairs.values()))
        return f"images with masks in {pair.images.name}/ and {pair.masks.name}/"
    if layout == "table":
        return f"images with a table, {', '.join(t.name for t in found.tables[:_NAMES_SHOWN])}"
    names = [f.name for f in found.class_folders]
    shown = ", ".join(names[:_NAMES_SHOWN]) + (", ..." if len(names) > _NAMES_SHOWN else "")
    return f"class folders, {counted(len(names), 'class')} ({shown})" if names else "class folders"
