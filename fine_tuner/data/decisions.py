"""What a person decided of single images: left out, or of another class, in a table; the files stay as they are.

::

    file,decision,label
    train/ants/0013035.jpg,leave_out,
    train/bees/17209602.jpg,relabel,ants
    val/ants/10308379.jpg,keep,

A file is named as in the data, relative to its folder where it lies in it. Images that are not named, and names that
are no image of the data, change nothing. Who is in which split stays as it was.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from fine_tuner.base.errors import DataError
from fine_tuner.base.files import read_bounded, write_atomically
from fine_tuner.base.text import counted
from fine_tuner.config.tasks import TargetKind, target_kind
from fine_tuner.data.notices import Notice
from fine_tuner.data.records import DataSplits, Record

Choice = Literal["keep", "leave_out", "relabel"]
_COLUMNS = ("file", "decision", "label")
_MOST_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Decision:
    """Of one image; ``label`` names its class where it is relabelled."""

    choice: Choice
    label: str = ""


def write_decisions(path: Path, decisions: Mapping[str, Decision]) -> None:
    """Write the table in one piece.

    Raises:
        OSError: As the file system says.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(_COLUMNS)
    rows.writerows((file, d.choice, d.label) for file, d in sorted(decisions.items()))
    write_atomically(path, text.getvalue().encode("utf-8", "surrogateescape"))


def read_decisions(path: Path) -> dict[str, Decision]:
    """Inverse of ``write_decisions``.

    Raises:
        DataError: If the file is missing, or is no such table.
    """
    try:
        text = read_bounded(path, _MOST_BYTES).decode("utf-8", "surrogateescape")
    except OSError as error:
        raise DataError(f"data.decisions: {path} cannot be read ({error.strerror}). Give the file, or none.") from None
    rows = list(csv.reader(io.StringIO(text)))
    if not rows or tuple(rows[0]) != _COLUMNS:
        raise DataError(f"data.decisions: {path} does not begin with {','.join(_COLUMNS)}. Give a table that does.")
    found: dict[str, Decision] = {}
    for number, row in enumerate(rows[1:], 2):
        if len(row) != 3 or row[1] not in get_args(Choice) or (row[1] == "relabel") != bool(row[2]):
            raise DataError(
                f"data.decisions: line {number} of {path} is {','.join(row)[:100]!r}. A line is a file, one of "
                f"{', '.join(get_args(Choice))}, and for relabel a class."
            )
        found[row[0]] = Decision(row[1], row[2])
    return found


def name_in(root: Path, image: Path) -> str:
    """How a table names an image of the data at ``root``."""
    return image.relative_to(root).as_posix() if image.is_relative_to(root) else str(image)


def with_decisions(data: DataSplits, path: str) -> DataSplits:
    """``data`` with what a table decides; unchanged for no path.

    Raises:
        DataError: If the table is none, names a class that is not in the data, or leaves no image to train on.
    """
    if not path:
        return data
    decisions = read_decisions(Path(path).expanduser())
    left_out = relabelled = 0
    splits: dict[str, tuple[Record, ...]] = {}
    for split, records in data.splits.items():
        kept = []
        for record in records:
            decision = decisions.get(name_in(data.root, record.image)) or decisions.get(str(record.image))
            if decision is not None and decision.choice == "leave_out":
                left_out += 1
                continue
            if decision is not None and decision.choice == "relabel":
                relabelled += 1
                record = replace(record, target=_class_of(decision.label, data, path))
            kept.append(record)
        splits[split] = tuple(kept)
    if not splits.get("train"):
        raise DataError(f"data.decisions: {path} leaves out every training image. Keep some.")
    said = f"{counted(left_out, 'image')} left out and {relabelled} relabelled, as {path} says."
    return replace(data, splits=splits, notices=(*data.notices, Notice(said)))


def _class_of(name: str, data: DataSplits, path: str) -> int:
    if target_kind(data.task) is not TargetKind.CLASS:
        raise DataError(f"data.decisions: {path} relabels images, which is for one class per image. Leave them out.")
    if name not in data.classes:
        raise DataError(
            f"data.decisions: {path} names the class {name!r}; the data has {', '.join(data.classes[:20])}. Correct it."
        )
    return data.classes.index(name)
