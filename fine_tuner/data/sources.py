"""From what the user named to records in splits: recognise, read, verify, split.

=====================  =============================================================================================
``data.path``          read by
=====================  =============================================================================================
``builtin:sample``     ``sample.py``
``torchvision:NAME``   ``torchvision_sets.py``, which downloads and hands over files
a zip                  ``archives.py``, which unpacks into the cache; then as a folder
a folder               ``recognise.py`` decides between ``class_source.py``, ``table_source.py``, ``mask_source.py``
a CSV or TSV file      ``table_source.py``
=====================  =============================================================================================

Readers collect what cannot be used as problems; here the user's choice decides whether a problem is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fine_tuner.base.errors import DataError
from fine_tuner.data.files.archives import ARCHIVE_SUFFIXES, unpack
from fine_tuner.data.files.folders import Progress, counted, existing_folder, no_progress
from fine_tuner.data.options import ReadOptions
from fine_tuner.data.readers.class_source import read_class_folders
from fine_tuner.data.readers.mask_source import read_mask_folders, with_classes
from fine_tuner.data.readers.recognise import look_into
from fine_tuner.data.readers.sample import SAMPLE_PATH, read_sample
from fine_tuner.data.readers.set_list import TORCHVISION_PREFIX
from fine_tuner.data.readers.table_source import choose_tables, read_tables
from fine_tuner.data.readers.tables import TABLE_SUFFIXES
from fine_tuner.data.records import DataSplits, Record
from fine_tuner.data.source import UNSPLIT, Problem, Source
from fine_tuner.data.splitting import split_records
from fine_tuner.data.verify import leave_out_duplicates, verify


def read_data(
    path: str,
    *,
    task: str,
    val_fraction: float,
    seed: int,
    on_unreadable: str = "stop",
    progress: Progress | None = None,
    may_download: bool = True,
    **options: Any,
) -> DataSplits:
    """Recognise, read, verify and split a data set.

    Args:
        path: ``data.path``; see the table above.
        task: classification, multilabel, regression or segmentation.
        val_fraction: Share of the training images kept for validation where the data has no val split.
        seed: Decides that split.
        on_unreadable: ``stop`` names unreadable images in the error; ``skip`` leaves them out with a notice.
        progress: Called as ``progress(what, done, total)``; an exception from it ends the reading.
        may_download: Fetch a data set of torchvision's that is not there; else that is an error.
        **options: The other fields of ``ReadOptions``.

    Raises:
        DataError: Naming folder, file or cell, and what to do.
    """
    progress = progress or no_progress
    chosen = ReadOptions(on_unreadable=on_unreadable, **options)
    if path == SAMPLE_PATH:
        return read_sample(task=task, val_fraction=val_fraction, seed=seed, progress=progress)
    return take_survey(
        path, task=task, val_fraction=val_fraction, seed=seed, options=chosen, progress=progress, is_strict=True,
        may_download=may_download,
    ).data  # fmt: skip


@dataclass(frozen=True)
class Survey:
    """Everything that could be read, and everything that could not.

    Attributes:
        data: Only records without a problem.
        problems: In the order found.
    """

    data: DataSplits
    problems: tuple[Problem, ...]


def take_survey(
    path: str,
    *,
    task: str,
    val_fraction: float,
    seed: int,
    options: ReadOptions,
    progress: Progress,
    is_strict: bool = False,
    may_download: bool = True,
) -> Survey:
    """As ``read_data``, with problems listed instead of raised unless ``is_strict``. Not for the sample.

    Raises:
        DataError: If nothing can be made of the data.
    """
    root, source = read_source(path, task, options, progress, may_download=may_download)
    source, unreadable = verify(source, thoroughly=options.on_unreadable == "skip", progress=progress)
    notices = list(source.notices)
    problems = (*source.problems, *unreadable)
    if is_strict:
        refuse(problems, options)
    notices += [
        f"{counted(len(of_kind), noun)} left out, such as: {of_kind[0].message}"
        for kind, noun in _LEFT_OUT.items()
        if (of_kind := [p for p in problems if p.kind == kind])
    ]
    if options.duplicates == "drop":
        source, dropped = leave_out_duplicates(source, progress)
        notices += [f"{counted(dropped, 'image')} of train left out that val or test holds as well."] if dropped else []
    splits = _split(source, root, val_fraction=val_fraction, seed=seed)
    data = DataSplits(
        task=task,
        classes=source.classes,
        splits=splits,
        kind=source.words,
        root=root,
        notices=tuple(notices),
        target_names=source.target_names,
        mask_coding=source.mask_coding,
        pixel_counts=_pixels_of(source, splits["train"]),
    )
    return Survey(data, problems)


_LEFT_OUT = {
    "unreadable": "unreadable image",
    "missing_label": "image without label",
    "missing_image": "label without image",
    "image_alone": "image without mask",
    "mask_alone": "mask without image",
    "conflict": "contradictory row",
}


def read_source(
    path: str, task: str, options: ReadOptions, progress: Progress, *, may_download: bool = True
) -> tuple[Path, Source]:
    """The folder of the data and what lies in it.

    Raises:
        DataError: If it is none of the layouts, or not what ``task`` needs.
    """
    if path.startswith(TORCHVISION_PREFIX):
        from fine_tuner.data.readers.torchvision_sets import (
            read_torchvision,  # brings torch, which nothing else here needs
        )

        name = path.removeprefix(TORCHVISION_PREFIX)
        return read_torchvision(name, task, options, progress, may_download=may_download)
    if Path(path).suffix.lower() in ARCHIVE_SUFFIXES:
        path = str(unpack(Path(path), progress))
    if Path(path).suffix.lower() in TABLE_SUFFIXES and Path(path).expanduser().is_file():
        table = Path(path).expanduser().absolute()
        return table.parent, _of_tables(table.parent, {"": table}, task, options, progress)
    found = look_into(existing_folder(path))
    layout = found.layout_for(task) if options.layout == "auto" else options.layout
    if layout == "table":
        return found.root, _of_tables(found.root, choose_tables(found.root), task, options, progress)
    if layout == "masks":
        if not found.pairs:
            raise DataError(f"{found.root} has no folders images/ and masks/. Correct data.layout, or add them.")
        return found.root, read_mask_folders(found.root, found.pairs, options, progress)
    if task != "classification":
        raise DataError(f"data.layout=classes serves classification only, not task={task}. Change one of the two.")
    return found.root, read_class_folders(found)


def _of_tables(root: Path, tables: Mapping[str, Path], task: str, options: ReadOptions, progress: Progress) -> Source:
    source = read_tables(root, dict(tables), task, options)
    if task != "segmentation":
        return source
    masked = with_classes(root, source.records, options, progress, words=source.words)
    return replace(masked, notices=(*source.notices, *masked.notices), problems=(*source.problems, *masked.problems))


def _pixels_of(source: Source, records: Sequence[Record]) -> tuple[int, ...] | None:
    """Pixels of each class over the masks of ``records``; None where there are no masks."""
    rows = [source.mask_pixels[r.target] for r in records if isinstance(r.target, Path)]
    return tuple(map(sum, zip(*rows, strict=True))) if rows else None


def _split(source: Source, root: Path, *, val_fraction: float, seed: int) -> dict[str, tuple[Record, ...]]:
    """Records of train, val and, where there is one, test.

    Raises:
        DataError: If train or val would be empty, or a class has no image in train.
    """
    records = dict(source.records)
    if UNSPLIT in records:
        records["train"] = records.pop(UNSPLIT)
    if not records.get("train"):
        raise DataError(f"{root} has no usable image to train on. Look at the data with check-data.")
    if "val" not in records:
        records["train"], records["val"] = split_records(
            records["train"], val_fraction=val_fraction, seed=seed, names=source.classes
        )
    if not records["val"]:
        raise DataError(f"{root} has no usable image in val. Add some, or leave val out to have train divided.")
    if isinstance(records["train"][0].target, int):
        present = {r.target for r in records["train"]}
        gone = [name for i, name in enumerate(source.classes) if i not in present]
        if gone:
            raise DataError(f"No readable image is left of class {gone[0]!r} in train. Add some, or leave it out.")
    return {split: records[split] for split in ("train", "val", "test") if records.get(split)}


@dataclass(frozen=True)
class _Choice:
    """How a user lives with some kinds of problem.

    Attributes:
        option: Field of ``ReadOptions``; while it is ``stop`` or False, the problems are errors.
        kinds: Kinds of problem.
        what: What several of them are called.
        remedy: What to do; empty where each message has its own.
    """

    option: str
    kinds: tuple[str, ...]
    what: str
    remedy: str


_CHOICES = (
    _Choice("on_unreadable", ("unreadable",), "images cannot be read", ""),
    _Choice(
        "on_missing",
        ("missing_label", "missing_image", "image_alone", "mask_alone", "conflict"),
        "things in the data lack their image, label or mask",
        "Correct the data, or set data.on_missing=skip to leave such out.",
    ),
    _Choice(
        "mask_unknown",
        ("unknown_value",),
        "values in the masks are no class",
        "Correct the masks, or set data.mask_unknown=ignore to leave such pixels out, or =nearest.",
    ),
    _Choice(
        "mask_resize",
        ("size_mismatch",),
        "masks are not of the size of their image",
        "Make them equal, or set data.mask_resize=true.",
    ),
)


def refuse(problems: Sequence[Problem], options: ReadOptions) -> None:
    """Raise for the problems that the user did not choose to live with.

    Raises:
        DataError: Naming up to five of one kind.
    """
    for choice in _CHOICES:
        of_kind = [p.message for p in problems if p.kind in choice.kinds]
        if not of_kind or getattr(options, choice.option) not in ("stop", False):
            continue
        if len(of_kind) == 1:
            raise DataError(f"{of_kind[0]} {choice.remedy}".strip())
        shown = "".join(f"\n  {message}" for message in of_kind[:5])
        more = f"\n  and {len(of_kind) - 5:,} more" if len(of_kind) > 5 else ""
        raise DataError(f"{len(of_kind):,} {choice.what}:{shown}{more}\n{choice.remedy}".strip())
