"""Predictions for viewers: one at a time, with little patience, in a process that yields to everything else."""

from __future__ import annotations

import base64
import tempfile
import threading
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from fine_tuner.ui.access.limits import Meter, VisitorLimits
from fine_tuner.ui.api import redacted, texts
from fine_tuner.ui.jobs.questions import Ask, read_reply

MEGAPIXELS = 40
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")


class RefusedError(Exception):
    """A picture that gets no answer: an HTTP status, and why, for the visitor."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def check_picture(data: bytes) -> str:
    """The format of a picture, told by its content and without decoding it.

    Raises:
        RefusedError: If it is none of those allowed, or too large.
    """
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            width, height, kind = *image.size, str(image.format)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise RefusedError(415, texts.TRY_NO_PICTURE) from None
    if width * height > MEGAPIXELS * 1_000_000:
        raise RefusedError(413, texts.TRY_TOO_LARGE.format(megapixels=MEGAPIXELS))
    return kind.lower()


class Trials:
    """Answers of published models for viewers' pictures.

    Args:
        ask: Answers command lines.
        runs: Folder of runs.
        limits: How many.
    """

    def __init__(self, ask: Ask, runs: Path, limits: VisitorLimits) -> None:
        self._ask = ask
        self._runs = runs
        self._limits = limits
        self._meter = Meter()
        self._places = threading.BoundedSemaphore(limits.waiting_tries + 1)
        self._busy: set[str] = set()
        self._lock = threading.Lock()

    def answer(self, run_id: str, data: bytes, session: str) -> dict[str, Any]:
        """What the run's best weights say of a picture.

        Args:
            run_id: A run whose model is published.
            data: The picture's file.
            session: Whose picture it is.

        Raises:
            RefusedError: If it is no picture, or too many were asked for.
        """
        if not self._meter.take("session", session, self._limits.tries):
            raise RefusedError(429, texts.TRY_TOO_OFTEN)
        kind = check_picture(data)
        if not self._meter.take("all", "", self._limits.all_tries):
            raise RefusedError(503, texts.TRY_BUSY)
        with self._lock:
            is_free = session not in self._busy and self._places.acquire(blocking=False)
            if not is_free:
                raise RefusedError(503, texts.TRY_BUSY)
            self._busy.add(session)
        try:
            return self._predict(run_id, data, kind)
        finally:
            with self._lock:
                self._busy.discard(session)
                self._places.release()

    def _predict(self, run_id: str, data: bytes, kind: str) -> dict[str, Any]:
        with tempfile.TemporaryDirectory(prefix="fine-tuner-try-") as folder:  # 0700
            picture = Path(folder) / f"picture.{kind}"
            picture.write_bytes(data)
            command = ["predict", run_id, str(picture), "--runs", str(self._runs), "--overlays", folder, "--json"]
            answer = read_reply(self._ask(command))
            if answer.value is None:
                raise RefusedError(*((415, texts.TRY_NO_PICTURE) if answer.is_wrong_input else (500, texts.TRY_FAILED)))
            given = answer.value["predictions"][0]
            return redacted.prediction(given) | _overlay(given, Path(folder))


def _overlay(given: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The picture with its classes in colours, drawn anew by us, as an address that holds it; {} if there is none."""
    drawn = folder / Path(str(given.get("overlay") or "none")).name
    if not drawn.is_file():
        return {}
    return {"overlay": f"data:image/png;base64,{base64.b64encode(drawn.read_bytes()).decode()}"}
