"""How far the data of a page may reach: a link below a folder that is allowed must not lead out of all that are.

A person at a terminal may name any file of theirs, so nothing is refused there. The page's app says in the environment
which folders its processes may read data from; see ``--data-root``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from fine_tuner.base.cache_folder import cache_folder
from fine_tuner.base.errors import DataError

ROOTS_VARIABLE = "FINE_TUNER_DATA_ROOTS"


def roots_text(roots: Iterable[Path]) -> str:
    """The value of ROOTS_VARIABLE that allows these folders."""
    return os.pathsep.join(map(str, roots))


def check_reach(path: str | Path) -> None:
    """Do nothing if ``path`` lies, links followed, where data may be read.

    Raises:
        DataError: If it does not; whether there is anything is not told.
    """
    text = os.environ.get(ROOTS_VARIABLE)
    if text is None or _is_below(_real(str(path)), text):
        return
    raise DataError(
        f"{path} leads out of the folders that this page may read ({text.replace(os.pathsep, ', ')}). Copy the data "
        "there, or start the app with --data-root for each folder, also the one that the link leads to."
    )


def _real(path: str) -> str:
    """``os.path.realpath``, with what folders are remembered: a data set has few of them, and many files."""
    folder, name = os.path.split(os.path.abspath(path))
    return os.path.realpath(path) if os.path.islink(path) else os.path.join(_real_folder(folder), name)


@lru_cache(maxsize=4096)
def _real_folder(path: str) -> str:
    return os.path.realpath(path)


@lru_cache(maxsize=4096)
def _folders(text: str, cache: str) -> tuple[str, ...]:
    return tuple(os.path.realpath(root) for root in (*text.split(os.pathsep), cache) if root)


def _is_below(real: str, text: str) -> bool:
    roots = _folders(text, str(cache_folder()))  # where zips are unpacked and the sample lies
    return any(real == root or real.startswith(os.path.join(root, "")) for root in roots)
