"""Pictures that are there more than once: which are left out of train, and which contradict each other.

One place decides, for the check and for training, so that what is announced is what is done.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from fine_tuner.base.progress import OnProgress
from fine_tuner.data.files.image_scan import ImageFacts, Twins, equal_files, find_twins, scan_images
from fine_tuner.data.options import Problem
from fine_tuner.data.records import DataSplits, Record


def contradictions(records: Mapping[str, Sequence[Record]], progress: OnProgress) -> list[Problem]:
    """A problem for every file of which an equal file, byte for byte, has another class or other labels."""
    rows = [r for several in records.values() for r in several if not isinstance(r.target, Path)]
    by_file: dict[Path, Record] = {r.image: r for r in rows}
    paths = list(by_file)
    if not paths:
        return []
    groups: dict[int, list[int]] = defaultdict(list)
    for first, other in equal_files(paths, progress):
        groups[first].append(other)
    out = []
    for first, others in groups.items():
        files = [paths[i] for i in (first, *others)]
        if len({by_file[f].target for f in files}) > 1:
            out += [Problem("contradiction", _words(file, files, by_file), file) for file in files]
    return out


def _words(file: Path, files: Sequence[Path], by_file: Mapping[Path, Record]) -> str:
    other = next(f for f in files if by_file[f].target != by_file[file].target)
    return f"{file} is the same file as {other}, which has another label."


def train_duplicates(data: DataSplits, twins: Iterable[Twins]) -> set[Path]:
    """Images of train that val or test holds as well.

    Args:
        data: As split.
        twins: Pairs of positions in ``all_images(data)``.
    """
    places = [(split, r.image) for split, records in data.splits.items() for r in records]
    parents = list(range(len(places)))

    def root(i: int) -> int:
        while parents[i] != i:
            parents[i] = parents[parents[i]]
            i = parents[i]
        return i

    for pair in twins:
        parents[root(pair.second)] = root(pair.first)
    held = {root(i) for i, (split, _) in enumerate(places) if split != "train"}
    return {image for i, (split, image) in enumerate(places) if split == "train" and root(i) in held}


def all_images(data: DataSplits) -> list[Path]:
    """Every image, split after split."""
    return [r.image for records in data.splits.values() for r in records]


def without_duplicates(data: DataSplits, progress: OnProgress) -> tuple[DataSplits, int]:
    """``data`` without the images of train that val or test holds as well, and how many those were."""
    paths = all_images(data)
    facts: Mapping[Path, ImageFacts] = scan_images(paths, progress)
    dropped = train_duplicates(data, find_twins(paths, facts, progress))
    kept = tuple(r for r in data.splits["train"] if r.image not in dropped)
    return replace(data, splits={**data.splits, "train": kept}), len(dropped)
