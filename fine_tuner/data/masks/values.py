"""Reading what masks hold, and deciding which value is which class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fine_tuner.base.errors import DataError
from fine_tuner.base.progress import OnProgress
from fine_tuner.base.text import counted
from fine_tuner.data.files.images import load_mask, open_image
from fine_tuner.data.files.scan_cache import Fact, facts_about
from fine_tuner.data.mask_coding import IGNORE_INDEX, MaskCoding, as_values
from fine_tuner.data.masks.instances import ask_if_instances
from fine_tuner.data.notices import MendableError, Notice, Remedy
from fine_tuner.data.options import ReadOptions, names_in

_MAX_CLASSES = 64  # of values as they come; numbered from 0 there may be more: ADE20K has 150
_MAX_NUMBERED_CLASSES = 200
_KEPT_VALUES = 300  # of one file: enough to tell classes from a photograph
NEARER = {"data.mask_values": [0, 255], "data.mask_unknown": "nearest"}
_SMALL_NUMBER = 32  # from here on a value is a grey level rather than the number of a class
_VOC_BORDER = 0xE0E0C0
_VOID = 255  # what VOC, ADE20K and others paint where no class is


@dataclass
class MaskScan:
    """What a set of masks holds.

    Attributes:
        files: The facts about each file: ``error``, or ``size``, ``kind``, ``values``, ``palette``.
        is_colours: The values below are colours ``0xRRGGBB``.
        counts: Value to number of pixels, over all files.
        holders: Value to an example of a file that holds it.
    """

    files: dict[Path, Fact]
    is_colours: bool
    counts: Counter[int] = field(default_factory=Counter)
    holders: dict[int, Path] = field(default_factory=dict)

    def values_of(self, path: Path) -> dict[int, int]:
        """Value to pixels of one file; empty if it cannot be read."""
        return file_values(self.files[path], is_colours=self.is_colours)


def look_at_mask(path: Path) -> Fact:
    """Facts about one mask file."""
    try:
        with open_image(path) as image:
            kind, palette = image.mode, image.getpalette("RGB") if image.mode == "P" else None
        mask = load_mask(path)
    except DataError as error:
        return {"error": str(error)}
    kind = "colours" if mask.ndim == 3 else "palette" if kind == "P" else "grey"
    values, counts = np.unique(as_values(mask, is_colours=False), return_counts=True)
    kept = np.argsort(-counts, kind="stable")[:_KEPT_VALUES]
    used = {str(v): _colour(palette, v) for v in values.tolist()} if palette else {}
    return {
        "size": [mask.shape[1], mask.shape[0]],
        "kind": kind,
        "distinct": len(values),
        "values": {str(values[i]): int(counts[i]) for i in kept},
        "palette": used,
    }


def _colour(palette: Sequence[int], index: int) -> int:
    red, green, blue = palette[3 * index : 3 * index + 3] if 3 * index + 3 <= len(palette) else (0, 0, 0)
    return (red << 16) | (green << 8) | blue


def file_values(fact: Fact, *, is_colours: bool) -> dict[int, int]:
    """Value to pixels of one file, as colours if so wanted; empty if it could not be read."""
    out: Counter[int] = Counter()
    for text, count in fact.get("values", {}).items():
        value = int(text)
        if is_colours and fact["kind"] == "palette":
            value = fact["palette"][text]
        elif is_colours and fact["kind"] == "grey":
            value = value * 0x010101
        out[value] += count
    return dict(out)


def mask_facts(paths: Sequence[Path], progress: OnProgress) -> list[Fact]:
    """The facts of ``look_at_mask`` about each mask; remembered between runs."""
    return facts_about(paths, look_at_mask, kind="mask 1", what="Reading masks", progress=progress)


def scan_masks(paths: Sequence[Path], *, has_colour_table: bool, progress: OnProgress) -> MaskScan:
    """Look at all masks."""
    facts = mask_facts(paths, progress)
    files = dict(zip(paths, facts, strict=True))
    kinds = {f["kind"] for f in facts if "error" not in f}
    # Indices that agree are certain, and two of them may have one colour (VOC's void is often as black as background).
    are_indices = kinds == {"palette"} and _palettes_agree(facts)
    is_colours = not are_indices and (has_colour_table or "colours" in kinds or not _palettes_agree(facts))
    scan = MaskScan(files, is_colours)
    for path in paths:
        for value, count in scan.values_of(path).items():
            scan.counts[value] += count
            scan.holders.setdefault(value, path)
    return scan


def _palettes_agree(facts: Sequence[Fact]) -> bool:
    """Whether an index has one colour in all files; some programs number the colours of each file anew."""
    seen: dict[str, int] = {}
    return all(seen.setdefault(index, c) == c for f in facts for index, c in f.get("palette", {}).items())


@dataclass(frozen=True)
class MaskClasses:
    """What was decided about the masks of a data set."""

    coding: MaskCoding
    names: tuple[str, ...]
    words: str
    notices: tuple[Notice, ...]


def decide_classes(
    scan: MaskScan, options: ReadOptions, *, colours: Mapping[str, int], listed_names: tuple[str, ...]
) -> MaskClasses:
    """Which value is which class.

    Args:
        scan: What the masks hold.
        options: The user's corrections.
        colours: Class name to colour, if there is a table.
        listed_names: Names found beside the data, used if their number fits.

    Raises:
        DataError: If the values are no classes (one only, or as many as in a photograph), or names do not fit.
    """
    ignored = tuple(options.mask_ignore or ())
    names = names_in(options.class_names)
    notices: list[Notice] = []
    if colours and not scan.is_colours:
        values, words = _indices_of(colours, scan), "palette indices, named by the table"
        names = names or tuple(colours)
        if _VOID in scan.counts and _VOID not in (*values, *ignored):
            ignored = (*ignored, _VOID)
            notices.append(_about_void(scan))
    elif colours:
        values, words = tuple(colours.values()), "colours of the table"
        names = names or tuple(colours)
        if _VOC_BORDER in scan.counts and _VOC_BORDER not in (*values, *ignored):
            ignored = (*ignored, _VOC_BORDER)
            notices.append(
                Notice('The colour #e0e0c0 of the borders in Pascal VOC is taken for "no class" and ignored.')
            )
    elif options.mask_values:
        values, words = tuple(options.mask_values), "the values given"
    else:
        present = {v: n for v, n in scan.counts.items() if v not in ignored}
        values, ignored, words, doubts = _found(scan, present, ignored, len(names or listed_names))
        notices += doubts
        if _VOID in ignored and _VOID not in (options.mask_ignore or ()):
            notices.append(_about_void(scan))
        if not scan.is_colours:
            notices += _about_greys(list(_sets_of(scan, ignored).values()))
    if names and len(names) != len(values):
        raise DataError(
            f"data.class_names has {counted(len(names), 'name')}, the masks have {counted(len(values), 'class')} "
            f"({words}). Give one name per class."
        )
    notices += _about_empty(scan, ignored)
    if not names and len(listed_names) == len(values):
        names = listed_names
    coding = MaskCoding(
        values,
        scan.is_colours,
        ignored,
        options.mask_unknown,
        options.mask_resize,
        options.mask_orientation == "stored",
    )
    return MaskClasses(coding, names or _default_names(coding), words, tuple(notices))


def _about_void(scan: MaskScan) -> Notice:
    share = scan.counts[_VOID] / scan.counts.total()
    return Notice(f'Value 255 is taken for "no class" and ignored ({share:.1%} of the pixels).')


def _about_empty(scan: MaskScan, ignored: Sequence[int]) -> list[Notice]:
    """Masks of ignored pixels only."""
    empty = [path for path in scan.files if (values := scan.values_of(path)) and set(values) <= set(ignored)]
    if not empty:
        return []
    text = (
        f"{counted(len(empty), 'mask')} with no pixel of any class, such as {empty[0]}: nothing is learned from such."
    )
    return [Notice(text, "warning", code="empty_masks")]


def _indices_of(colours: Mapping[str, int], scan: MaskScan) -> tuple[int, ...]:
    """The palette index of each colour of a table, the lowest of several; of an unused one its place in the table."""
    index_of: dict[int, int] = {}
    for fact in scan.files.values():
        for index, colour in fact.get("palette", {}).items():
            index_of[colour] = min(int(index), index_of.get(colour, int(index)))
    taken = {index_of[c] for c in colours.values() if c in index_of}
    free = (i for i in range(1024) if i not in taken and i not in scan.counts)
    places = [k if k not in taken and k not in scan.counts else None for k in range(len(colours))]
    found = [index_of.get(c, place) for c, place in zip(colours.values(), places, strict=True)]
    used = {v for v in found if v is not None}
    return tuple(v if v is not None else next(i for i in free if i not in used) for v in found)


def _found(
    scan: MaskScan, present: Mapping[int, int], ignored: tuple[int, ...], num_names: int
) -> tuple[tuple[int, ...], tuple[int, ...], str, list[Notice]]:
    """Values of the classes, values to ignore, what they are in words, and what may be otherwise."""
    values = sorted(present)
    if len(values) < 2:
        raise DataError(
            f"All masks hold the value {values[0] if values else 'none'} only; segmentation needs two classes or more. "
            "Check that these are the masks."
        )
    sets = _sets_of(scan, ignored)
    if not scan.is_colours:
        _ask_if_mixed(scan, list(sets.values()))
    doubts = ask_if_instances(sets, is_colours=scan.is_colours, num_names=num_names)
    _refuse_many(scan, values, present)
    if scan.is_colours:
        return tuple(values), ignored, "colours", doubts
    if values in ([0, 1], [0, _VOID]):
        return tuple(values), ignored, f"0 and {values[1]}", doubts
    if not _is_numbered(values):
        return tuple(values), ignored, "grey values", doubts
    others = [v for v in values if v != _VOID]
    if len(others) == 1:
        _ask_of_background(others[0])
    if _VOID in values:
        ignored = (*ignored, _VOID)
    if others[0] != 0:  # numbered from 1
        return tuple(range(others[0], others[-1] + 1)), ignored, f"numbers {others[0]} to {others[-1]}", doubts
    last = max(others[-1], num_names - 1)
    return tuple(range(last + 1)), ignored, f"numbers 0 to {last}", doubts


def _sets_of(scan: MaskScan, ignored: Sequence[int]) -> dict[Path, set[int]]:
    """What each mask holds, without what is ignored; those that hold nothing else are left out."""
    sets = {path: {v for v in scan.values_of(path) if v not in ignored} for path in scan.files}
    return {path: values for path, values in sets.items() if values}


def _ask_of_background(value: int) -> None:
    """Masks of one small value and 255: if that were "no class", there would be nothing to tell apart.

    Raises:
        MendableError: Always.
    """
    raise MendableError(
        f"The masks hold {value} and 255 only. Which of the two is the background cannot be told.",
        remedies=[
            Remedy(f"take 255 for the background and {value} for the object", {"data.mask_values": [_VOID, value]}),
            Remedy(f"take {value} for the background and 255 for the object", {"data.mask_values": [value, _VOID]}),
        ],
    )


def _ask_if_mixed(scan: MaskScan, sets: Sequence[set[int]]) -> None:
    """Masks of background and one value each, but a small one in some and a large one in others: 1 here, 255 there.

    With several values each, 1 and 2 here, 127 and 255 there, it is the same question.

    Raises:
        MendableError: If no file tells whether these are one class or several.
    """
    _ask_if_scaled([s - {0} for s in sets])
    large = sorted({v for s in sets if 0 in s and len(s) == 2 for v in s if v >= _SMALL_NUMBER})
    others = sorted(set().union(*sets) - {0, _VOID, *large})
    if not large or not others or others[-1] >= _SMALL_NUMBER or any(s & set(large) and s & set(others) for s in sets):
        return  # both in one file: they mean different things
    choices = [Remedy(f"take {_listed(large)} for classes of their own", {"data.mask_values": [0, *others, *large]})]
    if large == [_VOID]:
        choices = [Remedy('take 255 for "no class"', {"data.mask_ignore": [_VOID]})]
    if len(others) == 1:
        one = {"data.mask_values": [0, others[0]], "data.mask_unknown": "nearest"}
        choices.insert(0, Remedy(f"say that {_listed(large)} means {others[0]}", one))
    odd = next(p for p in scan.files if set(scan.values_of(p)) == {0, large[0]})
    raise MendableError(
        f"Some masks hold 0 and {large[0]} (such as {odd}), others {_listed([0, *others])} (such as "
        f"{scan.holders[others[0]]}). Whether {large[0]} is the same class cannot be told.",
        remedies=choices,
    )


def _ask_if_scaled(sets: Sequence[set[int]]) -> None:
    """Numbers of classes in some masks, greys in others, several in a file, and in none of them both.

    Raises:
        MendableError: If that is so.
    """
    numbers = sorted(set().union(*(s for s in sets if s and max(s) < _SMALL_NUMBER)))
    greys = sorted(set().union(*(s for s in sets if s and min(s) >= _SMALL_NUMBER)))
    are_both = any(s and min(s) < _SMALL_NUMBER <= max(s) for s in sets)
    if are_both or not numbers or len(greys) < 2 or not any(len(s) > 1 and min(s) >= _SMALL_NUMBER for s in sets):
        return
    if _is_numbered([*numbers, *greys]):
        return
    own = Remedy("take each for a class of its own", {"data.mask_values": [0, *numbers, *greys]})
    raise MendableError(
        f"Some masks hold {_listed(numbers)} besides 0, others {_listed(greys)}, none of them both. Whether those are "
        "the same classes cannot be told. If they are, save all masks alike.",
        remedies=[own],
    )


def _about_greys(sets: Sequence[set[int]]) -> list[Notice]:
    """A notice where every mask holds 0 and one grey, not the same in all: that may be one class."""
    foregrounds = sorted({v for s in sets for v in s if v})
    if len(foregrounds) < 2 or foregrounds[0] < _SMALL_NUMBER or any(len(s - {0}) > 1 for s in sets):
        return []
    one = {"data.mask_values": [0, foregrounds[0]], "data.mask_unknown": "nearest"}
    text = (
        f"Masks hold one grey each besides 0, not the same in all: {_listed(foregrounds)}. Each is taken for a class."
    )
    return [Notice(text, "warning", (Remedy("take them for one", one),), "greys")]


def _listed(values: Sequence[int]) -> str:
    shown = [str(v) for v in values[:6]] + (["..."] if len(values) > 6 else [])
    return " and ".join(shown) if len(shown) == 2 else ", ".join(shown)


def _refuse_many(scan: MaskScan, values: Sequence[int], present: Mapping[int, int]) -> None:
    """Masks whose values are not classes: soft edges, JPEG, or photographs."""
    total = sum(present.values())
    ends = [v for v in values if v in (0, _VOID)]
    share = sum(present[v] for v in ends) / total
    if len(ends) == 2 and len(values) > 3 and share > 0.9 and not scan.is_colours and values[-2] > 31:
        odd = next(v for v in values if v not in ends)
        raise MendableError(
            f"The masks hold 0 and 255 ({share:.1%} of the pixels), but also {len(values) - 2} values between them, "
            f"such as {odd} in {scan.holders[odd]}: soft edges or JPEG. Save them without smoothing, or choose.",
            remedies=[Remedy("take the nearer of 0 and 255", NEARER)],
        )
    if len(values) > (_MAX_NUMBERED_CLASSES if _is_numbered(values) and not scan.is_colours else _MAX_CLASSES):
        what = "colours" if scan.is_colours else "values"
        busiest = max(scan.files, key=lambda p: scan.files[p].get("distinct", 0))
        raise DataError(
            f"The masks hold {len(values):,} different {what} ({scan.files[busiest]['distinct']:,} of them in "
            f"{busiest} alone): more like photographs than classes. Check that these are the masks, or give "
            "data.mask_values or data.colour_table with data.mask_unknown=nearest."
        )


def _is_numbered(values: Sequence[int]) -> bool:
    """Whether values are numbers of classes, 255 aside: small, and few left out."""
    others = [v for v in values if v != _VOID]
    return others[-1] < max(32, 2 * len(others))


def _default_names(coding: MaskCoding) -> tuple[str, ...]:
    values = coding.values
    if len(values) == 2 and values[0] == 0 and not coding.is_colours:
        return ("background", "foreground")
    if values == tuple(range(len(values))):
        return tuple(f"class {v}" for v in values)
    return tuple(coding.written(v) for v in values)


def class_pixels(scan: MaskScan, coding: MaskCoding, path: Path) -> tuple[int, ...]:
    """Pixels of each class in one mask."""
    totals = scan.values_of(path)
    classes = coding.classes_of_values(np.array(list(totals), dtype=np.int64)) if totals else np.array([], np.uint8)
    counts = np.bincount(classes, np.array(list(totals.values())), minlength=IGNORE_INDEX + 1)
    return tuple(int(n) for n in counts[: len(coding.values)])
