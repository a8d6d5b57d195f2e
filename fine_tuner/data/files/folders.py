"""Folders and what lies in them: names as people write them, how far a link may lead, and the files below.

What is passed over is counted, never silently lost.

A link below a folder that is allowed must not lead out of all that are. A person at a terminal may name any file of
theirs, so nothing is refused there; the page's app says in the environment which folders its processes may read data
from (``--data-root``).
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

from fine_tuner.base.cache_folder import cache_folder
from fine_tuner.base.errors import DataError
from fine_tuner.base.text import counted
from fine_tuner.data.notices import Notice

# What is read here; those of torchvision's ImageFolder are among them.
IMAGE_SUFFIXES = frozenset(
    {
        ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm",
        ".gif", ".avif", ".apng",
    }
)  # fmt: skip
# Pictures as well, which need a package or cannot be read: taken for pictures, so that none is passed over in silence.
OTHER_PICTURES = frozenset(
    {
        ".heic", ".heif", ".hif", ".jxl", ".jp2", ".j2k", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2",
        ".raf", ".dcm", ".psd", ".svg", ".dib", ".tga", ".exr", ".hdr", ".ico", ".pcx", ".eps", ".xcf",
    }
)  # fmt: skip
_IGNORED_FOLDERS = frozenset({"__macosx", "__pycache__"})
# Written by the system or the archive, not by the user: not worth a word.
_SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini", ".ds_store"})
_DIGITS = re.compile(r"(\d+)")
_WHOLE_NUMBER = re.compile(r"-?\d+")
ROOTS_VARIABLE = "FINE_TUNER_DATA_ROOTS"


# ------------------------------------------------------------------ names
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
    """Each name once, as a person counts: the one order of classes everywhere.

    >>> natural_order(["10", "2", "-1"]), natural_order(["b", "a10", "a9"])
    (('-1', '2', '10'), ('a9', 'a10', 'b'))
    """
    distinct = set(names)
    if all(_WHOLE_NUMBER.fullmatch(name) for name in distinct):
        return tuple(sorted(distinct, key=lambda name: (int(name), name)))
    return tuple(sorted(distinct, key=natural_key))


# -------------------------------------------------- how far a path may lead
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


# ------------------------------------------------------------ files below
@dataclass
class Passed:
    """What was passed over while walking.

    Attributes:
        folders: Hidden and system folders.
        suffixes: Suffix to number of files that are no image.
        loose: Images that lie where no class is.
    """

    folders: int = 0
    suffixes: Counter[str] = field(default_factory=Counter)
    loose: int = 0

    def file(self, path: Path) -> None:
        """Count a file that is not used."""
        if path.name.lower() not in _SYSTEM_FILES and not path.name.startswith("."):
            self.suffixes[path.suffix.lower() or "no suffix"] += 1

    def notices(self) -> list[Notice]:
        """One sentence each for what the user may want to know."""
        out = []
        if self.folders:
            out.append(Notice(f"{counted(self.folders, 'hidden or system folder')} ignored."))
        if total := self.suffixes.total():
            kinds = ", ".join(f"{n} {suffix}" for suffix, n in self.suffixes.most_common(4))
            what = "that is no image" if total == 1 else "that are not images"
            out.append(Notice(f"{counted(total, 'file')} {what} ignored ({kinds})."))
        if self.loose:
            out.append(Notice(f"{counted(self.loose, 'image')} outside of any class folder ignored."))
        return out


def existing_folder(path: str) -> Path:
    """The folder that the user named.

    Raises:
        DataError: If there is none, with the nearest name there is.
    """
    if not path.strip():
        raise DataError("data.path is empty. Give the folder that holds your images, or builtin:sample.")
    folder = Path(path).expanduser().absolute()
    check_reach(folder)
    try:
        folder = _as_spelled(folder)
        check_reach(folder)
        if folder.is_dir():
            os.scandir(folder).close()
            return folder
        if folder.exists():
            raise DataError(
                f"data.path: {folder} is a file, not a folder of images. Give a folder, a CSV or TSV table, or a zip."
            )
    except PermissionError:
        raise DataError(f"data.path: {folder} may not be read by this user. Change its permissions.") from None
    raise DataError(f"data.path: there is no folder {folder}.{_nearest(folder)} Correct the path.")


def _as_spelled(path: Path) -> Path:
    """``path``, or the one that differs only in how letters with accents are written."""
    if path.exists() or path == path.parent:
        return path
    parent = _as_spelled(path.parent)
    if parent.is_dir():
        for entry in os.scandir(parent):
            if composed(entry.name) == composed(path.name):
                return parent / entry.name
    return path


def _nearest(folder: Path) -> str:
    parent = next((p for p in folder.parents if p.is_dir()), None)
    if parent is None:
        return ""
    names = {child.name.casefold(): child for child in visible_folders(parent)}
    wanted = folder.relative_to(parent).parts[0].casefold()
    close = get_close_matches(wanted, names, n=1, cutoff=0.6)
    return f" Did you mean {names[close[0]]}?" if close else f" Its nearest folder that exists is {parent}."


def is_ignored_folder(name: str) -> bool:
    """Dot-folders (``.ipynb_checkpoints``), ``__MACOSX`` and the like."""
    return name.startswith(".") or name.lower() in _IGNORED_FOLDERS


def visible_folders(folder: Path, passed: Passed | None = None) -> list[Path]:
    """Folders directly below ``folder`` that may hold data, sorted by name.

    Raises:
        DataError: If a link leads out of where data may be read, as from all that look for files here.
    """
    out = []
    try:
        children = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return []
    for child in children:
        if child.is_dir():
            if not is_ignored_folder(child.name):
                if child.is_symlink():
                    check_reach(child.path)
                out.append(folder / child.name)
            elif passed is not None:
                passed.folders += 1
    return out


def visible_files(folder: Path, suffix: str = "") -> list[Path]:
    """Files directly below ``folder`` that are not hidden, sorted by name; with ``suffix`` only those, of any case."""
    entries = (e for e in os.scandir(folder) if not e.name.startswith(".") and e.name.lower().endswith(suffix))
    return [folder / name for name in sorted(e.name for e in entries if e.is_file())]


def images_below(folder: Path, passed: Passed, suffixes: frozenset[str] = IMAGE_SUFFIXES) -> Iterator[Path]:
    """Every image below ``folder``, sorted; folders are searched however deep, linked ones once."""
    seen: set[str] = set()
    for current, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(current)
        check_reach(real)
        if real in seen:  # a link back up
            folders.clear()
            continue
        seen.add(real)
        kept = sorted(f for f in folders if not is_ignored_folder(f))
        passed.folders += len(folders) - len(kept)
        folders[:] = kept
        readable = {os.path.splitext(f)[0] for f in files if os.path.splitext(f)[1].lower() in suffixes}
        for name in sorted(files):
            path = Path(current, name)
            suffix = path.suffix.lower()
            if not name.startswith(".") and (
                suffix in suffixes or (suffix in OTHER_PICTURES and path.stem not in readable)  # IMG.CR2 beside IMG.JPG
            ):
                yield path
            else:
                passed.file(path)


def is_image_name(path: Path) -> bool:
    """Whether the suffix is that of an image."""
    return path.suffix.lower() in IMAGE_SUFFIXES | OTHER_PICTURES


def holds_images(folder: Path, suffixes: frozenset[str] = IMAGE_SUFFIXES) -> bool:
    """Whether there is an image anywhere below ``folder``."""
    return next(images_below(folder, Passed(), suffixes), None) is not None
