"""What data seems to be, from names and headers alone: quick enough to follow someone who types a path."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fine_tuner.base.errors import DataError
from fine_tuner.data.files.archives import ARCHIVE_SUFFIXES, unpack
from fine_tuner.data.files.folders import Progress, counted, existing_folder, no_progress
from fine_tuner.data.options import Layout
from fine_tuner.data.readers.recognise import Found, look_into
from fine_tuner.data.readers.sample import SAMPLE_PATH
from fine_tuner.data.readers.set_list import SETS, TORCHVISION_PREFIX
from fine_tuner.data.readers.tables import TABLE_SUFFIXES

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


def glance_at(path: str, progress: Progress = no_progress) -> Glance:
    """The first impression of what ``data.path`` names; a zip is unpacked for it.

    Raises:
        DataError: If there is nothing of the kind, or nothing that can be told.
    """
    if path == SAMPLE_PATH:
        tasks = ("classification", "multilabel", "regression", "segmentation")
        return Glance(tasks[0], tasks, "auto", "sample pictures made by the app")
    if path.startswith(TORCHVISION_PREFIX):
        return _of_set(path.removeprefix(TORCHVISION_PREFIX).partition("@")[0])
    if Path(path).suffix.lower() in ARCHIVE_SUFFIXES:
        path = str(unpack(Path(path), progress))
    elif Path(path).suffix.lower() in TABLE_SUFFIXES:
        path = str(Path(path).parent)
    found = look_into(existing_folder(path))
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
        tasks.append("segmentation")
    if len(found.class_folders) >= 2:
        tasks.append("classification")
    if found.tables:
        tasks += ["classification", "multilabel", "regression"]
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
