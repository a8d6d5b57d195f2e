"""Class folders become records."""

from __future__ import annotations

from fine_tuner.data.files.folders import Passed, counted
from fine_tuner.data.readers.class_folders import read_classes, read_split_classes, records_of
from fine_tuner.data.readers.recognise import Found
from fine_tuner.data.source import UNSPLIT, Source


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
