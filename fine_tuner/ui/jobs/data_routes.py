"""Choosing data on the page: folders to browse, what a path is, and a zip brought by the browser.

The zip is written below the cache as it arrives and looked over without unpacking; what reads it later is the command
line, by its path, as any other data.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from fine_tuner.base.cache_folder import CACHE_VARIABLE
from fine_tuner.base.errors import DataError
from fine_tuner.data.files.uploads import MAX_TOTAL_BYTES, UNUSED_SECONDS, Uploads
from fine_tuner.ui.form.folders import Allowed, list_folders, path_errors
from fine_tuner.ui.jobs import texts
from fine_tuner.ui.jobs.questions import Questions

MAX_UPLOAD_BYTES = 4 * 2**30
SPARE_BYTES = 2**30  # left free on the disk, for runs


class Place(BaseModel):
    """A path of data to be recognised; see ``questions.Question``."""

    path: Annotated[str, Field(max_length=4096)]
    visitor: Annotated[str, Field(max_length=64)] = ""
    number: int = 0


class DataRoutes:
    """The routes; the guard lets only the owner reach them.

    Args:
        questions: Where ``recognise`` is asked.
        allowed: What the page permits; ``uploads`` is below its roots.
        uploads: Zips brought by the browser.
        roots: Folders to browse for data.
        max_bytes: Of one zip.
    """

    def __init__(
        self,
        questions: Questions,
        allowed: Allowed,
        uploads: Uploads,
        *,
        roots: Sequence[Path],
        max_bytes: int = MAX_UPLOAD_BYTES,
    ) -> None:
        self._questions = questions
        self._allowed = allowed
        self._uploads = uploads
        self._roots = roots
        self._max_bytes = max_bytes

    def router(self) -> APIRouter:
        """All of them."""
        router = APIRouter(prefix="/api")
        router.get("/folders")(self.folders)
        router.post("/data/recognise")(self.recognise)
        router.post("/data/upload")(self.upload)
        router.get("/data/uploads")(self.uploads)
        router.post("/data/uploads/remove")(self.remove)
        return router

    def folders(self, path: Annotated[str, Query(max_length=4096)] = "") -> dict[str, Any]:
        """Folders inside a folder, for choosing data; the allowed roots for an empty path."""
        if not path:
            return {"path": "", "folders": [str(root) for root in self._roots]}
        found = list_folders(path, self._allowed.roots)
        if found is None:
            raise HTTPException(404, texts.NO_SUCH_FOLDER)
        return {"path": found[0], "folders": found[1]}

    def recognise(self, place: Place) -> dict[str, Any]:
        """Task, layout and words; or why it cannot be told, which the plan says better."""
        errors = path_errors({"data": {"path": place.path}}, self._allowed)
        if errors:
            return {"value": None, "errors": errors, "overtaken": False}
        self._uploads.use(place.path)
        command = ["recognise", place.path, "--json"]
        return self._questions.answer(command, visitor=place.visitor, number=place.number).to_json()

    async def upload(self, request: Request, name: Annotated[str, Query(max_length=255)]) -> dict[str, Any]:
        """Keep the zip that is the body of the request; answers with the path to give as ``data.path``."""
        if not name.lower().endswith(".zip"):
            raise HTTPException(422, texts.NO_ZIP.format(name=name))
        draft: Path | None = None
        try:
            draft = await run_in_threadpool(self._uploads.draft)
            limit = await run_in_threadpool(self._limit)
            if int(request.headers.get("content-length", 0)) > limit:
                raise HTTPException(413, self._too_large(limit))
            await _write(request.stream(), draft, limit, self._too_large(limit))
            place = await run_in_threadpool(self._uploads.keep, draft, name)
        except DataError as error:
            raise HTTPException(422, str(error).replace(str(draft), name)) from None
        except OSError as error:
            reason = {"error": error.strerror, "folder": self._uploads.folder, "variable": CACHE_VARIABLE}
            raise HTTPException(507, texts.ZIP_NOT_WRITTEN.format_map(reason)) from None
        finally:
            if draft is not None:
                draft.unlink(missing_ok=True)
        return {"path": str(place)}

    def _limit(self) -> int:
        """Bytes that may come: of one zip, of all together, and what the disk has room for."""
        kept = sum(upload.num_bytes for upload in self._uploads.list())
        free = shutil.disk_usage(self._uploads.folder).free - SPARE_BYTES
        return min(self._max_bytes, MAX_TOTAL_BYTES - kept, free)

    def _too_large(self, limit: int) -> str:
        if limit < self._max_bytes:
            return texts.ZIPS_TOO_LARGE.format(limit=_size(limit), folder=self._uploads.folder)
        return texts.ZIP_TOO_LARGE.format(limit=_size(limit))

    def uploads(self) -> dict[str, Any]:
        """The zips that are kept, and where."""
        kept = [{"path": str(u.path), "bytes": u.num_bytes, "used": u.used} for u in self._uploads.list()]
        return {"folder": str(self._uploads.folder), "days": UNUSED_SECONDS // 86400, "uploads": kept}

    def remove(self, place: Place) -> dict[str, Any]:
        """Remove one of them, with what was unpacked from it."""
        try:
            self._uploads.remove(place.path)
        except DataError as error:
            raise HTTPException(404, str(error)) from None
        return self.uploads()


async def _write(chunks: AsyncIterator[bytes], draft: Path, limit: int, refusal: str) -> None:
    """The body as a file; refused as soon as it exceeds ``limit`` bytes, whatever its header said."""
    written = 0
    with draft.open("wb") as file:
        async for chunk in chunks:
            written += len(chunk)
            if written > limit:
                raise HTTPException(413, refusal)
            await run_in_threadpool(file.write, chunk)


def _size(count: int) -> str:
    return f"{count / 2**30:.3g} GiB" if count >= 2**30 else f"{max(count, 0) / 2**20:.3g} MiB"
