"""A run as a file on the page: written by ``export`` in the assistant, handed over, kept nowhere.

``GET api/runs/ID/export/FORMAT``: settings, command, script, network or page; the weights have a route of their own
(``live.py``).
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from urllib.parse import quote

from fastapi import APIRouter, HTTPException
from fastapi.responses import Response

from fine_tuner.runs.store import RunStore
from fine_tuner.ui.api import texts
from fine_tuner.ui.api.answers import run_of
from fine_tuner.ui.jobs.questions import Questions

KINDS = {
    "yaml": "application/yaml",
    "command": "text/x-shellscript",
    "script": "text/x-python",
    "onnx": "application/octet-stream",
    "html": "application/octet-stream",  # to be saved: opened here it would be a page of this origin
    "csv": "text/csv",
}


class ExportRoutes:
    """The route, on the runs and on what is asked of the assistant; the guard lets only the owner reach it."""

    def __init__(self, store: RunStore, questions: Questions) -> None:
        self._store = store
        self._questions = questions

    def router(self) -> APIRouter:
        """Of the one route."""
        router = APIRouter(prefix="/api")
        router.get("/runs/{run_id}/export/{kind}")(self.export)
        return router

    def export(self, run_id: str, kind: str) -> Response:
        """One file, with the name that it should be saved under."""
        if kind not in KINDS:
            raise HTTPException(404, texts.NO_FORMAT.format(format=kind, known=", ".join(KINDS)))
        folder = run_of(self._store, run_id).path.resolve()
        with tempfile.TemporaryDirectory(prefix="fine-tuner-export-") as place:
            command = ["export", str(folder), "--format", kind, "--output", place, "--json"]
            answer = self._questions.answer(command, keep=False)
            if answer.value is None:
                raise HTTPException(409, " ".join(answer.errors.values()))
            made = Path(answer.value["file"])
            content = made.read_bytes()
        is_plain = quote(made.name) == made.name  # a run's folder may have any name
        named = (
            f'attachment; filename="{made.name}"' if is_plain else f"attachment; filename*=utf-8''{quote(made.name)}"
        )
        headers = {"Content-Disposition": named, "Cache-Control": "no-store"}
        return Response(content, media_type=KINDS[kind], headers=headers)
