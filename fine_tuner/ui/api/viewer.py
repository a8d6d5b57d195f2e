"""The viewer's routes: live curves of published runs, their list, and trying a published model on one's own picture.

The viewer's page contains no function at all. What it draws comes from these routes, which answer with what
``redacted.py`` lets through, for published runs only; whether another run exists is not told.

====================================  ====================================================================
``GET view/api/live?run=&since=``     new points and the state
``GET view/api/live/detail``          finer points of a part of the run
``GET view/api/runs``                 published runs, newest first
``GET view/api/runs/ID``              title, and what the charts need
``POST view/api/runs/ID/try``         a picture as body; what the run's best weights say of it
====================================  ====================================================================
"""

from __future__ import annotations

import dataclasses
import threading
from collections import OrderedDict
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from fine_tuner.base.errors import RunError
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.publishing import Published, published
from fine_tuner.runs.store import RunStore
from fine_tuner.runs.view.live import LiveFeed, detail
from fine_tuner.ui.access.limits import POLLS_PER_SECOND, Meter, VisitorLimits, Watching
from fine_tuner.ui.access.roles import require_viewer
from fine_tuner.ui.access.texts import TOO_MANY
from fine_tuner.ui.api import redacted, texts
from fine_tuner.ui.api.answers import json_answer
from fine_tuner.ui.api.live import describe
from fine_tuner.ui.api.viewer_predictions import RefusedError, Trials

_MOST_KEYS = 64
_ANSWERS_KEPT = 32
_NO_RUNS = {"run": None, "cursor": "", "reset": True, "state": None, "curves": []}


class ViewerRoutes:
    """The routes, on what the owner has published."""

    def __init__(
        self,
        store: RunStore,
        trials: Trials,
        watching: Watching,
        limits: VisitorLimits,
        *,
        feed: LiveFeed | None = None,
    ) -> None:
        self._store = store
        self._trials = trials
        self._watching = watching
        self._limits = limits
        self._meter = Meter()
        self._feed = feed or LiveFeed(store.view_soon)
        self._lock = threading.Lock()
        self._made: OrderedDict[tuple[str, str], tuple[bytes, bytes]] = OrderedDict()

    def router(self) -> APIRouter:
        """All of them; sync functions, which FastAPI runs in threads."""
        router = APIRouter(prefix="/view/api", dependencies=[Depends(require_viewer)])
        router.get("/live")(self.live)
        router.get("/live/detail")(self.live_detail)
        router.get("/runs")(self.runs)
        router.get("/runs/{run_id}")(self.about)
        router.post("/runs/{run_id}/try")(self.predict)
        return router

    def live(self, request: Request, run: str = "", since: Annotated[str, Query(max_length=100)] = "") -> Response:
        """Points after the cursor ``since``, and the state; without ``run`` of the newest published run."""
        run_id = run or next(iter(self._shown()), "")
        self._admit(request)
        if not run_id:
            return json_answer(request, _NO_RUNS)
        self._published(request, run_id)
        return json_answer(request, self._told(run_id, since))

    def _told(self, run_id: str, since: str) -> bytes:
        """The redacted answer, made once for all viewers who hold the same points."""
        data = self._feed.tick(run_id, since)
        with self._lock:
            known = self._made.get((run_id, since))
        if known is not None and known[0] is data:  # the feed gives the same bytes while they hold
            return known[1]
        told = orjson.dumps(redacted.live({"run": run_id} | orjson.loads(data)) | {"beat": self._beat()})
        with self._lock:
            self._made[run_id, since] = (data, told)
            while len(self._made) > _ANSWERS_KEPT:
                self._made.popitem(last=False)
        return told

    def _beat(self) -> int:
        """Milliseconds until a viewer's page had best ask again, so that all together leave the processor alone."""
        return round(1000 * max(1.0, len(self._watching.now()) / POLLS_PER_SECOND))

    def live_detail(
        self, request: Request, run: str, x0: float, x1: float, key: Annotated[list[str], Query(max_length=_MOST_KEYS)]
    ) -> Response:
        """Points of the curves ``key`` between two steps."""
        self._admit(request)
        self._published(request, run)
        view = self._store.view(run)
        curves = [detail(view, name, x0, x1) for name in key if redacted.METRIC.fullmatch(name)]
        return json_answer(request, {"curves": curves})

    def runs(self, request: Request) -> Response:
        """Published runs, newest first."""
        self._admit(request)
        lines = [(self._store.summary(run_id), what) for run_id, what in self._shown().items()]
        told = [
            redacted.line(dataclasses.asdict(line), can_try=self._can_try(line.id, what))
            for line, what in lines
            if line
        ]
        return json_answer(request, {"runs": told})

    def about(self, run_id: str, request: Request) -> Response:
        """Title, and what the charts need."""
        self._admit(request)
        what = self._published(request, run_id)
        given = describe(self._store.view(run_id))
        return json_answer(request, redacted.about(given, can_try=self._can_try(run_id, what)))

    async def predict(self, run_id: str, request: Request) -> dict[str, Any]:
        """What the run's best weights say of the picture in the body."""
        self._admit(request)
        if not self._can_try(run_id, self._published(request, run_id)):
            raise HTTPException(404, texts.NOTHING_TO_TRY)
        data = await request.body()  # at most PICTURE_BYTES, the guard sees to that
        try:
            return {"prediction": await run_in_threadpool(self._trials.answer, run_id, data, request.state.session)}
        except RefusedError as refused:
            raise HTTPException(refused.status, str(refused)) from None

    # ---------------------------------------------------------------- checks
    def _admit(self, request: Request) -> None:
        """Count the visitor, and all visitors together."""
        if request.state.role == "viewer":
            is_calm = self._meter.take("one", request.state.session, self._limits.asks)
            if not is_calm or not self._meter.take("all", "", self._limits.viewers):
                raise HTTPException(429, TOO_MANY)
            self._watching.saw(request.state.session)

    def _shown(self) -> dict[str, Published]:
        """Ids of published runs, newest first, and what is shown of each."""
        found = ((run_id, published(RunFolder(self._store.root / run_id))) for run_id in self._store.ids())
        return {run_id: what for run_id, what in found if what.run}

    def _published(self, request: Request, run_id: str) -> Published:
        """What is shown of a run; a run that is not published and one that is not there look the same."""
        try:
            what = published(self._store.get(run_id))
        except RunError:
            what = Published()
        if not what.run:
            raise HTTPException(404, texts.NOT_PUBLISHED)
        if request.state.role == "viewer":
            self._watching.saw(request.state.session, run_id)
        return what

    def _can_try(self, run_id: str, what: Published) -> bool:
        return what.model and self._store.get(run_id).best_weights.is_file()
