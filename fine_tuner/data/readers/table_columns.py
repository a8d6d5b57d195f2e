"""Which column of a table is the file, which the split, which the labels, and what they can be learned as."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fine_tuner.base.errors import DataError
from fine_tuner.base.registry import suggest
from fine_tuner.config.tasks import CLASSIFICATION, MULTILABEL, REGRESSION, SEGMENTATION, TargetKind, target_kind
from fine_tuner.data.notices import MendableError, Notice, Remedy
from fine_tuner.data.options import ReadOptions, names_in, split_named
from fine_tuner.data.readers.image_index import ImageIndex
from fine_tuner.data.readers.tables import Table, truth

_FILE_NAMES = (
    "file",
    "filename",
    "file_name",
    "image",
    "image_path",
    "img",
    "path",
    "filepath",
    "image_id",
    "image_name",
)
_SPLIT_NAMES = ("split", "subset", "set", "partition", "fold", "usage")
_LABEL_NAMES = (
    "label",
    "class",
    "category",
    "class_name",
    "label_name",
    "species",
    "diagnosis",
    "labels",
    "tags",
    "target",
)
_GROUP_NAMES = ("group", "group_id", "patient", "patient_id", "subject", "subject_id")
_ROW_NUMBER_NAMES = ("", "id", "index", "idx", "row", "column 1", "unnamed: 0")
_SEPARATORS = ("|", ";", ",", " ")
_LEAST_FILLED = 0.5
_SAMPLED_ROWS = 300
_MAX_CLASSES_OF_INTEGERS = 100


@dataclass(frozen=True)
class Columns:
    """What each column of a table is for.

    Attributes:
        file: Names the image.
        split: Says train, val or test; None if there is none.
        group: Equal cells stay in one split; None if there is none.
        labels: What is learned, in order.
        separator: Several labels in one cell are separated by this (multi-label in one column).
        about: What was decided between columns.
    """

    file: str
    split: str | None
    group: str | None
    labels: tuple[str, ...]
    separator: str | None = None
    about: tuple[Notice, ...] = ()


def find_columns(table: Table, index: ImageIndex, task: str, options: ReadOptions) -> Columns:
    """The columns for ``task``, as corrected by ``options``.

    Raises:
        DataError: If a column that was named is not there, or none fits.
    """
    file = _file_column(table, index, options.file_column)
    split = _split_column(table, options.split_column)
    group = _named(table, options.group_column, "data.group_column") if options.group_column else None
    rest = [c for c in table.columns if c not in (file, split, group) and c.lower() not in _GROUP_NAMES]
    given = tuple(_named(table, name, "data.label_columns") for name in names_in(options.label_columns))
    labels = given or _label_columns(table, rest, index, task)
    separator = None
    if target_kind(task) is TargetKind.LABELS and len(labels) == 1 and not table.is_binary(labels[0]):
        separator = _separator_of(table.column(labels[0])) or "|"
    if target_kind(task) is TargetKind.CLASS and len(labels) > 1 and not is_one_hot(table, labels):
        raise DataError(
            f"Classification learns one column, data.label_columns names {len(labels)} ({', '.join(labels)}), of which "
            "not exactly one is 1 in every row. Name one, or choose task=multilabel."
        )
    return Columns(file, split, group, labels, separator, () if given else _about_others(table, rest, labels, task))


def task_of(table: Table, index: ImageIndex, options: ReadOptions) -> str:
    """What the table, or of it the columns that ``options`` names, can be learned as: its most likely task.

    Raises:
        DataError: If a column that was named is not there, or none names the images.
    """
    file = _file_column(table, index, options.file_column)
    split = _split_column(table, options.split_column)
    given = [_named(table, name, "data.label_columns") for name in names_in(options.label_columns)]
    others = (file, split, options.group_column)
    rest = given or [c for c in table.columns if c not in others and c.lower() not in _GROUP_NAMES]
    if len(given) == 1 and not _are_files(table, given[0], index):
        return _task_of_column(table, given[0])
    named = [c for c in rest if c.lower() in _LABEL_NAMES]
    files = [c for c in rest if not table.is_numeric(c) and _are_files(table, c, index)]  # 3 is no file for 3.png
    named = [c for c in named if c not in files]
    if files and (not named or any(map(_MASK_WORDS.search, files))):
        return SEGMENTATION.name  # else they name other pictures, such as the one before
    rest = [c for c in rest if c not in files]
    if len(named) == 1:
        return _task_of_column(table, named[0])
    binary = [c for c in rest if table.is_binary(c)]
    if len(binary) >= 2:
        return (CLASSIFICATION if is_one_hot(table, binary) else MULTILABEL).name
    texts = _words(table, rest)
    if len(texts) == 1:
        return _task_of_column(table, texts[0])
    if texts and not any(map(table.is_numeric, rest)):
        return CLASSIFICATION.name  # which of them is learned will be asked
    return REGRESSION.name


def _task_of_column(table: Table, name: str) -> str:
    values = [v for v in table.column(name) if v]
    if table.is_numeric(name):
        are_integers = all((n := table.number(v)) is not None and n.is_integer() for v in values)
        few = len(set(values)) <= min(_MAX_CLASSES_OF_INTEGERS, max(2, len(values) // 3))
        return (CLASSIFICATION if are_integers and few else REGRESSION).name
    return (MULTILABEL if _separator_of(values) else CLASSIFICATION).name


def group_hint(table: Table, columns: Columns) -> list[Notice]:
    """A notice on a column that looks like a group and is not used as one."""
    for name in table.columns:
        if name.lower() in _GROUP_NAMES and name != columns.group:
            text = f"Column {name!r} looks like a group."
            remedy = Remedy(f"keep images with equal {name} in one split", {"data.group_column": name})
            return [Notice(text, "warning", (remedy,), "group_column")]
    return []


def _about_others(table: Table, rest: Sequence[str], labels: Sequence[str], task: str) -> tuple[Notice, ...]:
    """Columns that could be learned as well, and those that are too empty or never change."""
    kind = target_kind(task)
    if kind is TargetKind.LABELS and len(labels) > 1:
        others = [c for c in rest if c not in labels and len(set(table.column(c))) == 1]
        same = [c for c in others if table.column(c)[0] and truth(table.column(c)[0]) is not None]
        if not same:
            return ()
        text = f"Not learned, since the same in every row: {', '.join(map(repr, same))}."
        return (Notice(text, remedies=(Remedy("learn them too", {"data.label_columns": ",".join([*labels, *same])}),)),)
    if kind is TargetKind.NUMBERS:
        empty = [c for c in rest if c not in labels and table.is_numeric(c) and _filled(table, c) < _LEAST_FILLED]
        if not empty:
            return ()
        text = f"Not learned, since mostly empty: {', '.join(map(repr, empty))}."
        return (
            Notice(text, remedies=(Remedy("learn them too", {"data.label_columns": ",".join([*labels, *empty])}),)),
        )
    if kind not in (TargetKind.CLASS, TargetKind.LABELS) or len(labels) != 1:
        return ()
    others = [c for c in rest if c not in labels and c.lower() in _LABEL_NAMES and _filled(table, c)]
    if not others:
        return ()
    text = f"Column {labels[0]!r} is learned; {', '.join(map(repr, others))} could be as well."
    remedies = tuple(Remedy(f"learn {c!r}", {"data.label_columns": c}) for c in others[:3])
    return (Notice(text, "warning", remedies, "label_column"),)


def _filled(table: Table, name: str) -> float:
    """Share of the cells that hold something."""
    return sum(map(bool, table.column(name))) / len(table.rows)


# -------------------------------------------------------------- each column
def _named(table: Table, name: str, setting: str) -> str:
    if name not in table.columns:
        raise DataError(
            f"{setting}: {table.path} has no column {name!r}.{suggest(name, table.columns)} Its columns are "
            f"{', '.join(table.columns)}."
        )
    return name


def _file_column(table: Table, index: ImageIndex, given: str) -> str:
    """The column that names the images.

    Raises:
        MendableError: If several do, and not the same images.
        DataError: If none does.
    """
    if given:
        return _named(table, given, "data.file_column")
    shares = {name: _share_found(table, name, index) for name in table.columns}
    best = max(shares.values())
    if best < 0.1:
        example = next((v for v in table.column(table.columns[0]) if v), "")
        raise DataError(
            f"No column of {table.path} names image files below {index.root} (columns: {', '.join(table.columns)}; "
            f"first cell: {example!r}; {len(index):,} images found). Correct the names, or set data.file_column."
        )
    fitting = [name for name, share in shares.items() if share >= 0.5 * best]
    most = max(_distinct(table, c) for c in fitting)
    for is_better in (
        lambda c: _looks_like_files(table, c),
        lambda c: not _MASK_WORDS.search(c) and c.lower() not in _LABEL_NAMES,
        lambda c: _distinct(table, c) >= 0.5 * most,
        lambda c: c.lower() in _FILE_NAMES,
    ):
        fitting = [c for c in fitting if is_better(c)] or fitting
    if len(fitting) > 1 and any(_images(table, c, index) != _images(table, fitting[0], index) for c in fitting[1:]):
        raise MendableError(
            f"Several columns of {table.path} name images: {', '.join(map(repr, fitting))}, and not the same ones.",
            remedies=[Remedy(f"use column {c!r}", {"data.file_column": c}) for c in fitting],
        )
    return fitting[0]


_MASK_WORDS = re.compile(r"mask|seg|label|annot|truth|target|^gt$", re.IGNORECASE)


def _share_found(table: Table, name: str, index: ImageIndex) -> float:
    values = table.column(name)[:_SAMPLED_ROWS]
    return sum(index.holds(v) for v in values) / len(values)


def _looks_like_files(table: Table, name: str) -> bool:
    """Whether cells have a suffix or a slash, as numbers of rows do not."""
    values = [v for v in table.column(name)[:_SAMPLED_ROWS] if v]
    return bool(values) and all(not v.isdigit() and table.number(v) is None for v in values)


def _distinct(table: Table, name: str) -> int:
    return len(set(table.column(name)[:_SAMPLED_ROWS]))


def _images(table: Table, name: str, index: ImageIndex) -> list[object]:
    return [index.find(v) for v in table.column(name)[:_SAMPLED_ROWS]]


def _split_column(table: Table, given: str) -> str | None:
    if given == "none":
        return None
    if given:
        return _named(table, given, "data.split_column")
    for name in table.columns:
        if name.lower() in _SPLIT_NAMES and all(split_named(v) for v in table.column(name)):
            return name
    return None


def _label_columns(table: Table, rest: Sequence[str], index: ImageIndex, task: str) -> tuple[str, ...]:
    found: Sequence[str] = ()
    match target_kind(task):
        case TargetKind.MASK:
            found = [c for c in rest if _are_files(table, c, index)][:1]
        case TargetKind.NUMBERS:
            numeric = [c for c in rest if table.is_numeric(c) and c.lower() not in _ROW_NUMBER_NAMES]
            fullest = max((_filled(table, c) for c in numeric), default=0.0)
            found = [c for c in numeric if _filled(table, c) >= _LEAST_FILLED * fullest]
        case TargetKind.LABELS:
            binary = [c for c in rest if table.is_binary(c)]
            found = binary if len(binary) >= 2 else _single(table, rest)
        case TargetKind.CLASS:
            found = _single(table, rest)
            binary = [c for c in rest if table.is_binary(c)]
            if not found and len(binary) >= 2 and is_one_hot(table, binary):
                found = binary
    if not found:
        what = {
            TargetKind.MASK: "names mask files",
            TargetKind.NUMBERS: "holds numbers",
            TargetKind.LABELS: "holds labels (columns of 0 and 1, or one column like 'cat|dog')",
        }.get(target_kind(task), "is plainly the label")
        raise DataError(
            f"No column of {table.path} {what} (columns left: {', '.join(rest) or 'none'}). Name it in "
            "data.label_columns, or choose another task."
        )
    return tuple(found)


def _single(table: Table, rest: Sequence[str]) -> list[str]:
    """The one label column: by its name, else the only one left, else the only one whose words repeat."""
    named = [c for name in _LABEL_NAMES for c in rest if c.lower() == name and any(table.column(c))]
    if named:
        fullest = max(_filled(table, c) for c in named)
        return [next(c for c in named if _filled(table, c) >= _LEAST_FILLED * fullest)]
    if len(rest) == 1:
        return list(rest)
    alike = _words(table, rest)
    if len(alike) > 1 and not any(map(table.is_numeric, rest)):
        raise MendableError(
            f"Several columns of {table.path} could be the label: {', '.join(map(repr, alike))}.",
            remedies=[Remedy(f"learn {c!r}", {"data.label_columns": c}) for c in alike],
        )
    return alike if len(alike) == 1 else []


def _words(table: Table, rest: Sequence[str]) -> list[str]:
    """Columns of words that repeat, without those that are mostly empty beside a fuller one, such as remarks."""
    alike = [c for c in rest if not table.is_numeric(c) and _is_class_like(table, c)]
    fullest = max((_filled(table, c) for c in alike), default=0.0)
    return [c for c in alike if _filled(table, c) >= _LEAST_FILLED * fullest]


def _is_class_like(table: Table, name: str) -> bool:
    values = [v for v in table.column(name) if v]
    return 2 <= len(set(values)) <= max(2, len(values) // 2)


def _are_files(table: Table, name: str, index: ImageIndex) -> bool:
    values = [v for v in table.column(name)[:_SAMPLED_ROWS] if v]
    return (
        bool(values)
        and all("." in v or "/" in v for v in values[:10])
        and sum(index.find(v) is not None for v in values) >= 0.5 * len(values)
    )


def is_one_hot(table: Table, names: Sequence[str]) -> bool:
    """Whether in every row exactly one of the columns says yes."""
    columns = [[truth(v) for v in table.column(name)] for name in names]
    return all(None not in cells and sum(cells) == 1 for cells in zip(*columns, strict=True))


def _separator_of(values: Sequence[str]) -> str | None:
    """What separates several labels in one cell; None if each cell is one label.

    Commas and blanks also occur within names ("tench, Tinca tinca", "Great Dane"), so they must make far fewer
    distinct labels than there are distinct cells.
    """
    cells = {v for v in values if v}
    for separator in _SEPARATORS:
        if not any(separator in cell for cell in cells):
            continue
        labels = {part.strip() for cell in cells for part in cell.split(separator)}
        if separator in "|;" or len(labels) <= len(cells) / 2:
            return separator
    return None
