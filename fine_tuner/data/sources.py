"""From what the user named to records in splits: recognise the layout, read it, verify it, split it.

=====================  ====================================================================
``data.path``          read by
=====================  ====================================================================
``builtin:sample``     ``sample.py``
a folder               ``class_folders.py``
=====================  ====================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fine_tuner.data.class_folders import read_classes, read_split_classes, records_of
from fine_tuner.data.folders import (
    Passed,
    Progress,
    counted,
    existing_folder,
    no_progress,
    split_named,
    visible_folders,
)
from fine_tuner.data.images import verify_quickly
from fine_tuner.data.records import DataSplits, Record
from fine_tuner.data.sample import SAMPLE_PATH, read_sample
from fine_tuner.data.splitting import split_records
from fine_tuner.errors import DataError


def read_data(
    path: str,
    *,
    task: str,
    val_fraction: float,
    seed: int,
    on_unreadable: str = "stop",
    progress: Progress | None = None,
    **options: Any,
) -> DataSplits:
    """Recognise, read, verify and split a data set.

    Args:
        path: ``data.path``: a folder, or ``builtin:sample``.
        task: classification, multilabel, regression or segmentation.
        val_fraction: Share of the training images kept for validation where the data has no val split.
        seed: Decides that split.
        on_unreadable: ``stop`` names unreadable images in the error; ``skip`` leaves them out with a notice.
        progress: Called as ``progress(what, done, total)``.
        **options: Corrections of what is recognised.

    Raises:
        DataError: Naming folder or file, and what to do.
    """
    progress = progress or no_progress
    if path == SAMPLE_PATH:
        return read_sample(task=task, val_fraction=val_fraction, seed=seed, progress=progress)
    root = existing_folder(path)
    if task != "classification":
        raise DataError(f"task={task} cannot be read from {path} yet. Choose task=classification.")
    data = _read_class_folders(root, seed=seed, val_fraction=val_fraction)
    return verified(data, on_unreadable=on_unreadable, progress=progress)


def _read_class_folders(root: Path, *, seed: int, val_fraction: float) -> DataSplits:
    passed = Passed()
    root, splits = _descend(root)
    if splits:
        read = read_split_classes(splits, passed)
        names = tuple(read["train"])
        records = {split: tuple(records_of(classes, names)) for split, classes in read.items()}
        layout = f"class folders in {', '.join(f.name for f in splits.values())}"
    else:
        classes = read_classes(root, passed)
        names = tuple(classes)
        records = {"train": tuple(records_of(classes, names))}
        layout = "class folders"
    if "val" not in records:
        records["train"], records["val"] = split_records(
            records["train"], val_fraction=val_fraction, seed=seed, names=names
        )
    data = DataSplits(
        task="classification",
        classes=names,
        splits={s: records[s] for s in ("train", "val", "test") if s in records},
        kind="",
        root=root,
        notices=tuple(passed.notices()),
    )
    return replace(data, kind=f"{layout}, {_classes_in_words(data)}")


def _descend(root: Path) -> tuple[Path, dict[str, Path]]:
    """The folder that holds classes or splits, and its split folders; a lone wrapping folder is looked into."""
    while True:
        folders = visible_folders(root)
        splits = _split_folders(root, folders)
        if splits or len(folders) != 1 or not visible_folders(folders[0]):
            return root, splits
        root = folders[0]


def _split_folders(root: Path, folders: list[Path]) -> dict[str, Path]:
    splits: dict[str, Path] = {}
    for folder in folders:
        split = split_named(folder.name)
        if split in splits:
            raise DataError(f"{splits[split]} and {folder} both mean the {split} split. Rename or move one of them.")
        if split:
            splits[split] = folder
    if splits and "train" not in splits:
        found = ", ".join(f.name for f in splits.values())
        raise DataError(f"{root} has {found} but no train folder. Add one, or give the folder of classes itself.")
    return {s: splits[s] for s in ("train", "val", "test") if s in splits}


def _classes_in_words(data: DataSplits) -> str:
    names = ", ".join(data.classes[:4]) + (", ..." if len(data.classes) > 4 else "")
    return f"{counted(len(data.classes), 'class')} ({names})"


def verified(data: DataSplits, *, on_unreadable: str, progress: Progress) -> DataSplits:
    """``data`` without the images whose file cannot be opened.

    Raises:
        DataError: Naming them, unless ``on_unreadable`` is ``skip``; or if too few are left.
    """
    total, done = sum(map(len, data.splits.values())), 0
    problems: list[str] = []
    splits: dict[str, tuple[Record, ...]] = {}
    for split, records in data.splits.items():
        kept = []
        for record in records:
            try:
                verify_quickly(record.image)
                kept.append(record)
            except DataError as error:
                problems.append(str(error))
            done += 1
            if done % 64 == 0 or done == total:
                progress("Reading image headers", done, total)
        splits[split] = tuple(kept)
    if not problems:
        return data
    if on_unreadable != "skip":
        raise DataError(_unreadable(problems))
    _refuse_emptied(data, splits)
    notice = f"{counted(len(problems), 'unreadable image')} left out, such as {_file_of(problems[0])}."
    return replace(data, splits=splits, notices=(*data.notices, notice))


def _unreadable(problems: list[str]) -> str:
    if len(problems) == 1:
        return problems[0]
    shown = "\n".join(f"  {p}" for p in problems[:5])
    more = f"\n  and {len(problems) - 5} more" if len(problems) > 5 else ""
    return f"{len(problems)} images cannot be read:\n{shown}{more}"


def _file_of(problem: str) -> str:
    return problem.partition(" is ")[0].partition(" claims ")[0]


def _refuse_emptied(data: DataSplits, splits: Mapping[str, tuple[Record, ...]]) -> None:
    for split in ("train", "val"):
        if not splits[split]:
            raise DataError(f"No readable image is left in {split} of {data.root}. Replace the unreadable images.")
    if data.task == "classification":
        left = {r.target for r in splits["train"]}
        gone = [name for i, name in enumerate(data.classes) if i not in left]
        if gone:
            raise DataError(f"No readable image is left of class {gone[0]!r} in train. Replace its unreadable images.")
