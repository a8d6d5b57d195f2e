"""CSV and TSV files: any delimiter, any usual encoding, as named columns of text. No meaning is given to them here."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fine_tuner.base.errors import DataError
from fine_tuner.data.files.encodings import find_encoding
from fine_tuner.data.files.folders import check_reach, composed
from fine_tuner.data.notices import Notice

TABLE_SUFFIXES = frozenset({".csv", ".tsv"})
_LINE_END = re.compile(r"\r\n|\n|\r")  # not str.splitlines, which ends lines at form feeds and U+2028 too
_BEGINNING = 4096  # bytes that tell whether it is text
_DELIMITERS = ",;\t|"
_TRUE = frozenset({"1", "1.0", "true", "yes", "y", "t"})
_FALSE = frozenset({"0", "0.0", "false", "no", "n", "f", ""})


@dataclass(frozen=True)
class Table:
    """A table as read.

    Attributes:
        path: Where it was read from.
        columns: Names in the order of the file.
        rows: One tuple of text per line below the header, stripped, as long as ``columns``.
        lines: Number of each row's line in the file.
        has_decimal_comma: Numbers are written ``3,5``.
        about: What there is to say of how it was read.
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]
    has_decimal_comma: bool = False
    about: tuple[Notice, ...] = ()

    @cached_property
    def _position(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.columns)}

    def column(self, name: str) -> list[str]:
        """Values of one column.

        Raises:
            KeyError: If there is none of this name.
        """
        position = self._position[name]
        return [row[position] for row in self.rows]

    def where(self, row: int, column: str) -> str:
        """For messages: which cell, as a person finds it."""
        return f"{self.path}, line {self.lines[row]}, column {column!r}"

    def number(self, text: str) -> float | None:
        """``text`` as a finite number, or None."""
        try:
            value = float(text.replace(",", ".") if self.has_decimal_comma else text)
        except ValueError:
            return None
        return value if abs(value) != float("inf") and value == value else None

    def is_numeric(self, name: str) -> bool:
        """Whether at least nine in ten of the filled cells are numbers, and there are some."""
        filled = [v for v in self.column(name) if v]
        return bool(filled) and sum(self.number(v) is not None for v in filled) >= 0.9 * len(filled)

    def is_binary(self, name: str) -> bool:
        """Whether every cell says yes or no: 0 and 1, true and false."""
        values = {v.lower() for v in self.column(name)}
        return values <= _TRUE | _FALSE and bool(values & _TRUE)


def truth(text: str) -> float | None:
    """1.0 or 0.0 for a cell that says yes or no, or is empty; else None."""
    folded = text.lower()
    return 1.0 if folded in _TRUE else 0.0 if folded in _FALSE else None


def read_table(path: Path, encoding: str = "") -> Table:
    """The table in a CSV or TSV file; ``encoding`` is told by the text where it is empty.

    Raises:
        DataError: If it cannot be read, is empty, or has no header or rows that are longer than it.
    """
    text, about = _text_of(path, encoding)
    lines = _LINE_END.split(text)
    if not any(line.strip() for line in lines):
        raise DataError(f"{path} is empty. Write a header such as 'file,label' and one line per image.")
    delimiter = _delimiter_of(lines)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    columns: tuple[str, ...] = ()
    rows, numbers = [], []
    for cells in reader:
        cells = [c.strip() for c in cells]
        if not any(cells):
            continue
        if not columns:
            columns = _header(cells, path)
            continue
        if len(cells) > len(columns) and any(cells[len(columns) :]):
            raise DataError(
                f"{path}, line {reader.line_num} has {len(cells)} cells, the header {len(columns)}. Put text that "
                "holds the separator into quotes."
            )
        rows.append(tuple((cells + [""] * len(columns))[: len(columns)]))
        numbers.append(reader.line_num)
    if not rows:
        raise DataError(f"{path} has a header but no rows. Write one line per image.")
    has_comma = delimiter != "," and not any("." in c for row in rows[:200] for c in row[1:] if _is_number(c))
    return Table(path, columns, tuple(rows), tuple(numbers), has_decimal_comma=has_comma, about=about)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _text_of(path: Path, given: str) -> tuple[str, tuple[Notice, ...]]:
    """The text in NFC, and what there is to say of its encoding."""
    check_reach(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}). Check the file.") from None
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            return composed(content.decode("utf-16")), ()
        except UnicodeDecodeError as error:
            raise DataError(f"{path} is not the UTF-16 that it says ({error}). Save the table as UTF-8.") from None
    if encoding := _unmarked_utf16(content[:_BEGINNING]):
        try:
            said = Notice(f"The text of {path.name} was read as UTF-16, though it does not begin as such.")
            return composed(content.decode(encoding)), (said,)
        except UnicodeDecodeError as error:
            raise DataError(f"{path} is not the UTF-16 that it seems ({error}). Save the table as UTF-8.") from None
    if b"\0" in content[:_BEGINNING]:
        raise DataError(f"{path} is not a text file. Save the table as CSV.")
    what = f"The text of {path.name}"
    encoding, notice = find_encoding(
        content.split(b"\n"), given=given, what=what, likely=("gbk", "cp932", "euc_kr", "cp1252", "cp437")
    )
    text = content.decode(encoding).removeprefix("\ufeff")
    return composed(text), (notice,) if notice else ()


def _unmarked_utf16(beginning: bytes) -> str | None:
    """Of UTF-16 without a byte order mark which one it is; None if it is not.

    The bytes of ASCII characters are every other one zero there, and separators and line ends are such characters.
    """
    low, high = beginning[::2], beginning[1::2]
    for zeros, others, encoding in ((high, low, "utf-16-le"), (low, high, "utf-16-be")):
        if 4 * zeros.count(0) >= len(zeros) > 1 and not others.count(0):
            return encoding
    return None


def _delimiter_of(lines: Sequence[str]) -> str:
    """The separator that divides the first lines into equally many cells, and into most of them."""
    head = [line for line in lines if line.strip()][:50]

    def quality(delimiter: str) -> tuple[bool, int]:
        counts = [len(cells) for cells in csv.reader(head, delimiter=delimiter)]
        return (len(set(counts)) == 1 and counts[0] > 1, counts[0])

    return max(_DELIMITERS, key=quality)


def _header(cells: Sequence[str], path: Path) -> tuple[str, ...]:
    names = tuple(c or f"column {i + 1}" for i, c in enumerate(cells))
    repeated = next((n for n in names if names.count(n) > 1), None)
    if repeated is not None:
        raise DataError(f"{path} has two columns named {repeated!r}. Rename one of them.")
    return names
