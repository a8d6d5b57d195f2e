"""Choosing data on the page: what a path is, and a zip brought by the browser.

The zip is written below the cache as it arrives and looked over without unpacking; what reads it later is the command
line, by its path, as any other data.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from fine_tuner.base.errors import DataError
from fine_tuner.data.files.archives import look_over
from fine_tuner.ui.form.folders import Allowed, path_errors
from fine_tuner.ui.jobs import texts
from fine_tuner.ui.jobs.questions import Questions

MAX_UPLOAD_BYTES = 4 * 2**30
SPARE_BYTES = 2**30  # left free on the disk, for runs
_NAME_LENGTH = 60


class Place(BaseModel):
    """A path of data to be recognised; see ``routes.Question``."""

    path: Annotated[str, Field(max_length=4096)]
    visitor: Annotated[str, Field(max_length=64)] = ""
    number: int = 0


class DataRoutes:
    """The routes; the guard lets only the owner reach them.

    Args:
        questions: Where ``recognise`` is asked.
        allowed: What the page permits; ``uploads`` is below its roots.
        uploads: Folder for zips.
        max_bytes: Of one zip.
    """

    def __init__(
        self, questions: Questions, allowed: Allowed, uploads: Path, *, max_bytes: int = MAX_UPLOAD_BYTES
    ) -> None:
        self._questions = questions
        self._allowed = allowed
        self._uploads = uploads
        self._max_bytes = max_bytes

    def router(self) -> APIRouter:
        """All of them."""
        router = APIRouter(prefix="/api/data")
        router.post("/recognise")(self.recognise)
        router.post("/upload")(self.upload)
        return router

    def recognise(self, place: Place) -> dict[str, Any]:
        """Task, layout and words; or why it cannot be told, which the plan says better."""
        errors = path_errors({"data": {"path": place.path}}, self._allowed)
        if errors:
            return {"value": None, "errors": errors, "overtaken": False}
        command = ["recognise", place.path, "--json"]
        return self._questions.answer(command, visitor=place.visitor, number=place.number).to_json()

    async def upload(self, request: Request, name: Annotated[str, Query(max_length=255)]) -> dict[str, Any]:
        """Keep the zip that is the body of the request; answers with the path to give as ``data.path``."""
        if not name.lower().endswith(".zip"):
            raise HTTPException(422, texts.NO_ZIP.format(name=name))
        await run_in_threadpool(self._uploads.mkdir, parents=True, exist_ok=True)
        limit = min(self._max_bytes, shutil.disk_usage(self._uploads).free - SPARE_BYTES)
        if int(request.headers.get("content-length", 0)) > limit:
            raise HTTPException(413, texts.ZIP_TOO_LARGE.format(limit=_size(limit)))
        draft = self._uploads / f".{secrets.token_hex(8)}"
        try:
            await _write(request.stream(), draft, limit)
            place = await run_in_threadpool(_keep, draft, self._uploads, name)
        except DataError as error:
            raise HTTPException(422, str(error).replace(str(draft), name)) from None
        except OSError as error:
            raise HTTPException(507, texts.ZIP_NOT_WRITTEN.format(error=error.strerror)) from None
        finally:
            draft.unlink(missing_ok=True)
        return {"path": str(place)}


async def _write(chunks: AsyncIterator[bytes], draft: Path, limit: int) -> None:
    """The body as a file; refused as soon as it exceeds ``limit`` bytes, whatever its header said."""
    written = 0
    with draft.open("wb") as file:
        async for chunk in chunks:
            written += len(chunk)
            if written > limit:
                raise HTTPException(413, texts.ZIP_TOO_LARGE.format(limit=_size(limit)))
            await run_in_threadpool(file.write, chunk)


def _keep(draft: Path, folder: Path, name: str) -> Path:
    """Give a sound zip its name; one of the same content keeps the place that it has.

    Raises:
        DataError: If it is none, or made to do harm.
    """
    digest = look_over(draft)
    stem = "".join(c if c.isalnum() or c in "-_ " else "-" for c in name[: -len(".zip")]).strip() or "data"
    place = folder / digest[:12] / f"{stem[:_NAME_LENGTH]}.zip"
    place.parent.mkdir(exist_ok=True)
    for other in place.parent.glob("*.zip"):
        return other
    return draft.rename(place)


def _size(count: int) -> str:
    return f"{count / 2**30:.3g} GiB" if count >= 2**30 else f"{max(count, 0) / 2**20:.3g} MiB"
