"""Files of the user's own losses: read and written below the allowed folders, whole or not at all."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from fine_tuner.base.errors import InputError
from fine_tuner.base.files import write_atomically
from fine_tuner.losses.code import read_code
from fine_tuner.ui.form.folders import Allowed, find_below
from fine_tuner.ui.jobs import texts


class ConflictError(InputError):
    """The file on disk is not the one that the editor began with."""


class LossFiles:
    """Reads and writes Python files for the editor.

    Args:
        allowed: Folders below which files may lie.
        folder: Where a file goes that is given by its name alone.
    """

    def __init__(self, allowed: Allowed, folder: Path) -> None:
        self._allowed = allowed
        self.folder = folder

    def read(self, path: str) -> dict[str, Any]:
        """``{"path", "text", "sha256"}`` of a file.

        Raises:
            InputError: If it is missing, outside of the allowed folders, or no text.
        """
        found = find_below(path, self._allowed.roots)
        if found is None or not found.is_file():
            raise InputError(self._allowed.nowhere(path))
        code = read_code(found)
        return {"path": str(found), "text": code.text, "sha256": code.sha256}

    def write(self, path: str, text: str, *, base: str, free: bool = False) -> dict[str, Any]:
        """Save the editor's text.

        Args:
            path: Absolute, or a name for a file in ``folder``.
            text: The code.
            base: SHA-256 of what the editor read from there; empty for a new file.
            free: If something else has the name, take the next: ``my_loss_2.py``.

        Raises:
            ConflictError: If something else is there now.
            InputError: If the place is not allowed, is no Python file, or cannot be written.
        """
        target = first = self._target(path)
        number = 2
        while free and _is_another(target, text, base):
            target = first.with_stem(f"{first.stem}_{number}")
            number += 1
        if _is_another(target, text, base):
            raise ConflictError(texts.FILE_CHANGED.format(path=target))
        try:
            write_atomically(target, text)
        except OSError as error:
            raise InputError(texts.FILE_NOT_WRITTEN.format(path=target, error=error.strerror or error)) from None
        return {"path": str(target), "sha256": hashlib.sha256(text.encode()).hexdigest()}

    def _target(self, path: str) -> Path:
        text = path.strip()
        if not text.endswith(".py"):
            raise InputError(texts.NO_PYTHON_NAME.format(path=text))
        if "/" not in text and "\\" not in text:
            self.folder.mkdir(parents=True, exist_ok=True)
            text = str(self.folder / text)
        try:
            target = Path(text).expanduser().resolve()
        except (OSError, RuntimeError, ValueError):
            raise InputError(self._allowed.nowhere(path)) from None
        is_inside = any(target.is_relative_to(root) for root in (*self._allowed.roots, self.folder.resolve()))
        if not is_inside or not target.parent.is_dir() or target.is_dir():
            raise InputError(self._allowed.nowhere(path))
        return target


def _is_another(target: Path, text: str, base: str) -> bool:
    """Whether a file is there that is neither what the editor began with nor what it holds."""
    if not target.exists():
        return False
    there = read_code(target)
    return there.sha256 != base and there.text != text
