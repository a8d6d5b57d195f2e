"""Images with masks become records: folders matched, masks read, values made classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from fine_tuner.data.files.folders import Passed, Progress
from fine_tuner.data.masks.colour_tables import find_class_names, find_colour_table
from fine_tuner.data.masks.values import MaskScan, class_pixels, decide_classes, scan_masks
from fine_tuner.data.options import ReadOptions
from fine_tuner.data.readers.mask_folders import FolderPair, read_pairs
from fine_tuner.data.records import Record
from fine_tuner.data.source import UNSPLIT, Problem, Source


def read_mask_folders(root: Path, pairs: Mapping[str, FolderPair], options: ReadOptions, progress: Progress) -> Source:
    """Records of folders that ``find_folder_pairs`` found.

    Raises:
        DataError: If nothing matches, or the masks hold no classes.
    """
    passed = Passed()
    found = read_pairs(pairs, passed)
    problems = [
        problem
        for pair in found.values()
        for problem in (
            *(Problem("image_alone", f"Image {p} has no mask.", p) for p in pair.images_alone),
            *(Problem("mask_alone", f"Mask {p} has no image.", p) for p in pair.masks_alone),
        )
    ]
    records = {split: pair.records for split, pair in found.items()}
    first = next(iter(pairs.values()))
    where = f"{first.images.name}/ and {first.masks.name}/"
    if UNSPLIT not in records:
        where += f" in {', '.join(records)}"
    source = with_classes(root, records, options, progress, words=f"images with masks in {where}")
    return replace(source, notices=(*source.notices, *passed.notices()), problems=(*problems, *source.problems))


def with_classes(
    root: Path,
    records: Mapping[str, Sequence[Record]],
    options: ReadOptions,
    progress: Progress,
    *,
    words: str,
    names: tuple[str, ...] = (),
) -> Source:
    """Reads the masks of ``records`` and decides their classes; records whose mask cannot be read become problems.

    Raises:
        DataError: If the masks hold no classes.
    """
    beside = (root, *(p for p in (root / "masks", root.parent) if p.is_dir()))
    colours = find_colour_table(beside, options.colour_table)
    masks = [r.target for rows in records.values() for r in rows if isinstance(r.target, Path)]
    scan = scan_masks(masks, has_colour_table=bool(colours), progress=progress)
    decided = decide_classes(scan, options, colours=colours, listed_names=names or find_class_names(beside))
    kept, problems = _readable(records, scan)
    problems += _unknown_values(scan, decided.coding.values, decided.coding.ignored, decided.coding.written)
    return Source(
        records=kept,
        classes=decided.names,
        words=f"{words}, {decided.words}: {len(decided.names)} classes ({_some(decided.names)})",
        mask_coding=decided.coding,
        mask_pixels={mask: class_pixels(scan, decided.coding, mask) for mask in masks},
        notices=decided.notices,
        problems=tuple(problems),
    )


def _readable(
    records: Mapping[str, Sequence[Record]], scan: MaskScan
) -> tuple[dict[str, tuple[Record, ...]], list[Problem]]:
    kept, problems = {}, []
    for split, rows in records.items():
        kept[split] = tuple(r for r in rows if "error" not in scan.files[r.target])
        bad = [r.target for r in rows if "error" in scan.files[r.target]]
        problems += [Problem("unreadable", scan.files[mask]["error"], mask) for mask in bad]
    return kept, problems


def _unknown_values(scan: MaskScan, values: Sequence[int], ignored: Sequence[int], written: object) -> list[Problem]:
    known = {*values, *ignored}
    return [
        Problem("unknown_value", f"Mask {scan.holders[v]} holds {written(v)}, which is no class.", scan.holders[v])
        for v in sorted(set(scan.counts) - known)
    ]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
