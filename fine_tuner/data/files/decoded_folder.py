"""The folder of decoded pictures: how much it holds, making room in it, deleting it. Any process may use it any time.

Every file in it can be made again. It is written whole under another name first, so that two runs that decode the same
picture at once both leave a good one, and a file that vanishes while it is read is only decoded again.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from fine_tuner.base.cache_folder import cache_folder
from fine_tuner.base.files import write_atomically

_MIB = 2**20
_FULL, _EMPTIED_TO = 3 / 4, 1 / 2  # of the limit: where room is made, and how much
_IN_USE_SECONDS = 3600  # what was used since may be of a run at work
_SHARE_OF_DISK = 1 / 4  # of what is free on it
_LOOK_AGAIN = 1 / 16  # of the room: after so much, what others have written is looked at
_TOO_LITTLE = 1 / 64  # of the limit


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    used_at: float
    size: int


class DecodedFolder:
    """Files by name, of ``limit_mib`` at most together.

    Args:
        path: Of the folder; made when something is kept.
        limit_mib: Of all files, whoever wrote them.
    """

    def __init__(self, path: Path, *, limit_mib: int) -> None:
        self.path, self._limit = path, limit_mib * _MIB
        self._room: float | None = None  # not looked at yet
        self._look_again_at = 0.0

    @classmethod
    def of_cache(cls, *, limit_mib: int = 0) -> Self:
        """That of the cache folder."""
        return cls(cache_folder() / "decoded", limit_mib=limit_mib)

    def file(self, name: str) -> Path:
        """Where a file of this name is, if it is there."""
        return self.path / name[:2] / name

    def keep(self, name: str, data: bytes) -> bool:
        """Write a file if there is room; returns whether it was written."""
        if not self._has_room(len(data)):
            return False
        try:
            write_atomically(self.file(name), data, is_durable=False)
        except OSError:  # a full or read-only disk
            self._room = 0
            return False
        assert self._room is not None
        self._room -= len(data)
        return True

    def used_bytes(self) -> int:
        """Of all files."""
        return sum(file.size for file in self._files())

    def delete(self) -> None:
        """Delete all; runs at work decode again."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _has_room(self, size: int) -> bool:
        if self._room is None or (self._room > 0 and self._room - size < self._look_again_at):
            self._look()
        return size <= (self._room or 0)

    def _look(self) -> None:
        """Find how much room there is now; make some once in a process, if the folder is nearly full."""
        used = self.used_bytes()
        if self._room is None and used > _FULL * self._limit:
            used = self._make_room(used)
        self._room = min(self._limit - used, _SHARE_OF_DISK * self._free_bytes())
        if self._room < _TOO_LITTLE * self._limit:
            self._room = 0
        self._look_again_at = (1 - _LOOK_AGAIN) * self._room

    def _make_room(self, used: int) -> int:
        """Delete what was used longest ago; returns what is left."""
        latest = time.time() - _IN_USE_SECONDS
        for file in sorted(self._files(), key=lambda file: file.used_at):
            if used <= _EMPTIED_TO * self._limit or file.used_at > latest:
                break
            with suppress(OSError):  # gone already, or open on a system that keeps it then
                file.path.unlink()
                used -= file.size
        return used

    def _files(self) -> Iterator[_File]:
        for folder, _, names in os.walk(self.path):
            for name in names:
                with suppress(OSError):
                    found = os.stat(path := Path(folder, name))
                    yield _File(path, found.st_mtime, found.st_size)

    def _free_bytes(self) -> int:
        parent = next((p for p in (self.path, *self.path.parents) if p.is_dir()), None)
        return shutil.disk_usage(parent).free if parent else 0
