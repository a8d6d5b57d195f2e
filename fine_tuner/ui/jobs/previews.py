"""Training images as the network will see them: written by the command line into a private folder, served by name."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fine_tuner.ui.jobs.questions import Answer, Questions

KEPT = 12
PICTURES = 12


class Previews:
    """Folders of pictures by the settings that they show; the oldest go first."""

    def __init__(self, questions: Questions) -> None:
        self._questions = questions
        self._root: Path | None = None
        self._lock = threading.Lock()
        self._folders: OrderedDict[str, Path] = OrderedDict()

    def make(self, argv: Sequence[str], *, draw: int, visitor: str, number: int, only: str = "") -> Answer:
        """Pictures for the settings ``argv``, of the class ``only`` if it is named; ``draw`` counts reshuffles.

        Its value holds ``images``: ``{"url", "label"}`` each, the address relative to the page.
        """
        key = hashlib.sha256("\0".join([*argv, str(draw), only]).encode()).hexdigest()[:20]
        folder = self.folder(key)
        command = ["preview-data", *argv, "--out", str(folder), "--count", str(PICTURES), "--shuffle", str(draw)]
        command += [f"--only={only}"] if only else []
        answer = self._questions.answer([*command, "--json"], visitor=visitor, number=number)
        if answer.value is None:
            return answer
        self.keep(key, folder)
        images = [_image(key, image) for image in answer.value["images"]]
        return Answer(value={**answer.value, "images": images})

    def path(self, key: str, name: str) -> Path | None:
        """The file of one picture; None if it is none of ours."""
        folder = self._folders.get(key)
        path = None if folder is None else folder / Path(name).name
        return path if path is not None and path.suffix == ".png" and path.is_file() else None

    def close(self) -> None:
        """Delete the pictures."""
        if self._root is not None:
            shutil.rmtree(self._root, ignore_errors=True)

    def folder(self, key: str) -> Path:
        """Where a command may write pictures under ``key``."""
        with self._lock:
            if self._root is None:
                self._root = Path(tempfile.mkdtemp(prefix="fine-tuner-preview-"))
            return self._root / key

    def keep(self, key: str, folder: Path) -> None:
        """Serve the pictures in ``folder`` until newer ones take their place."""
        with self._lock:
            self._folders[key] = folder
            self._folders.move_to_end(key)
            gone = [self._folders.popitem(last=False)[1] for _ in range(len(self._folders) - KEPT)]
        for old in gone:
            shutil.rmtree(old, ignore_errors=True)


def _image(key: str, image: dict[str, Any]) -> dict[str, Any]:
    return {"url": f"api/preview/{key}/{Path(image['file']).name}", "label": str(image.get("label", ""))}
