"""Class folders: one folder of images per class, flat or below ``train/``, ``val/`` and ``test/``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fine_tuner.base.errors import DataError
from fine_tuner.base.text import counted
from fine_tuner.data.files.folders import Passed, images_below, is_image_name, visible_files, visible_folders
from fine_tuner.data.options import UNSPLIT, Source
from fine_tuner.data.readers.recognise import Found
from fine_tuner.data.records import Record

Classes = Mapping[str, list[Path]]


def read_classes(folder: Path, passed: Passed) -> Classes:
    """Images of each class folder below ``folder``; names sorted, as torchvision's ImageFolder does.

    Raises:
        DataError: If there is no class folder, only one, or an empty one.
    """
    folders = visible_folders(folder, passed)
    files = visible_files(folder)
    loose = [f for f in files if is_image_name(f)]
    if not folders:
        hint = f" It holds {counted(len(loose), 'image')} directly." if loose else " It is empty."
        raise DataError(
            f"{folder} has no class folders.{hint} Put the images of each class into a folder named after the class."
        )
    passed.loose += len(loose)
    for file in files:
        if not is_image_name(file):
            passed.file(file)
    classes = {f.name: list(images_below(f, passed)) for f in folders}
    empty = [name for name, images in classes.items() if not images]
    if len(empty) == len(classes):
        raise DataError(
            f"{folder} has no classes: none of its folders ({_listed(classes)}) holds an image. Give the folder whose "
            "folders are the classes."
        )
    if empty:
        what = "Class folder" if len(empty) == 1 else "Class folders"
        raise DataError(f"{what} {_listed(empty)} in {folder} without any image. Add images, or remove the folder.")
    if len(classes) == 1:
        (name,) = classes
        raise DataError(
            f"{folder} has one class only ({name!r}); a classifier needs two or more. Add a folder for each other "
            "class, or give the folder above if this is itself a class."
        )
    return classes


def read_split_classes(folders: Mapping[str, Path], passed: Passed) -> dict[str, Classes]:
    """Classes of each split folder.

    Args:
        folders: Split name to its folder; ``train`` is among them.
        passed: Counts what is not used.

    Raises:
        DataError: If the splits do not have the same classes; see also ``read_classes``.
    """
    splits = {split: read_classes(folder, passed) for split, folder in folders.items()}
    train = set(splits["train"])
    for split, classes in splits.items():
        missing, extra = train - set(classes), set(classes) - train
        if extra or (missing and split == "val"):
            parts = [f"{folders[split]} lacks {_listed(missing)}"] if missing else []
            parts += [f"{folders['train']} lacks {_listed(extra)}"] if extra else []
            raise DataError(
                f"The classes of train and {split} differ: {'; '.join(parts)}. Give every split the same class folders."
            )
    return splits


def records_of(classes: Classes, names: tuple[str, ...]) -> list[Record]:
    """A record for each image, its target the position of its class in ``names``."""
    return [Record(image, names.index(name)) for name, images in classes.items() for image in images]


def _listed(names: object) -> str:
    listed = sorted(names)  # type: ignore[call-overload]
    return ", ".join(repr(n) for n in listed[:5]) + (f" and {len(listed) - 5} more" if len(listed) > 5 else "")


def read_class_folders(found: Found) -> Source:
    """Records of class folders, flat or below split folders.

    Raises:
        DataError: If there are too few classes, empty ones, or other ones in val than in train.
    """
    passed = Passed()
    if found.splits:
        read = read_split_classes(found.splits, passed)
        words = f"class folders in {', '.join(f.name for f in found.splits.values())}"
    else:
        read = {UNSPLIT: read_classes(found.root, passed)}
        words = "class folders"
    names = tuple(next(iter(read.values())))
    listed = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
    notices = passed.notices()
    if found.tables:
        notices.append(f"{found.tables[0].name} is not used: the classes are the folders (data.layout=table uses it).")
    return Source(
        records={split: tuple(records_of(classes, names)) for split, classes in read.items()},
        classes=names,
        words=f"{words}, {counted(len(names), 'class')} ({listed})",
        notices=tuple(notices),
    )
