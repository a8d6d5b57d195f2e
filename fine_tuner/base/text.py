"""Words around numbers and names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def counted(number: int, noun: str) -> str:
    """``1 image``, ``2 images``, ``3 classes``.

    >>> counted(1, "class"), counted(1200, "image")
    ('1 class', '1,200 images')
    """
    plural = noun + ("es" if noun.endswith(("s", "x")) else "s")
    return f"{number:,} {noun if number == 1 else plural}"


def one_line(text: str) -> str:
    r"""``text`` for a comment in a file that is run or read elsewhere: what would end the line is an escape.

    >>> one_line("a run"), one_line("a\nb")
    ('a run', 'a\\nb')
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def some(names: Sequence[str], count: int = 4) -> str:
    """The first ``count`` names, and whether there are more.

    >>> some(["ants", "bees"]), some(["ants", "bees", "cats"], 2)
    ('ants, bees', 'ants, bees, ...')
    """
    return ", ".join(names[:count]) + (", ..." if len(names) > count else "")


def short_number(value: Any) -> str:
    """A number as people write rates; what is no float as it is.

    >>> [short_number(value) for value in (0.001, 0.05, 32)]
    ['1e-3', '0.05', '32']
    """
    if not isinstance(value, float):
        return str(value)
    if value != 0 and not 0.01 <= abs(value) < 10_000:
        mantissa, _, exponent = f"{value:.3e}".partition("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return f"{value:.4g}"
