"""From what the user named to records in splits: recognise, read, verify, split.

=====================  =============================================================================================
``data.path``          read by
=====================  =============================================================================================
``builtin:sample``     ``readers/sample.py``
``torchvision:NAME``   ``torchvision_sets.py``, which downloads and hands over files
a zip                  ``archives.py``, which unpacks into the cache; then as a folder
a folder               ``recognise.py`` decides between ``class_folders.py``, ``table_source.py``, ``mask_folders.py``
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
from fine_tuner.base.progress import OnProgress, no_progress
from fine_tuner.base.text import counted
from fine_tuner.config.tasks import TargetKind, target_kind
from fine_tuner.data.files.image_scan import Size, find_twins, image_sizes, scan_images
from fine_tuner.data.masks.folders import read_mask_folders, with_classes
from fine_tuner.data.masks.values import mask_facts
from fine_tuner.data.options import UNSPLIT, Problem, ReadOptions, Source
from fine_tuner.data.readers.class_folders import read_class_folders
from fine_tuner.data.readers.recognise import look_into, unpacked
from fine_tuner.data.readers.sample import SAMPLE_PATH, read_sample
from fine_tuner.data.readers.set_list import TORCHVISION_PREFIX
from fine_tuner.data.readers.table_source import choose_tables, read_tables
from fine_tuner.data.readers.tables import TABLE_SUFFIXES
from fine_tuner.data.records import DataSplits, Record, split_records


def read_data(
    path: str,
    *,
    task: str,
    val_fraction: float,
    seed: int,
    on_unreadable: str = "stop",
    progress: OnProgress | None = None,
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
    progress: OnProgress,
    is_strict: bool = False,
    may_download: bool = True,
) -> Survey:
    """As ``read_data``, with problems listed instead of raised unless ``is_strict``.

    Raises:
        DataError: If nothing can be made of the data.
    """
    if path == SAMPLE_PATH:
        return Survey(read_sample(task=task, val_fraction=val_fraction, seed=seed, progress=progress), ())
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
    path: str, task: str, options: ReadOptions, progress: OnProgress, *, may_download: bool = True
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
    path = unpacked(path, progress)
    if Path(path).suffix.lower() in TABLE_SUFFIXES and Path(path).expanduser().is_file():
        table = Path(path).expanduser().absolute()
        return table.parent, _of_tables(table.parent, {"": table}, task, options, progress)
    found = look_into(path)
    layout = found.layout_for(task) if options.layout == "auto" else options.layout
    if layout == "table":
        return found.root, _of_tables(found.root, choose_tables(found.root), task, options, progress)
    if layout == "masks":
        if not found.pairs:
            raise DataError(f"{found.root} has no folders images/ and masks/. Correct data.layout, or add them.")
        return found.root, read_mask_folders(found.root, found.pairs, options, progress)
    if target_kind(task) is not TargetKind.CLASS:
        raise DataError(f"data.layout=classes serves classification only, not task={task}. Change one of the two.")
    return found.root, read_class_folders(found)


def _of_tables(root: Path, tables: Mapping[str, Path], task: str, options: ReadOptions, progress: OnProgress) -> Source:
    source = read_tables(root, dict(tables), task, options)
    if target_kind(task) is not TargetKind.MASK:
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


def verify(source: Source, *, thoroughly: bool, progress: OnProgress) -> tuple[Source, list[Problem]]:
    """``source`` without images that cannot be opened, and a problem for each.

    Args:
        source: As read.
        thoroughly: Decode every image, instead of looking at header and end of the file.
        progress: Called as ``progress(what, done, total)``.
    """
    images = [r.image for records in source.records.values() for r in records]
    sizes = image_sizes(images, thoroughly=thoroughly, progress=progress)
    problems = [Problem("unreadable", found, image) for image, found in sizes.items() if isinstance(found, str)]
    kept = {
        split: tuple(r for r in records if not isinstance(sizes[r.image], str))
        for split, records in source.records.items()
    }
    if source.mask_coding is not None:
        problems += _mismatches(kept, sizes, progress)
    return replace(source, records=kept), problems


def _mismatches(
    records: Mapping[str, tuple[Record, ...]], sizes: Mapping[Path, Size | str], progress: OnProgress
) -> list[Problem]:
    """Masks of another size than their image; their facts are known already."""
    pairs = [(r.image, r.target) for rows in records.values() for r in rows if isinstance(r.target, Path)]
    facts = mask_facts([mask for _, mask in pairs], progress)
    out = []
    for (image, mask), fact in zip(pairs, facts, strict=True):
        if tuple(fact.get("size", sizes[image])) != sizes[image]:
            width, height = fact["size"]
            what = (
                f"Mask {mask} is {width} x {height} pixels, its image {image} is {sizes[image][0]} x {sizes[image][1]}."
            )
            out.append(Problem("size_mismatch", what, mask))
    return out


def leave_out_duplicates(source: Source, progress: OnProgress) -> tuple[Source, int]:
    """``source`` without those images of train that val or test holds as well; and how many those were.

    Where the data has no val split, all but one of several equal images are left out, whichever split they would get.
    """
    order = sorted(source.records, key=lambda split: split in ("train", UNSPLIT))  # of twins the first is kept
    images = [(split, r.image) for split in order for r in source.records[split]]
    paths = [image for _, image in images]
    twins = find_twins(paths, scan_images(paths, progress), progress)
    dropped = {
        paths[t.second]
        for t in twins
        if images[t.second][0] == UNSPLIT or (images[t.second][0] == "train" and images[t.first][0] != "train")
    }
    kept = {split: tuple(r for r in rows if r.image not in dropped) for split, rows in source.records.items()}
    return replace(source, records=kept), len(dropped)
