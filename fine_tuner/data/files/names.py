"""Names of files and folders as people read them: one spelling, one order, and paths as they are pasted."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from urllib.parse import unquote

from fine_tuner.base.errors import DataError

_DIGITS = re.compile(r"(\d+)")
_WINDOWS = re.compile(r"^[A-Za-z]:[\\/]|^\\\\")
_QUOTES = (("'", "'"), ('"', '"'), ("\u2018", "\u2019"), ("\u201c", "\u201d"), ("`", "`"))


def composed(name: str) -> str:
    r"""``name`` with letter and accent as one character (NFC): a Mac writes two, most other systems one.

    >>> composed("cafe\\u0301") == "caf\\u00e9"
    True
    """
    return unicodedata.normalize("NFC", name)


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """For sorting as a person counts.

    >>> sorted(["10", "2", "1", "b", "a10", "a9"], key=natural_key)
    ['1', '2', '10', 'a9', 'a10', 'b']
    """
    parts = _DIGITS.split(composed(name))
    return (
        *((1, int(p), "") if p.isdigit() and p.isascii() else (0 if not p else 2, 0, p) for p in parts),
        (3, 0, name),
    )


def natural_order(names: Iterable[str]) -> tuple[str, ...]:
    """Each name once, as a person counts: the one order of classes everywhere."""
    return tuple(sorted(set(names), key=natural_key))


def cleaned_path(text: str, *, is_windows: bool) -> str:
    """A path as it was pasted, without quotes, blanks around it and ``file://``.

    Args:
        text: As typed.
        is_windows: Whether paths of Windows mean something on this machine.

    Raises:
        DataError: If it is a path of Windows elsewhere.

    >>> cleaned_path(" '/data/my%20set' ", is_windows=False), cleaned_path("file:///data/my%20set", is_windows=False)
    ('/data/my%20set', '/data/my set')
    """
    path = text.strip().strip("\u200b\ufeff\u202a\u202c").strip()
    for opening, closing in _QUOTES:
        if len(path) > 2 and path.startswith(opening) and path.endswith(closing):
            path = path[1:-1].strip()
    if path.lower().startswith("file://"):
        path = unquote(path[7:].removeprefix("localhost"))
        if is_windows or re.match(r"^/[A-Za-z]:/", path):
            path = path.removeprefix("/")
    if not is_windows and _WINDOWS.match(path):
        raise DataError(
            f"data.path: {path} is a path of Windows, and this machine runs another system. Give the path that the "
            "folder has here, such as /mnt/c/... under WSL, or copy the data to this machine."
        )
    return path
