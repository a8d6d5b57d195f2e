"""Groups told by the names of files and folders: frames of one recording, photographs of one patient."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from fine_tuner.base.text import counted
from fine_tuner.data.files.folders import composed
from fine_tuner.data.notices import Notice, Remedy
from fine_tuner.data.options import UNSPLIT, ReadOptions
from fine_tuner.data.records import Record

# A name, a number of it, then the number of the picture: video0_frame03, patient12-slice4, P007_2.
_NUMBERED = re.compile(r"^(?P<group>.*?\d[^\d]*?|.*?[^\d\W_])[ _.\-(]+[^\d\W_]*[ _.\-]?(?P<number>\d+)$")
_TAIL = re.compile(r"\)$|(?<=\d)[ _.\-][^\W\d_]+$")  # vid3 (2), P3_frame2_left
_GOES_ON = re.compile(r"(?<=\w)[ _.\-(]+(?=[^\W_])")
_LEAST_GROUPS = 2
_LEAST_VARIANTS = 3
_LEAST_SHARE = 0.1
TO_GROUPS = Remedy("keep such images in one split", {"data.group_by_name": True})


def group_of(stem: str) -> str | None:
    """What the name is without its last number; None if it has none.

    >>> group_of("video0_frame03"), group_of("P007-2"), group_of("cat_012"), group_of("17"), group_of("leaf")
    ('video0', 'p007', 'cat', None, None)
    """
    match = _NUMBERED.match(_TAIL.sub("", composed(stem)))
    return match["group"].lower() if match else None


def grouped_by_name(
    records: Mapping[str, Sequence[Record]], options: ReadOptions
) -> tuple[dict[str, list[Record]], list[Notice]]:
    """Records with the groups that their names tell where the user wants them, else a notice if there seem to be some.

    The folders below the class folders tell them first, as those of patients do; then the numbers in the names; then
    names that go on where another one ends. Only where the data has no val split of its own: what the user has divided
    is not divided again.
    """
    own = {split: list(rows) for split, rows in records.items()}
    split = UNSPLIT if UNSPLIT in own else "train"
    if "val" in own:
        return own, []
    rows = own[split]
    numbered = [group_of(r.image.stem) for r in rows]
    variants = _originals(rows)
    if options.group_by_name:
        names = _inner_folders(rows) or (variants if variants and not _seem_grouped(rows, numbered) else numbered)
        own[split] = [
            r if r.group is not None or name is None else replace(r, group=name)
            for r, name in zip(rows, names, strict=True)
        ]
        found = {r.group for r in own[split] if r.group is not None}
        return own, [Notice(f"Images are kept together by their names: {counted(len(found), 'group')}.")]
    if any(r.group is not None for r in rows):
        return own, []
    if _seem_grouped(rows, numbered):
        return own, [_about_recordings(numbered)]
    return own, [_about_variants(rows, variants)] if variants else []


def _about_recordings(names: Sequence[str | None]) -> Notice:
    example = next(name for name in names if name)
    groups = {name for name in names if name}
    text = (
        f"Names look like {counted(len(groups), 'recording')} of several pictures each, such as {example!r}: some of a "
        "recording in training and some in validation make validation look better than the network is."
    )
    return Notice(text, "warning", (TO_GROUPS,), "name_groups")


def _about_variants(records: Sequence[Record], originals: Sequence[str]) -> Notice:
    named = [r.image.name for r, name in zip(records, originals, strict=True) if name != _folded(r)]
    text = (
        f"{counted(len(named), 'picture')} named after another one, such as {named[0]!r}, which may be that one turned "
        "or copied: one in training and the other in validation make validation look better than the network is."
    )
    return Notice(text, "warning", (TO_GROUPS,), "name_variants")


def _folded(record: Record) -> str:
    return composed(record.image.stem).lower()


def _originals(records: Sequence[Record]) -> list[str]:
    """For each picture the name that its own goes on from, else its own; empty if hardly any does.

    ``x_rot`` and ``x - Copy`` are made of ``x`` where that is a picture of the same class.
    """
    stems = {(_class_of(r), _folded(r)) for r in records}
    out, found = [], 0
    for record in records:
        own = _folded(record)
        starts = [own[: match.start()] for match in _GOES_ON.finditer(own)]
        original = next((start for start in starts if (_class_of(record), start) in stems), own)
        found += original != own
        out.append(original)
    return out if found >= max(_LEAST_VARIANTS, _LEAST_SHARE * len(records)) else []


def _class_of(record: Record) -> object:
    return record.target if isinstance(record.target, int) else "all"


def _inner_folders(records: Sequence[Record]) -> list[str]:
    """The folder of each picture, where each class has several of its own; else empty."""
    of_class: dict[int, set[str]] = defaultdict(set)
    for record in records:
        if isinstance(record.target, int):
            of_class[record.target].add(str(record.image.parent))
    are_own = sum(map(len, of_class.values())) == len(set().union(*of_class.values()))
    if not of_class or not are_own or any(len(folders) < _LEAST_GROUPS for folders in of_class.values()):
        return []
    return [str(record.image.parent) for record in records]


def _seem_grouped(records: Sequence[Record], names: Sequence[str | None]) -> bool:
    """Whether nearly all names have a group with a number of its own, several to a class and several pictures each."""
    if not names or sum(name is not None for name in names) < 0.9 * len(names):
        return False
    of_class: dict[object, set[str]] = defaultdict(set)
    for record, name in zip(records, names, strict=True):
        if name:
            of_class[record.target if isinstance(record.target, int) else "all"].add(name)
    groups = {name for several in of_class.values() for name in several}
    are_several = all(len(several) >= _LEAST_GROUPS for several in of_class.values())
    are_numbered = sum(any(c.isdigit() for c in name) for name in groups) >= 0.9 * len(groups)
    return are_several and are_numbered and len(names) >= 3 * len(groups)
