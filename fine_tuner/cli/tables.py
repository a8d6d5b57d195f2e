"""Tables of the terminal: columns aligned, colour and width those of the terminal, plain text in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

PIPE_COLUMNS = 4000
"""Width where nobody looks: a line that a program reads is never wrapped."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One column.

    Attributes:
        key: Of the rows' values.
        title: With its unit, as a person reads it.
        is_number: Numbers stand right, one under the other.
        style: As ``rich`` names it.
    """

    key: str
    title: str
    is_number: bool = False
    style: str = ""


def print_table(columns: Sequence[Column], rows: Sequence[Mapping[str, str]], *, empty: str) -> None:
    """Print ``rows`` under titles; ``empty`` where there are none. Columns without a value are left out."""
    console = console_of(sys.stdout)
    if not rows:
        console.print(Text(empty))
        return
    shown = [column for column in columns if any(row.get(column.key) for row in rows)]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in shown:
        justify = "right" if column.is_number else "left"
        is_name = column is shown[0]
        table.add_column(column.title, justify=justify, style=column.style, no_wrap=column.is_number or is_name)
    for row in rows:
        table.add_row(*(Text(row.get(column.key, "")) for column in shown))  # Text: what a user named is no markup
    with console.capture() as captured:
        console.print(table)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))  # no blanks up to the edge of a pipe


def console_of(stream: Any) -> Console:
    """A console on ``stream``; not a terminal: wide enough for every line, and without colour."""
    return Console(file=stream, width=None if stream.isatty() else PIPE_COLUMNS, highlight=False)


# ------------------------------------------------------------- as people read
def date_text(seconds: float, *, now: datetime | None = None) -> str:
    """A Unix time in local time, as short as it is clear; "" for 0.

    >>> noon = datetime(2026, 11, 29, 12, 0)
    >>> date_text(noon.timestamp(), now=noon), date_text(datetime(2026, 11, 28, 9, 5).timestamp(), now=noon)
    ('today 12:00', 'yesterday 09:05')
    >>> date_text(datetime(2026, 3, 2, 9, 5).timestamp(), now=noon), date_text(0.0)
    ('2 Mar 09:05', '')
    >>> date_text(datetime(2025, 3, 2, 9, 5).timestamp(), now=noon)
    '2 Mar 2025'
    """
    if not seconds:
        return ""
    now, then = now or datetime.now(), datetime.fromtimestamp(seconds)
    days = (now.date() - then.date()).days
    if days in (0, 1):
        return f"{('today', 'yesterday')[days]} {then:%H:%M}"
    date = f"{then.day} {then:%b}"
    return f"{date} {then:%H:%M}" if then.year == now.year else f"{date} {then.year}"


def count_text(number: float) -> str:
    """A large number in thousands, millions or billions, to three figures.

    >>> [count_text(n) for n in (3, 812, 1234567, 25557032, 1_000_000_000)]
    ['3', '812', '1.23 M', '25.6 M', '1.00 G']
    """
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            value = number / size
            return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"
    return f"{number:g}"
