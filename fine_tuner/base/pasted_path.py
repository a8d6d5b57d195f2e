"""Paths as people paste them: quoted, with blanks, as ``file://``, or of another system."""

from __future__ import annotations

import os
import re
from urllib.parse import unquote

_WINDOWS = re.compile(r"^[A-Za-z]:[\\/]|^\\\\")
_ESCAPED = re.compile(r"\\([ ()&'\[\]])")  # a folder dropped on a terminal: /my\ folder
_QUOTES = (("'", "'"), ('"', '"'), ("\u2018", "\u2019"), ("\u201c", "\u201d"), ("`", "`"))


def cleaned_path(text: str) -> str:
    """A path as it was meant, without quotes, blanks around it and ``file://``.

    >>> cleaned_path(" '/data/my%20set' "), cleaned_path("file:///data/my%20set")
    ('/data/my%20set', '/data/my set')
    """
    path = text.strip().strip("\u200b\ufeff\u202a\u202c").strip()
    for opening, closing in _QUOTES:
        if len(path) > 2 and path.startswith(opening) and path.endswith(closing):
            path = path[1:-1].strip()
    if path.lower().startswith("file://"):
        path = unquote(path[7:].removeprefix("localhost"))
        if os.name == "nt" or re.match(r"^/[A-Za-z]:/", path):
            path = path.removeprefix("/")
    return path if _WINDOWS.match(path) or os.path.exists(path) else _ESCAPED.sub(r"\1", path)


def refusal_of_windows_path(path: str) -> str:
    """What to say of a path of Windows where another system runs; empty if there is nothing to say."""
    if os.name == "nt" or not _WINDOWS.match(path):
        return ""
    return (
        f"{path} is a path of Windows, and this machine runs another system. Give the path that the folder has here, "
        "such as /mnt/c/... under WSL, or copy the data to this machine."
    )
