"""Drawing the validation images: each class, label or fifth of a number as frequent as in the whole."""

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

    Integer targets are stratified: each class gives ``val_fraction`` of its images, at least one. Labels are as well,
    iteratively (``choose_by_labels``). Numbers are stratified by fifths of the first number. Records with a group move
    with their group. Each group or record is drawn by a hash of its own name and the seed, so that new files leave the
    place of the old ones nearly as it was.

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
    root = _common_root(records)
    chosen: set[int] = set()
    if _are_labels(records):
        ordered = sorted(units, key=lambda unit: _hash(seed, records[units[unit][0]], root))
        labels = np.array([np.sum([records[i].target for i in units[unit]], 0) for unit in ordered])
        taken_units = choose_by_labels(labels, np.array([len(units[unit]) for unit in ordered]), val_fraction)
        chosen.update(i for at in taken_units[: len(ordered) - 1] for i in units[ordered[at]])
    strata = {} if chosen else _strata(records, units)
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


def _are_labels(records: Sequence[Record]) -> bool:
    """Whether all targets are numbers of 0 and 1."""
    return all(isinstance(r.target, tuple) and set(r.target) <= {0.0, 1.0} for r in records)


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


def choose_by_labels(labels: np.ndarray, sizes: np.ndarray, share: float) -> list[int]:
    """Which units to keep for validation, so that each label gives ``share`` of its images.

    The rarest label first: each of its units goes to the split that lacks most of that label. A label of at least two
    units is in both splits.

    Args:
        labels: ``(U, K)``: how many images of each unit have each label.
        sizes: ``(U,)``: images of each unit. Units are given in the order in which they are to be drawn.
        share: Of validation, between 0 and 1.

    Returns:
        Positions of the chosen units, ascending.

    Source: Sechidis et al. 2011, algorithm 1, https://doi.org/10.1007/978-3-642-23808-6_10. Differs: ties are broken by
    the order of the units, so that another seed gives another split; and no label with two units is missing in a split.
    """
    totals, units = labels.sum(0).astype(float), (labels > 0).sum(0)
    in_val = np.where(units >= 2, np.clip(share * totals, 1.0, np.maximum(totals - 1.0, 0.0)), share * totals)
    lacking = np.stack([totals - in_val, in_val])  # (2, K): train, val
    room = np.array([(1 - share) * sizes.sum(), share * sizes.sum()])
    split = np.full(len(sizes), -1)

    def place(unit: int, lacks: np.ndarray) -> None:
        best = int(lacks[1] > lacks[0]) if lacks[0] != lacks[1] else int(room[1] > room[0])
        split[unit] = best
        lacking[best] -= labels[unit]
        room[best] -= sizes[unit]

    while (left := (labels[split < 0] > 0).sum(0)).any():
        rarest = int(np.where(left > 0, left, np.iinfo(np.int64).max).argmin())
        for unit in np.flatnonzero((split < 0) & (labels[:, rarest] > 0)):
            place(int(unit), lacking[:, rarest])
    for unit in np.flatnonzero(split < 0):  # without any label
        place(int(unit), room)
    return np.flatnonzero(split == 1).tolist()
