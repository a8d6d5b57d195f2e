"""Names of classes, and tables of their colours, as they lie beside masks in the usual data sets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from fine_tuner.base.errors import DataError
from fine_tuner.data.files.folders import check_reach

_CLASS_FILES = ("classes.txt", "class_names.txt", "codes.txt", "labels.txt", "obj.names", "classes.names")
_COLOUR_FILES = (
    "class_dict.csv", "label_colors.txt", "label_colours.txt", "labelmap.txt", "colours.csv", "colors.csv",
    "colour_table.csv", "color_table.csv", "colours.txt", "colors.txt",
)  # fmt: skip
_TRIPLE = re.compile(r"(?<![\w.])(\d{1,3})\s*[,;\s]\s*(\d{1,3})\s*[,;\s]\s*(\d{1,3})(?![\w.])")
_HEX = re.compile(r"#([0-9a-fA-F]{6})\b")


def find_beside(folders: tuple[Path, ...], names: tuple[str, ...]) -> Path | None:
    """The first file of these names, in these folders."""
    return next((path for folder in folders for name in names if (path := folder / name).is_file()), None)


def find_class_names(folders: tuple[Path, ...]) -> tuple[str, ...]:
    """Names in a ``classes.txt`` or the like, one per line; empty if there is none."""
    path = find_beside(folders, _CLASS_FILES)
    if path is None:
        return ()
    check_reach(path)
    lines = path.read_text(encoding="utf-8-sig", errors="replace").split("\n")  # not at form feeds and U+2028
    return tuple(line.strip() for line in lines if line.strip())


def find_colour_table(folders: tuple[Path, ...], given: str) -> dict[str, int]:
    """Class name to colour ``0xRRGGBB`` from the file named, or one found beside the data; empty if there is none.

    Raises:
        DataError: If the file named is not there, or a table has a line that cannot be read.
    """
    if given:
        tried = [Path(given).expanduser(), *(folder / given for folder in folders)]
        path = next((p for p in tried if p.is_file()), None)
        if path is None:
            raise DataError(f"data.colour_table: there is no file {given}. Give the path of the colour table.")
    else:
        path = find_beside(folders, _COLOUR_FILES)
    return dict(read_colour_table(path)) if path else {}


def read_colour_table(path: Path) -> Mapping[str, int]:
    """Class name to colour ``0xRRGGBB``.

    Any of these kinds of line::

        Sky,128,128,128          with or without a header (CamVid's class_dict.csv)
        128 128 128   Sky        (CamVid's label_colors.txt)
        Sky:128,128,128::        (CVAT's labelmap.txt)
        Sky #808080

    Raises:
        DataError: If it is no text, a line has no colour or no name, or two classes have one colour.
    """
    check_reach(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as a colour table ({error}). Write 'name,r,g,b' lines.") from None
    table: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or (line.lstrip().startswith("#") and not _HEX.search(line)):
            continue
        found = _colour_in(line)
        if found is None:
            if not table and number == 1:
                continue  # a header
            raise DataError(f"{path}, line {number}: {line.strip()!r} has no colour. Write it as 'name,r,g,b'.")
        colour, rest = found
        name = rest.strip(" \t,;:\"'") or f"#{colour:06x}"
        if name in table or colour in table.values():
            raise DataError(f"{path}, line {number}: name or colour of {line.strip()!r} occurs twice. Remove one.")
        table[name] = colour
    return table


def _colour_in(line: str) -> tuple[int, str] | None:
    """The colour in a line and what is left of the line."""
    if match := _HEX.search(line):
        return int(match[1], 16), line[: match.start()] + line[match.end() :]
    match = _TRIPLE.search(line)
    if match is None or any(int(v) > 255 for v in match.groups()):
        return None
    red, green, blue = map(int, match.groups())
    return (red << 16) | (green << 8) | blue, line[: match.start()] + line[match.end() :]
