"""From what the user named to records in splits: recognise, read, verify, split.

=====================  =============================================================================================
``data.path``          read by
=====================  =============================================================================================
``builtin:sample``     ``readers/sample.py``
``torchvision:NAME``   ``torchvision_sets.py``, which downloads and hands over files
a zip                  ``files/archives.py``, which unpacks into the cache; then as a folder
a folder               ``readers/recognise.py`` decides between the readers
a CSV or TSV file      ``table_source.py``
=====================  =============================================================================================

Readers collect what cannot be used as problems; here the user's choice decides whether a problem is an error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fine_tuner.base.errors import DataError
from fine_tuner.base.progress import OnProgress, no_progress
from fine_tuner.base.text import counted, some
from fine_tuner.config.sections.data import SAMPLE_DATA
from fine_tuner.config.tasks import TargetKind, target_kind
from fine_tuner.data.duplicates import contradictions, without_duplicates
from fine_tuner.data.files.image_scan import Size, image_sizes
from fine_tuner.data.files.pixel_range import ask_if_dark, may_be_deep_by_name, measure_range
from fine_tuner.data.files.slices import about_slices
from fine_tuner.data.masks.orientation import ask_of_turned, find_turned
from fine_tuner.data.masks.values import mask_facts
from fine_tuner.data.notices import Notice, Remedy
from fine_tuner.data.options import UNSPLIT, Problem, ReadOptions, Source, listed_classes
from fine_tuner.data.readers.class_folders import read_class_folders
from fine_tuner.data.readers.mask_folders import read_mask_folders, with_classes
from fine_tuner.data.readers.name_groups import grouped_by_name
from fine_tuner.data.readers.object_source import read_objects
from fine_tuner.data.readers.recognise import look_into, unpacked
from fine_tuner.data.readers.sample import read_sample
from fine_tuner.data.readers.set_list import TORCHVISION_PREFIX
from fine_tuner.data.readers.table_source import choose_tables, read_tables
from fine_tuner.data.readers.tables import TABLE_SUFFIXES
from fine_tuner.data.records import DataSplits, Record
from fine_tuner.data.splits import split_records


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
    opens_pictures: bool = True,
) -> Survey:
    """As ``read_data``, with problems listed instead of raised unless ``is_strict``.

    Without ``opens_pictures`` it is what names, tables and masks say alone: pictures that cannot be read, equal ones
    and deep ones are not looked for.

    Raises:
        DataError: If nothing can be made of the data.
    """
    if path == SAMPLE_DATA:
        return Survey(read_sample(task=task, val_fraction=val_fraction, seed=seed, progress=progress), ())
    root, source = read_source(path, task, options, progress, may_download=may_download)
    source, unreadable = verify(source, options, progress) if opens_pictures else (source, [])
    problems = (*source.problems, *unreadable)
    may_contradict = options.on_contradiction != "keep" and target_kind(task) in (TargetKind.CLASS, TargetKind.LABELS)
    if opens_pictures and may_contradict:
        contradicting = contradictions(source.records, progress)
        files = {p.file for p in contradicting}
        kept = {split: tuple(r for r in rows if r.image not in files) for split, rows in source.records.items()}
        source, problems = replace(source, records=kept), (*problems, *contradicting)
    if is_strict:
        refuse(problems, options)
    notices = [*source.notices, *_about_left_out(problems, source, options)]
    source, about_gone = _without_gone_classes(source, root, problems)
    notices += about_gone
    pixel_range, about_pixels = _about_pixels(source, root, options, progress) if opens_pictures else (None, [])
    notices += about_pixels
    splits = _split(source, root, problems, val_fraction=val_fraction, seed=seed)
    data = DataSplits(
        task=task,
        classes=source.classes,
        splits=splits,
        kind=source.words,
        root=root,
        target_names=source.target_names,
        mask_coding=source.mask_coding,
        pixel_counts=_pixels_of(source, splits["train"]),
        pixel_range=pixel_range,
    )
    if opens_pictures and options.duplicates == "drop":
        data, dropped = without_duplicates(data, progress)
        if dropped:
            notices.append(Notice(f"{counted(dropped, 'image')} of train left out that val or test holds as well."))
    _require_classes(data, problems)
    return Survey(replace(data, notices=(*notices, *_about_absent(data, source))), problems)


def _about_pixels(
    source: Source, root: Path, options: ReadOptions, progress: OnProgress
) -> tuple[tuple[int, int] | None, list[Notice]]:
    """Black and white of deep pixels, and what there is to say of them and of files that hold several pictures."""
    pixel_range, notices = _pixel_range(source, options, progress)
    files = [f for rows in source.records.values() for r in rows for f in (r.image, r.target) if isinstance(f, Path)]
    return pixel_range, [*notices, *about_slices(files, root, progress)]


def _pixel_range(
    source: Source, options: ReadOptions, progress: OnProgress
) -> tuple[tuple[int, int] | None, list[Notice]]:
    """Black and white of deep pixels: as the user says, else as measured over the set.

    Raises:
        DataError: If what the user says is no range, or colours of 16 bits would be dark.
    """
    if options.pixel_range is not None:
        if len(options.pixel_range) != 2 or options.pixel_range[0] >= options.pixel_range[1]:
            raise DataError(
                f"data.pixel_range is {list(options.pixel_range)}. Give black and white, such as [0,4095]; or leave it "
                "empty to have it measured."
            )
        return (options.pixel_range[0], options.pixel_range[1]), []
    may_be_deep = [r.image for rows in source.records.values() for r in rows if may_be_deep_by_name(r.image)]
    ask_if_dark(may_be_deep, progress)
    return measure_range(may_be_deep, progress)


def _about_left_out(problems: Sequence[Problem], source: Source, options: ReadOptions) -> list[Notice]:
    """What was left out as the user chose, by kind, with an example, and of which classes."""
    out = []
    for kind, (one, several) in _LEFT_OUT.items():
        found = [p for p in problems if p.kind == kind]
        if found and is_settled(kind, options):
            of_class = Counter(p.file.parent.name for p in found if p.file is not None)
            where = ", ".join(f"{n} in {name}" for name, n in of_class.most_common(8))
            where = f" ({where})" if len(of_class) > 1 and target_kind_of(source) is TargetKind.CLASS else ""
            what = f"{len(found):,} {one if len(found) == 1 else several}"
            out.append(Notice(f"{what} left out{where}, such as: {found[0].message}"))
    return out


def target_kind_of(source: Source) -> TargetKind | None:
    """What the records of a source are labelled with, numbers and labels alike; None if there are none."""
    first = next((r.target for rows in source.records.values() for r in rows), None)
    if isinstance(first, int):
        return TargetKind.CLASS
    if isinstance(first, Path):
        return TargetKind.MASK
    return None if first is None else TargetKind.NUMBERS


def _about_absent(data: DataSplits, source: Source) -> list[Notice]:
    """Classes and labels that train lacks, or that train has and another split lacks."""
    kind = target_kind(data.task)
    counts = {split: data.class_counts(split) or _pixels_of(source, rows) or () for split, rows in data.splits.items()}
    out = []
    # Of masks a table may name many classes that no picture shows: those are no surprise.
    is_asked = [any(several) or kind is TargetKind.LABELS for several in zip(*counts.values(), strict=True)]
    in_train = zip(data.classes, counts["train"], is_asked, strict=False)
    unknown = [name for name, train, asked in in_train if asked and not train]
    if unknown:
        text = f"{_those(unknown, kind)} absent from train and cannot be learned: {some(unknown, 5)}."
        out.append(Notice(text, "warning", code="absent_from_train"))
    for split in [name for name in counts if name != "train"]:
        both = zip(data.classes, counts["train"], counts[split], strict=False)
        absent = [name for name, train, other in both if train and not other]
        if absent:
            is_mask = kind is TargetKind.MASK
            then = ", whose means count it only where it is predicted" if is_mask else " and left out of its means"
            text = f"{_those(absent, kind)} absent from {split}{then}: {some(absent, 5)}."
            out.append(Notice(text, "warning" if split == "val" else "note", code=f"absent_from_{split}"))
    return out


def _those(names: Sequence[str], kind: TargetKind) -> str:
    what = counted(len(names), "label" if kind is TargetKind.LABELS else "class")
    return f"{what} {'is' if len(names) == 1 else 'are'}"


def _without_gone_classes(source: Source, root: Path, problems: Sequence[Problem]) -> tuple[Source, list[Notice]]:
    """``source`` without classes of which train has no usable image left, as without class folders that are empty.

    Raises:
        DataError: If fewer than two are left.
    """
    split = "train" if "train" in source.records else UNSPLIT
    there = {r.target for r in source.records.get(split, ())}
    gone = [i for i in range(len(source.classes)) if i not in there]
    if not gone or target_kind_of(source) is not TargetKind.CLASS:
        return source, []
    kept = [i for i in range(len(source.classes)) if i in there]
    named = ", ".join(repr(source.classes[i]) for i in gone[:5])
    if len(kept) < 2:
        raise DataError(f"{root} has usable images of one class only; none of {named}. {_first_of(problems)}".strip())
    records = {
        split: tuple(replace(r, target=kept.index(r.target)) for r in rows if r.target in there)
        for split, rows in source.records.items()
    }
    what = "Class" if len(gone) == 1 else "Classes"
    text = f"{what} {named} without any usable image in train, left out."
    classes = tuple(source.classes[i] for i in kept)
    words = source.words.replace(listed_classes(source.classes), listed_classes(classes))
    smaller = replace(source, records=records, classes=classes, words=words)
    return smaller, [Notice(text, "warning", code="empty_class")]


def _first_of(problems: Sequence[Problem]) -> str:
    """The first thing that cannot be used, and how many more there are."""
    more = f" The same of {len(problems) - 1:,} more." if len(problems) > 1 else ""
    return f"{problems[0].message}{more}" if problems else ""


def _require_classes(data: DataSplits, problems: Sequence[Problem]) -> None:
    """Raise if a class has no image in train.

    Raises:
        DataError: Naming it.
    """
    if target_kind(data.task) is TargetKind.CLASS:
        gone = [name for name, n in zip(data.classes, data.class_counts("train") or (), strict=True) if not n]
        if gone:
            why = next((p.message for p in problems if p.file and p.file.parent.name == gone[0]), "")
            raise DataError(
                f"No readable image is left of class {gone[0]!r} in train. Add some, or leave it out. {why}".rstrip()
            )


_LEFT_OUT = {  # one, several
    "unreadable": ("unreadable image", "unreadable images"),
    "missing_label": ("image without label", "images without label"),
    "missing_image": ("label without image", "labels without image"),
    "image_alone": ("image without mask", "images without mask"),
    "mask_alone": ("mask without image", "masks without image"),
    "conflict": ("contradictory row", "contradictory rows"),
    "extra_class": ("image of a class that train lacks", "images of a class that train lacks"),
    "contradiction": ("image with contradicting labels", "images with contradicting labels"),
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
    path, about_path = unpacked(path, progress, options)
    root, source = _of_path(path, task, options, progress)
    records, about_groups = grouped_by_name(source.records, options)
    kept = {split: tuple(rows) for split, rows in records.items()}
    return root, replace(source, records=kept, notices=(*about_path, *source.notices, *about_groups))


def _of_path(path: str, task: str, options: ReadOptions, progress: OnProgress) -> tuple[Path, Source]:
    if Path(path).suffix.lower() in TABLE_SUFFIXES and Path(path).expanduser().is_file():
        table = Path(path).expanduser().absolute()
        return table.parent, _of_tables(table.parent, {"": table}, task, options, progress)
    found = look_into(path, options)
    layout = found.layout_for(task)
    if layout == "objects":
        assert found.objects is not None
        return found.root, read_objects(found.root, found.objects, task, options, progress)
    if layout == "table":
        return found.root, _of_tables(found.root, choose_tables(found.root), task, options, progress)
    if layout == "masks":
        source = read_mask_folders(found.root, found.pairs, options, progress)
        said = (_TOLD_BY_CONTENT,) if found.is_told_by_content else ()
        return found.root, replace(source, notices=(*said, *source.notices))
    return found.root, read_class_folders(found, options)


_TOLD_BY_CONTENT = Notice(
    "The two folders hold files of the same names, the second with few values in each: they are taken for images and "
    "their masks.",
    "warning",
    (Remedy("take them for two classes", {"task": "classification", "data.layout": "classes"}),),
    "masks_by_content",
)


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


def _split(
    source: Source, root: Path, problems: Sequence[Problem], *, val_fraction: float, seed: int
) -> dict[str, tuple[Record, ...]]:
    """Records of train, val and, where there is one, test.

    Raises:
        DataError: If train or val would be empty, or a class has no image in train.
    """
    records = dict(source.records)
    if UNSPLIT in records:
        records["train"] = records.pop(UNSPLIT)
    if not records.get("train"):
        why = _first_of(problems) or "Add some."
        raise DataError(f"{root} has no usable image to train on. {why}")
    if "val" not in records:
        records["train"], records["val"] = split_records(
            records["train"], val_fraction=val_fraction, seed=seed, names=source.classes
        )
    if not records["val"]:
        raise DataError(
            f"{root} has no usable image in val. Add some, or leave val out to have train divided. "
            f"{_first_of(problems)}".rstrip()
        )
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
        ("missing_label", "missing_image", "image_alone", "mask_alone", "conflict", "extra_class"),
        "things in the data lack their image, label or mask",
        "Correct the data, or set data.on_missing=skip to leave such out.",
    ),
    _Choice(
        "on_contradiction",
        ("contradiction",),
        "equal files have different labels",
        "Correct them, or set data.on_contradiction=skip to leave all of them out, or =keep.",
    ),
    _Choice(
        "mask_unknown",
        ("unknown_value",),
        "values in the masks are no class",
        "Correct the masks, or set data.mask_unknown=ignore to leave such pixels out, or =nearest.",
    ),
    _Choice(
        "mask_orientation",
        ("turned_mask",),
        "masks of pictures that are stored turned may be turned as well",
        "Set data.mask_orientation=stored to turn masks with their pictures, or =upright to take them as they are.",
    ),
    _Choice(
        "mask_resize",
        ("size_mismatch",),
        "masks are not of the size of their image",
        "Make them equal, or set data.mask_resize=true.",
    ),
)


def is_settled(kind: str, options: ReadOptions) -> bool:
    """Whether the user chose to live with a kind of problem."""
    return all(getattr(options, c.option) not in ("stop", False, "auto") for c in _CHOICES if kind in c.kinds)


def refuse(problems: Sequence[Problem], options: ReadOptions) -> None:
    """Raise for the problems that the user did not choose to live with.

    Raises:
        DataError: Naming up to five of one kind.
    """
    for choice in _CHOICES:
        of_kind = [p.message for p in problems if p.kind in choice.kinds and not is_settled(p.kind, options)]
        if not of_kind:
            continue
        if len(of_kind) == 1:
            raise DataError(f"{of_kind[0]} {choice.remedy}".strip())
        shown = "".join(f"\n  {message}" for message in of_kind[:5])
        more = f"\n  and {len(of_kind) - 5:,} more" if len(of_kind) > 5 else ""
        raise DataError(f"{len(of_kind):,} {choice.what}:{shown}{more}\n{choice.remedy}".strip())


def verify(source: Source, options: ReadOptions, progress: OnProgress) -> tuple[Source, list[Problem]]:
    """``source`` without images that cannot be opened, and a problem for each.

    Args:
        source: As read.
        options: With ``on_unreadable=skip`` every image is decoded; else header and end of the file are looked at.
        progress: Called as ``progress(what, done, total)``.
    """
    images = [r.image for records in source.records.values() for r in records]
    sizes = image_sizes(images, thoroughly=options.on_unreadable == "skip", progress=progress)
    problems = [Problem("unreadable", found, image) for image, found in sizes.items() if isinstance(found, str)]
    kept = {
        split: tuple(r for r in records if not isinstance(sizes[r.image], str))
        for split, records in source.records.items()
    }
    if source.mask_coding is not None:
        problems += _mismatches(kept, sizes, options, progress)
    return replace(source, records=kept), problems


def _mismatches(
    records: Mapping[str, tuple[Record, ...]],
    sizes: Mapping[Path, Size | str],
    options: ReadOptions,
    progress: OnProgress,
) -> list[Problem]:
    """Masks of another size than their image, and those that may be turned; their facts are known already."""
    pairs = [(r.image, r.target) for rows in records.values() for r in rows if isinstance(r.target, Path)]
    facts = dict(zip([m for _, m in pairs], mask_facts([mask for _, mask in pairs], progress), strict=True))
    masks: dict[Path, Size] = {mask: tuple(fact["size"]) for mask, fact in facts.items() if "size" in fact}
    turned = find_turned(pairs, sizes, masks)
    out = ask_of_turned(turned) if options.mask_orientation == "auto" else []
    as_stored = {t.mask for t in turned if t.fits_upright is False} if options.mask_orientation != "upright" else set()
    for image, mask in pairs:
        if masks.get(mask, sizes[image]) != sizes[image] and mask not in as_stored:
            (width, height), (image_width, image_height) = masks[mask], sizes[image]
            what = f"Mask {mask} is {width} x {height} pixels, its image {image} is {image_width} x {image_height}."
            out.append(Problem("size_mismatch", what, mask))
    return out
