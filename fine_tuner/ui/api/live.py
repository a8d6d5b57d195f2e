"""The routes that the live panel (``assets/live/live.js``) asks once a second, on any run.

===============================  =======================================================================
``GET api/live?run=&since=``     new points and the state; see ``runs/view/live.py``; without ``run`` the newest
``GET api/live/detail``          finer points of a part of the run, for a zoomed chart
``GET api/runs/ID``              facts, marks, messages, why it failed, what can be done
===============================  =======================================================================
"""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import Response

from fine_tuner.base.errors import RunError
from fine_tuner.base.files import read_json
from fine_tuner.runs import queue
from fine_tuner.runs.log.events import Mark
from fine_tuner.runs.store import RunStore
from fine_tuner.runs.view.live import LiveFeed, detail
from fine_tuner.runs.view.next_steps import next_steps, situation_of
from fine_tuner.runs.view.run_view import RunView
from fine_tuner.runs.view.time_spent import time_spent
from fine_tuner.ui.api.answers import NO_STORE, json_answer

_MOST_KEYS = 64
_NO_RUNS = b'{"run":null,"cursor":"","reset":true,"state":null,"curves":[]}'


class LiveRoutes:
    """The routes, on a store of runs."""

    def __init__(self, store: RunStore, *, feed: LiveFeed | None = None) -> None:
        self._store = store
        self._feed = feed or LiveFeed(store.view_soon)

    def router(self) -> APIRouter:
        """All of them; sync functions, which FastAPI runs in threads."""
        router = APIRouter(prefix="/api")
        router.get("/live")(self.live)
        router.get("/live/detail")(self.live_detail)
        router.get("/runs/{run_id}")(self.about)
        return router

    def live(self, request: Request, run: str = "", since: Annotated[str, Query(max_length=100)] = "") -> Response:
        """Points after the cursor ``since``, and the state."""
        run_id = run or next(iter(self._store.ids()), "")
        if not run_id:
            return json_answer(request, _NO_RUNS)
        try:
            data = self._feed.tick(run_id, since)
        except RunError as error:
            raise HTTPException(404, str(error), NO_STORE) from None
        return json_answer(request, b'{"run":' + json.dumps(run_id).encode() + b"," + data[1:])

    def live_detail(
        self, request: Request, run: str, x0: float, x1: float, key: Annotated[list[str], Query(max_length=_MOST_KEYS)]
    ) -> Response:
        """Points of the curves ``key`` between two steps, as finely as a chart can show."""
        view = self._view(run)
        return json_answer(request, {"curves": [detail(view, name, x0, x1) for name in key]})

    def about(self, run_id: str, request: Request) -> Response:
        """What changes seldom: asked for again when the state says that there is something new."""
        view = self._view(run_id)
        waiting = [entry.run.id for entry in queue.waiting(self._store.root)] if view.status == "queued" else []
        return json_answer(request, describe(view, waiting.index(run_id) if run_id in waiting else None))

    def _view(self, run_id: str) -> RunView:
        try:
            return self._store.view(run_id)
        except RunError as error:
            raise HTTPException(404, str(error), NO_STORE) from None


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
            "time": (spent := time_spent(view.facts.time_spent)) and dataclasses.asdict(spent),
            "next": onward and dataclasses.asdict(onward),
        }


def _mark(mark: Mark) -> dict[str, Any]:
    """A mark without what it changed; one of what another setting would have done says so."""
    said = {"step": mark.step, "label": mark.label, "text": mark.text}
    return said | ({"is_ghost": True} if mark.is_ghost else {})
