"""Words around numbers and names."""

from __future__ import annotations

from collections.abc import Sequence


def counted(number: int, noun: str) -> str:
    """``1 image``, ``2 images``, ``3 classes``.

    >>> counted(1, "class"), counted(1200, "image")
    ('1 class', '1,200 images')
    """
    plural = noun + ("es" if noun.endswith(("s", "x")) else "s")
    return f"{number:,} {noun if number == 1 else plural}"


def some(names: Sequence[str], count: int = 4) -> str:
    """The first ``count`` names, and whether there are more.

    >>> some(["ants", "bees"]), some(["ants", "bees", "cats"], 2)
    ('ants, bees', 'ants, bees, ...')
    """
    return ", ".join(names[:count]) + (", ..." if len(names) > count else "")
