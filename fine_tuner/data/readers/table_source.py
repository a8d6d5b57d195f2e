"""A CSV or TSV table beside its images becomes records, for every task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from fine_tuner.base.errors import DataError
from fine_tuner.base.text import counted
from fine_tuner.config.tasks import TargetKind, target_kind
from fine_tuner.data.files.folders import Passed, images_below, natural_order, visible_files
from fine_tuner.data.notices import Notice
from fine_tuner.data.options import UNSPLIT, Problem, ReadOptions, Source, split_named
from fine_tuner.data.readers.image_index import ImageIndex
from fine_tuner.data.readers.table_columns import find_columns, group_hint
from fine_tuner.data.readers.tables import TABLE_SUFFIXES, Table, read_table, truth
from fine_tuner.data.records import Record, Target

_USUAL_STEMS = ("labels", "label", "annotations", "metadata", "data", "index", "train", "images")
_COLOUR_STEMS = frozenset({"class_dict", "colours", "colors", "colour_table", "color_table", "labelmap"})


def tables_in(folder: Path) -> list[Path]:
    """Tables directly in ``folder``, tables of colours left out."""
    return [
        f for f in visible_files(folder) if f.suffix.lower() in TABLE_SUFFIXES and f.stem.lower() not in _COLOUR_STEMS
    ]


def choose_tables(folder: Path) -> dict[str, Path]:
    """The table of each split if they are named so (``train.csv``, ``val.csv``), else the one table under ``""``.

    Raises:
        DataError: If there is none, or several and none has a usual name.
    """
    tables = tables_in(folder)
    if not tables:
        raise DataError(f"There is no table (CSV or TSV) in {folder}. Add one with a header such as 'file,label'.")
    by_split = {split: t for t in tables if (split := split_named(t.stem))}
    if "train" in by_split and len(by_split) > 1 and all(_same_header(by_split["train"], t) for t in by_split.values()):
        return by_split
    if len(tables) == 1:
        return {"": tables[0]}
    for stem in _USUAL_STEMS:
        for table in tables:
            if table.stem.lower() == stem:
                return {"": table}
    names = ", ".join(t.name for t in tables[:5])
    raise DataError(f"{folder} has several tables ({names}). Give the one to use as data.path.")


def _same_header(one: Path, other: Path) -> bool:
    """A test table without labels is no split to evaluate on."""
    return read_table(one).columns == read_table(other).columns


class TableReader:
    """Reads the table or tables of one data set."""

    def __init__(self, root: Path, tables: dict[str, Path], task: str, options: ReadOptions) -> None:
        self.task, self.options = task, options
        self.index = ImageIndex(root, images_below(root, Passed()))
        self.tables = {split: read_table(path, options.encoding) for split, path in tables.items()}
        first = next(iter(self.tables.values()))
        self.columns = find_columns(first, self.index, task, options)
        self.problems: list[Problem] = []
        self.used: dict[Path, tuple[str, Target]] = {}
        self.listed: set[Path] = set()
        self.num_repeated = 0

    def read(self) -> Source:
        """Records by split; ``all`` where the table does not say."""
        names = self._class_names()
        records: dict[str, list[Record]] = {}
        for split, table in self.tables.items():
            for row in range(len(table.rows)):
                where = split or self._split_of(table, row)
                record = self._record(table, row, where, names)
                if record is not None:
                    records.setdefault(where, []).append(record)
        if target_kind(self.task) is TargetKind.CLASS and records.get("train"):
            names, records = self._learned(names, records)
        self._require_classes(names, records)
        return Source(
            records={split: tuple(rows) for split, rows in records.items()},
            classes=names,
            target_names=self.columns.labels if target_kind(self.task) is TargetKind.NUMBERS else (),
            words=self._words(names),
            notices=tuple(self._notices()),
            problems=tuple(self.problems),
        )

    def _require_classes(self, names: Sequence[str], records: Mapping[str, Sequence[Record]]) -> None:
        """Raise if all images are of one class."""
        there = {r.target for rows in records.values() for r in rows}
        if target_kind(self.task) is not TargetKind.CLASS or len(there) != 1:
            return
        table = next(iter(self.tables.values()))
        why = f" {self.problems[0].message}" if self.problems else ""
        raise DataError(
            f"{table.path} has one class only ({names[there.pop()]!r}); a classifier needs two or more. Add images of "
            f"another class, or name another column in data.label_columns.{why}"
        )

    def _learned(
        self, names: Sequence[str], records: dict[str, list[Record]]
    ) -> tuple[tuple[str, ...], dict[str, list[Record]]]:
        """Without the classes that train lacks and another split has: they cannot be learned."""
        in_train = {r.target for r in records["train"]}
        extra = {r.target for rows in records.values() for r in rows} - in_train
        self.problems += [
            Problem(
                "extra_class", f"Image {r.image} is of class {names[r.target]!r}, which train does not have.", r.image
            )
            for rows in records.values()
            for r in rows
            if r.target in extra
        ]
        kept = [i for i in range(len(names)) if i not in extra]
        moved = {
            split: [replace(r, target=kept.index(r.target)) for r in rows if r.target not in extra]
            for split, rows in records.items()
        }
        return tuple(names[i] for i in kept), moved

    # ------------------------------------------------------------------ rows
    def _record(self, table: Table, row: int, split: str, names: Sequence[str]) -> Record | None:
        cells = dict(zip(table.columns, table.rows[row], strict=True))
        image = self.index.find(cells[self.columns.file], prefer=split)
        if image is None:
            self._missing_image(table, row, cells[self.columns.file])
            return None
        self.listed.add(image)
        target = self._target(table, row, cells, names)
        if target is None:
            return None
        if image in self.used:
            if self.used[image] == (split, target):
                self.num_repeated += 1
            else:
                before = self.used[image][0]
                what = f"{image.name} was listed before with another label or split{f' ({before})' if before else ''}"
                self.problems.append(Problem("conflict", f"{table.where(row, self.columns.file)}: {what}.", image))
            return None
        self.used[image] = (split, target)
        return Record(image, target, cells[self.columns.group] or None if self.columns.group else None)

    def _missing_image(self, table: Table, row: int, text: str) -> None:
        what = self.index.why_not(text) if text else "no file is named"
        self.problems.append(Problem("missing_image", f"{table.where(row, self.columns.file)}: {what}."))

    def _target(self, table: Table, row: int, cells: dict[str, str], names: Sequence[str]) -> Target | None:
        labels = self.columns.labels
        match target_kind(self.task):
            case TargetKind.NUMBERS:
                return self._numbers(table, row, cells)
            case TargetKind.MASK:
                mask = self.index.find(cells[labels[0]])
                return mask or self._wrong(table, row, labels[0], cells[labels[0]], "names no mask file")
            case TargetKind.LABELS if self.columns.separator is None:
                values = [truth(cells[c]) for c in labels]
                if None in values:
                    column = labels[values.index(None)]
                    return self._wrong(table, row, column, cells[column], "is neither 0 nor 1")
                return tuple(values)
            case TargetKind.LABELS:
                present = _parts(cells[labels[0]], self.columns.separator)
                return tuple(float(name in present) for name in names)
        if len(labels) > 1:  # one column per class, one of them 1
            return max(range(len(labels)), key=lambda i: truth(cells[labels[i]]) or 0)
        text = cells[labels[0]]
        return names.index(text) if text else self._wrong(table, row, labels[0], text, "has no label")

    def _numbers(self, table: Table, row: int, cells: dict[str, str]) -> tuple[float, ...] | None:
        values = [table.number(cells[c]) for c in self.columns.labels]
        if None in values:
            column = self.columns.labels[values.index(None)]
            text = cells[column]
            return self._wrong(table, row, column, text, "is not a number" if text else "has no number")
        return tuple(values)

    def _wrong(self, table: Table, row: int, column: str, text: str, what: str) -> None:
        message = f"{table.where(row, column)}: {f'{text!r} ' if text else 'the cell '}{what}."
        image = self.index.find(table.rows[row][table.columns.index(self.columns.file)])
        self.problems.append(Problem("missing_label", message, image))

    def _split_of(self, table: Table, row: int) -> str:
        if self.columns.split is None:
            return UNSPLIT
        cell = table.rows[row][table.columns.index(self.columns.split)]
        split = split_named(cell)
        if split is None:
            raise DataError(
                f"{table.where(row, self.columns.split)}: {cell!r} is no split. Write train, val or test, or set "
                "data.split_column=none."
            )
        return split

    # ----------------------------------------------------------------- whole
    def _class_names(self) -> tuple[str, ...]:
        labels, separator = self.columns.labels, self.columns.separator
        if target_kind(self.task) in (TargetKind.NUMBERS, TargetKind.MASK):
            return ()
        if len(labels) > 1 or (target_kind(self.task) is TargetKind.LABELS and separator is None):
            return labels
        cells = [v for table in self.tables.values() for v in table.column(labels[0]) if v]
        if target_kind(self.task) is TargetKind.LABELS:
            return natural_order(part for cell in cells for part in _parts(cell, separator))
        return natural_order(cells)

    def _words(self, names: Sequence[str]) -> str:
        name = ", ".join(t.path.name for t in self.tables.values())
        split = f", split by column {self.columns.split!r}" if self.columns.split else ""
        group = f", grouped by column {self.columns.group!r}" if self.columns.group else ""
        labels = self.columns.labels
        listed = ", ".join(labels[:4]) + (", ..." if len(labels) > 4 else "")
        match target_kind(self.task):
            case TargetKind.NUMBERS:
                what = f"{counted(len(labels), 'number')} ({listed})"
            case TargetKind.MASK:
                what = f"masks in column {labels[0]!r}"
            case TargetKind.LABELS:
                what = f"{counted(len(names), 'label')}" + (f" in column {labels[0]!r}" if len(labels) == 1 else "")
            case _:
                what = f"{counted(len(names), 'class')}" + (f" in column {labels[0]!r}" if len(labels) == 1 else "")
        return f"table {name} with {what}{split}{group}"

    def _notices(self) -> list[Notice]:
        first = next(iter(self.tables.values()))
        out = [notice for table in self.tables.values() for notice in table.about]
        if len(first.columns) > 1:
            out.append(Notice(f"Column {self.columns.file!r} of {first.path.name} names the images."))
        if self.num_repeated:
            out.append(Notice(f"{counted(self.num_repeated, 'repeated row')} of the table ignored."))
        masks = {t for _, t in self.used.values() if isinstance(t, Path)}
        orphans = len(self.index) - len(self.listed | masks)
        if orphans:
            out.append(Notice(f"{counted(orphans, 'image')} not in the table ignored."))
        return [*out, *self.columns.about, *group_hint(first, self.columns)]


def read_tables(root: Path, tables: dict[str, Path], task: str, options: ReadOptions) -> Source:
    """Records of the tables, found below ``root``.

    Raises:
        DataError: Naming table, line and column.
    """
    return TableReader(root, tables, task, options).read()


def _parts(cell: str, separator: str) -> set[str]:
    return {part.strip() for part in cell.split(separator) if part.strip()}
