"""The routes that the live panel (``assets/live/live.js``) asks once a second, on any run.

===============================  =======================================================================
``GET api/live?run=&since=``     new points and the state; see ``runs/view/live.py``; without ``run`` the newest
``GET api/live/detail``          finer points of a part of the run, for a zoomed chart
``GET api/runs``                 all runs, newest first
``GET api/runs/ID``              facts, marks, messages, why it failed, what can be done
``GET api/runs/ID/weights``      the best weights as a file
``POST api/runs/ID/ACTION``      stop, pause, resume, checkpoint, evaluate: whatever the app offers
===============================  =======================================================================
"""

from __future__ import annotations

import dataclasses
import gzip
import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import FileResponse, Response

from fine_tuner.base.errors import RunError
from fine_tuner.base.files import read_json
from fine_tuner.runs import queue
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.log.events import Mark
from fine_tuner.runs.store import RunStore
from fine_tuner.runs.view.live import LiveFeed, detail
from fine_tuner.runs.view.next_steps import next_steps, situation_of
from fine_tuner.runs.view.run_view import RunView

Act = Callable[[RunFolder], object]
_MOST_KEYS = 64
_WORTH_COMPRESSING = 600  # bytes
_LIST_SECONDS = 0.3  # for logs that were never read; what comes later is in the next list
_LARGE = 20_000  # bytes: from here on speed matters more than size
_NO_STORE = {"Cache-Control": "no-store"}
_NO_RUNS = b'{"run":null,"cursor":"","reset":true,"state":null,"curves":[]}'


class LiveRoutes:
    """The routes, on a store of runs."""

    def __init__(self, store: RunStore, actions: Mapping[str, Act], *, feed: LiveFeed | None = None) -> None:
        """``actions``: name to what is done with the run; raises RunError if its state forbids it."""
        self._store = store
        self._actions = dict(actions)
        self._feed = feed or LiveFeed(store.view_soon)

    def router(self) -> APIRouter:
        """All of them; sync functions, which FastAPI runs in threads."""
        router = APIRouter(prefix="/api")
        router.get("/live")(self.live)
        router.get("/live/detail")(self.live_detail)
        router.get("/runs")(self.runs)
        router.get("/runs/{run_id}")(self.about)
        router.get("/runs/{run_id}/weights")(self.weights)
        router.post("/runs/{run_id}/{action}")(self.act)
        return router

    def live(self, request: Request, run: str = "", since: Annotated[str, Query(max_length=100)] = "") -> Response:
        """Points after the cursor ``since``, and the state."""
        run_id = run or next(iter(self._store.ids()), "")
        if not run_id:
            return json_answer(request, _NO_RUNS)
        try:
            data = self._feed.tick(run_id, since)
        except RunError as error:
            raise HTTPException(404, str(error), _NO_STORE) from None
        return json_answer(request, b'{"run":' + json.dumps(run_id).encode() + b"," + data[1:])

    def live_detail(
        self, request: Request, run: str, x0: float, x1: float, key: Annotated[list[str], Query(max_length=_MOST_KEYS)]
    ) -> Response:
        """Points of the curves ``key`` between two steps, as finely as a chart can show."""
        view = self._view(run)
        return json_answer(request, {"curves": [detail(view, name, x0, x1) for name in key]})

    def runs(self, request: Request) -> Response:
        """All runs, newest first."""
        lines = [dataclasses.asdict(line) for line in self._store.list(_LIST_SECONDS)]
        waiting = {entry.run.id: place for place, entry in enumerate(queue.waiting(self._store.root))}
        return json_answer(request, {"runs": [line | {"queue": waiting.get(line["id"])} for line in lines]})

    def about(self, run_id: str, request: Request) -> Response:
        """What changes seldom: asked for again when the state says that there is something new."""
        view = self._view(run_id)
        waiting = [entry.run.id for entry in queue.waiting(self._store.root)] if view.status == "queued" else []
        return json_answer(request, describe(view, waiting.index(run_id) if run_id in waiting else None))

    def weights(self, run_id: str) -> FileResponse:
        """The weights of the best validation so far, with class names and preprocessing inside."""
        path = self._folder(run_id).best_weights
        if not path.is_file():
            text = f"The run {run_id} has no weights yet: they are kept after the first validation."
            raise HTTPException(404, text, _NO_STORE)
        return FileResponse(
            path, filename=f"{run_id}.safetensors", media_type="application/octet-stream", headers=_NO_STORE
        )

    def act(self, run_id: str, action: str, request: Request) -> Response:
        """Stop, pause or resume; asking twice is asking once."""
        folder = self._folder(run_id)
        if action not in self._actions:
            known = ", ".join(self._actions) or "none"
            raise HTTPException(404, f"There is no action {action!r} on this page. Actions: {known}.")
        try:
            self._actions[action](folder)
        except RunError as error:
            raise HTTPException(409, str(error)) from None
        return json_answer(request, {"run": run_id, "asked": action})

    def _folder(self, run_id: str) -> RunFolder:
        try:
            return self._store.get(run_id)
        except RunError as error:
            raise HTTPException(404, str(error), _NO_STORE) from None

    def _view(self, run_id: str) -> RunView:
        try:
            return self._store.view(run_id)
        except RunError as error:
            raise HTTPException(404, str(error), _NO_STORE) from None


def describe(view: RunView, queue: int | None = None) -> dict[str, Any]:
    """What the panel shows of a run beside curves and state; ``queue`` runs wait before it."""
    with view.lock:
        onward = next_steps(situation_of(view, queue))
        failure, notes = view.failure, read_json(view.run.notes) or {}
        return {
            "id": view.id,
            "title": str(notes.get("title") or view.info.get("title") or view.id),
            "facts": view.started,
            "messages": [dataclasses.asdict(message) for message in view.messages],
            "marks": [_mark(mark) for mark in view.marks],
            "failure": failure and dataclasses.asdict(failure),
            "can_resume": view.can_resume,
            "has_weights": view.run.best_weights.is_file(),
            "next": onward and dataclasses.asdict(onward),
        }


def _mark(mark: Mark) -> dict[str, Any]:
    """A mark without what it changed; one of what another setting would have done says so."""
    said = {"step": mark.step, "label": mark.label, "text": mark.text}
    return said | ({"is_ghost": True} if mark.is_ghost else {})


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


def json_answer(request: Request, content: bytes | Mapping[str, Any]) -> Response:
    """A JSON answer that nobody keeps; numbers that JSON has no word for become null."""
    data = content if isinstance(content, bytes) else _dumped(content)
    headers = dict(_NO_STORE)
    if len(data) > _WORTH_COMPRESSING and "gzip" in request.headers.get("accept-encoding", ""):
        data = gzip.compress(data, 1 if len(data) > _LARGE else 6, mtime=0)
        headers |= {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    return Response(data, media_type="application/json", headers=headers)
