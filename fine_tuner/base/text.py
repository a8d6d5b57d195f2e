"""Words around numbers."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """``1 image``, ``2 images``, ``3 classes``.

    >>> counted(1, "class"), counted(1200, "image")
    ('1 class', '1,200 images')
    """
    plural = noun + ("es" if noun.endswith(("s", "x")) else "s")
    return f"{number:,} {noun if number == 1 else plural}"
