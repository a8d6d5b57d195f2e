"""What a run gets right and wrong, for the page; all of it read from the run's folder.

=====================================================  =================================================================
``GET api/runs/ID/results``                            which evaluations there are, what could be evaluated, the job
``POST api/runs/ID/results``                           evaluate; 409 while another evaluation is under way
``POST api/runs/ID/results/cancel``                    leave off
``GET api/runs/ID/results/NAME``                       the figures
``GET api/runs/ID/results/NAME/pictures?of=``          a page of a list of pictures; see ``evaluation/pictures.py``
``GET api/runs/ID/results/NAME/picture/INDEX``         one of them, small or large
``GET api/runs/ID/results/NAME/layer/INDEX/WHAT``      what lies over it; see ``evaluation/layers.py``
=====================================================  =================================================================
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import Response

from fine_tuner.base.errors import DataError, RunError
from fine_tuner.base.files import MAX_JSON_BYTES, read_bounded, read_json
from fine_tuner.config.tasks import TargetKind
from fine_tuner.evaluation.layers import Layer, layer_of, small_picture
from fine_tuner.evaluation.pictures import Of, Wanted, choose, rows_of
from fine_tuner.evaluation.predictions import Predictions
from fine_tuner.runs.answering import read_answering
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.results import Results, is_current, kept_weights, list_results, results_of
from fine_tuner.runs.store import RunStore
from fine_tuner.runs.view.status import look
from fine_tuner.ui.api import texts
from fine_tuner.ui.api.answers import KEEP, json_answer, run_of
from fine_tuner.ui.jobs.evaluations import Evaluation, Evaluations

_KEPT = 4  # evaluations whose columns stay in memory
_MOST = 120  # pictures of one answer
_SIDES = {"small": 192, "large": 900}
Position = Annotated[int, Query(ge=0, le=10**9)]


class ResultRoutes:
    """The routes, on the runs; the guard lets only the owner reach them."""

    def __init__(self, store: RunStore, evaluations: Evaluations) -> None:
        self._store = store
        self._evaluations = evaluations
        self._lock = threading.Lock()
        self._open: OrderedDict[tuple[str, int], tuple[Predictions, dict[str, Any]]] = OrderedDict()

    def router(self) -> APIRouter:
        """All of them; goes before the routes of runs, which take any action."""
        router = APIRouter(prefix="/api/runs/{run_id}/results")
        router.get("")(self.overview)
        router.post("")(self.evaluate)
        router.post("/cancel")(self.cancel)
        router.get("/{name}")(self.figures)
        router.get("/{name}/pictures")(self.pictures)
        router.get("/{name}/picture/{index}")(self.picture)
        router.get("/{name}/layer/{index}/{what}")(self.layer)
        return router

    def overview(self, run_id: str, request: Request) -> Response:
        """What there is."""
        run = run_of(self._store, run_id)
        found = [(results.name, results.read()) for results in list_results(run)]
        splits = (read_json(run.splits) or {}).get("splits", {})
        answer = {
            "run": run.id,
            "evaluations": [_line(name, figures, run) for name, figures in found if figures],
            "splits": {name: len(splits[name]) for name in ("val", "test", "train") if splits.get(name)},
            "weights": list(kept_weights(run)),
            "answering": asdict(read_answering(run)),
            "is_at_work": look(run).is_alive,
            "job": self._evaluations.state(),
        }
        return json_answer(request, answer)

    def evaluate(self, run_id: str, wanted: Evaluation) -> dict[str, Any]:
        """Begin."""
        state = self._evaluations.start(run_of(self._store, run_id), wanted)
        if state is None:
            raise HTTPException(409, texts.EVALUATION_BUSY)
        return state

    def cancel(self, run_id: str) -> dict[str, Any]:
        """Leave off; what is under way for another run goes on."""
        run_of(self._store, run_id)
        return self._evaluations.cancel() if self._evaluations.state().get("run") == run_id else {}

    def figures(self, run_id: str, name: str, request: Request) -> Response:
        """All but the pictures."""
        results = self._results(run_id, name)
        try:
            return json_answer(request, read_bounded(results.figures, MAX_JSON_BYTES))
        except OSError:
            raise HTTPException(404, texts.NO_RESULTS.format(name=name)) from None

    def pictures(
        self, run_id: str, name: str, request: Request, of: Of, true: Position = 0, said: Position = 0,
        label: Position = 0, at: Annotated[float, Query(ge=0, le=1)] = 0.5, index: Position = 0,
        indices: Annotated[list[int] | None, Query(max_length=_MOST)] = None, offset: Position = 0,
        limit: Annotated[int, Query(ge=1, le=_MOST)] = 24,
    ) -> Response:  # fmt: skip
        """``total``, and the ``pictures`` from ``offset`` on."""
        found, figures = self._read(run_id, name)
        kind = TargetKind(figures["target"])
        wanted = Wanted(of=of, true=true, said=said, label=label, at=at, index=index, indices=tuple(indices or ()))
        chosen = choose(found, kind, wanted)
        rows = rows_of(found, kind, figures["names"], chosen[offset : offset + limit].tolist())
        return json_answer(request, {"total": len(chosen), "pictures": [row | _place(row["file"]) for row in rows]})

    def picture(self, run_id: str, name: str, index: int, side: str = "small") -> Response:
        """A JPEG."""
        found, figures = self._read(run_id, name)
        if not 0 <= index < len(found):
            raise HTTPException(404, texts.NO_SUCH_PICTURE.format(index=index, last=len(found) - 1))
        try:
            picture = small_picture(Path(found.name(index)), _SIDES.get(side, 192), figures.get("pixel_range"))
            return Response(picture, 200, KEEP, "image/jpeg")
        except DataError as error:
            raise HTTPException(404, str(error)) from None

    def layer(self, run_id: str, name: str, index: int, what: Layer) -> Response:
        """A PNG."""
        try:
            return Response(layer_of(self._results(run_id, name), index, what), 200, KEEP, "image/png")
        except RunError as error:
            raise HTTPException(404, str(error)) from None

    def _read(self, run_id: str, name: str) -> tuple[Predictions, dict[str, Any]]:
        """Columns and figures, kept while they are looked at."""
        results = self._results(run_id, name)
        try:
            key = (str(results.path), results.figures.stat().st_mtime_ns)
            with self._lock:
                if key not in self._open:
                    self._open[key] = (Predictions(results.predictions), results.read() or {})
                    while len(self._open) > _KEPT:
                        self._open.popitem(last=False)
                self._open.move_to_end(key)
                return self._open[key]
        except OSError:
            raise HTTPException(404, texts.NO_RESULTS.format(name=name)) from None
        except RunError as error:
            raise HTTPException(409, str(error)) from None

    def _results(self, run_id: str, name: str) -> Results:
        try:
            return results_of(run_of(self._store, run_id), name)
        except RunError as error:
            raise HTTPException(404, str(error)) from None


def _line(name: str, figures: dict[str, Any], run: RunFolder) -> dict[str, Any]:
    told = {key: figures.get(key) for key in ("split", "data", "images", "words", "made", "weights")}
    return {"name": name, **told, "is_current": is_current(figures, run)}


def _place(file: str) -> dict[str, str]:
    """A file by its last two names: enough to find it, short enough to show."""
    return {"place": "/".join(Path(file).parts[-2:])}
