"""Dividing records into training and validation: stratified, seeded, groups kept together."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence

import numpy as np

from fine_tuner.base.errors import DataError
from fine_tuner.data.records import Record


def split_records(
    records: Sequence[Record],
    *,
    val_fraction: float,
    seed: int,
    names: Sequence[str] = (),
) -> tuple[tuple[Record, ...], tuple[Record, ...]]:
    """Train and validation records, both in the order given.

    Integer targets are stratified: each class gives ``val_fraction`` of its images, at least one. Numbers are
    stratified by fifths of the first number. Records with a group move with their group. Each group or record is drawn
    by a hash of its own name and the seed, so that new files leave the place of the old ones nearly as it was.

    Args:
        records: All labelled images.
        val_fraction: Share for validation, between 0 and 1.
        seed: Another seed gives another split.
        names: Class names, for messages.

    Raises:
        DataError: If a class, or the whole, is too small to give to both splits.
    """
    units: dict[Hashable, list[int]] = defaultdict(list)
    for position, record in enumerate(records):
        units[("group", record.group) if record.group is not None else position].append(position)
    if len(units) < 2:
        what = "group" if any(r.group is not None for r in records) else "image"
        raise DataError(
            f"There is only {len(units)} {what}: too few to keep some for validation. Add images, or a val folder."
        )
    strata = _strata(records, units)
    root = _common_root(records)
    chosen: set[int] = set()
    for stratum, members in strata.items():
        if len(members) < 2:
            _refuse_small(stratum, names)
            continue
        ordered = sorted(members, key=lambda unit: _hash(seed, records[units[unit][0]], root))
        wanted = sum(len(units[u]) for u in members) * val_fraction
        taken = 0
        for unit in ordered[: len(ordered) - 1]:
            if taken and taken + len(units[unit]) / 2 > wanted:
                break
            chosen.update(units[unit])
            taken += len(units[unit])
    if not chosen:  # every stratum was of one: take whole units by hash
        ordered = sorted(units, key=lambda unit: _hash(seed, records[units[unit][0]], root))
        for unit in ordered[: max(1, round(len(ordered) * val_fraction))]:
            chosen.update(units[unit])
    train = tuple(r for i, r in enumerate(records) if i not in chosen)
    val = tuple(r for i, r in enumerate(records) if i in chosen)
    return train, val


def _strata(records: Sequence[Record], units: dict[Hashable, list[int]]) -> dict[Hashable, list[Hashable]]:
    key = _stratum_of(records)
    strata: dict[Hashable, list[Hashable]] = defaultdict(list)
    for unit, members in units.items():
        strata[key(records[members[0]])].append(unit)
    return strata


def _stratum_of(records: Sequence[Record]) -> Callable[[Record], Hashable]:
    """What is to be as frequent in validation as in training."""
    first = records[0].target
    if isinstance(first, int):
        return lambda record: record.target
    if isinstance(first, tuple):
        values = np.array([r.target[0] for r in records])
        if set(np.unique(values)) <= {0.0, 1.0}:  # labels: as many as possible of each combination
            return lambda record: "labels"
        edges = np.quantile(values, [0.2, 0.4, 0.6, 0.8]) if len(records) >= 25 else np.array([])
        return lambda record: int(np.searchsorted(edges, record.target[0]))
    return lambda record: "all"


def _refuse_small(stratum: Hashable, names: Sequence[str]) -> None:
    if isinstance(stratum, int) and names:
        raise DataError(
            f"Class {names[stratum]!r} has a single image or group: too few to be in training and validation. Add "
            "images to it, leave the class out, or give a val folder."
        )


def _common_root(records: Sequence[Record]) -> int:
    """Number of leading path parts that all images share, so that a moved folder splits in the same way."""
    parts = [r.image.parts for r in (min(records, key=_path), max(records, key=_path))]
    shared = 0
    for one, other in zip(*parts, strict=False):
        if one != other:
            break
        shared += 1
    return shared


def _path(record: Record) -> tuple[str, ...]:
    return record.image.parts


def _hash(seed: int, record: Record, root: int) -> bytes:
    name = record.group if record.group is not None else "/".join(record.image.parts[root:])
    return hashlib.sha256(f"{seed}/{name}".encode("utf-8", "surrogateescape")).digest()
