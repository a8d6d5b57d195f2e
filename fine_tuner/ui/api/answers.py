"""How the routes on runs answer: JSON that nobody keeps, compressed where that is worth it; 404 for no such run."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import HTTPException, Request
from fastapi.responses import Response

from fine_tuner.base.errors import RunError
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.store import RunStore

NO_STORE = {"Cache-Control": "no-store"}
KEEP = {"Cache-Control": "private, max-age=86400"}  # of pictures whose addresses carry when they were made
_WORTH_COMPRESSING = 600  # bytes
_LARGE = 20_000  # bytes: from here on speed matters more than size


def run_of(store: RunStore, run_id: str) -> RunFolder:
    """The run of this id.

    Raises:
        HTTPException: 404, if there is none.
    """
    try:
        return store.get(run_id)
    except RunError as error:
        raise HTTPException(404, str(error), NO_STORE) from None


def json_answer(request: Request, content: bytes | Mapping[str, Any]) -> Response:
    """A JSON answer that nobody keeps; numbers that JSON has no word for become null."""
    data = content if isinstance(content, bytes) else _dumped(content)
    headers = dict(NO_STORE)
    if len(data) > _WORTH_COMPRESSING and "gzip" in request.headers.get("accept-encoding", ""):
        data = gzip.compress(data, 1 if len(data) > _LARGE else 6, mtime=0)
        headers |= {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    return Response(data, media_type="application/json", headers=headers)


def _dumped(content: Any) -> bytes:
    try:
        return orjson.dumps(content)
    except TypeError:  # half a character, as a title that somebody wrote into a file may hold
        return orjson.dumps(_whole(content))


def _whole(value: Any) -> Any:
    """``value`` with texts of whole characters."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {_whole(str(key)): _whole(item) for key, item in value.items()}
    return [_whole(item) for item in value] if isinstance(value, list | tuple) else value
