"""Zips brought by the browser: below one folder for this user alone, of limited size, until nobody needs them.

::

    uploads/<12 hex digits of its content>/<name>.zip      unpacked beside it, see ``archives.py``, once it is read
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fine_tuner.base.errors import DataError
from fine_tuner.data.files.archives import look_over, unpacked_folder

MAX_TOTAL_BYTES = 20 * 2**30
UNUSED_SECONDS = 30 * 24 * 3600
_NAME_LENGTH = 60
_DIGITS = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    """One zip.

    Attributes:
        num_bytes: Of the zip and of what was unpacked from it.
        used: When it was last brought or named, Unix time.
    """

    path: Path
    num_bytes: int
    used: float


class Uploads:
    """The zips below ``folder``, which is made 0700 when the first comes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def draft(self) -> Path:
        """A path to write a zip to that comes in; nobody else may read it.

        Raises:
            OSError: As the file system says.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        path = self.folder / f".{secrets.token_hex(8)}"
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        return path

    def keep(self, draft: Path, name: str) -> Path:
        """Give a sound zip its name; one of the same content keeps the place that it has.

        Raises:
            DataError: If it is none, or made to do harm.
        """
        digest = look_over(draft)
        stem = "".join(c if c.isalnum() or c in "-_ " else "-" for c in name[: -len(".zip")]).strip() or "data"
        place = self.folder / digest[:_DIGITS] / f"{stem[:_NAME_LENGTH]}.zip"
        place.parent.mkdir(mode=0o700, exist_ok=True)
        for other in place.parent.glob("*.zip"):
            os.utime(other)
            return other
        return draft.rename(place)

    def list(self) -> list[Upload]:
        """All zips, the one last used first."""
        return sorted(self._each(), key=lambda upload: -upload.used)

    def _each(self) -> Iterator[Upload]:
        for path in self.folder.glob("*/*.zip"):
            try:
                status = path.stat()
                count = status.st_size + _bytes_below(_unpacked(path))
            except OSError:  # removed meanwhile
                continue
            yield Upload(path=path, num_bytes=count, used=status.st_mtime)

    def use(self, path: str) -> None:
        """Note that a path was named: what is used stays."""
        place = Path(path)
        if place.parent.parent == self.folder and place.is_file():
            os.utime(place)

    def remove(self, path: str) -> None:
        """Remove a zip and what was unpacked from it.

        Raises:
            DataError: If it is none of these.
        """
        known = next((u.path for u in self._each() if str(u.path) == path), None)
        if known is None:
            raise DataError(f"{path} is no zip in {self.folder}. Look at the list again.")
        shutil.rmtree(_unpacked(known), ignore_errors=True)
        shutil.rmtree(known.parent, ignore_errors=True)

    def sweep(self, *, is_needed: Callable[[Path], bool], now: float | None = None) -> list[Path]:
        """Remove what came only in part, and zips that were not used for a month and that nothing needs.

        Args:
            is_needed: Whether a run was made from the zip.
            now: Unix time.
        """
        now = time.time() if now is None else now
        removed = []
        for draft in self.folder.glob(".*"):
            if now - draft.stat().st_mtime > 24 * 3600:
                draft.unlink(missing_ok=True)
        for upload in self.list():
            if now - upload.used > UNUSED_SECONDS and not is_needed(upload.path):
                self.remove(str(upload.path))
                removed.append(upload.path)
        return removed


def _unpacked(path: Path) -> Path:
    """Where ``path`` was unpacked to, by the digits of its folder; a folder that is not there if it was not."""
    return unpacked_folder(path.stem, path.parent.name, num_digits=_DIGITS)


def _bytes_below(folder: Path) -> int:
    return sum(os.lstat(Path(place, name)).st_size for place, _, names in os.walk(folder) for name in names)
