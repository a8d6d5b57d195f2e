"""Doubts about a run's data: suspected labels, what is decided of them, where the network looked, the map of pictures.

================================================  ====================================================================
``GET api/runs/ID/suspects``                      the list, what was decided, the job
``POST api/runs/ID/suspects``                     look for them; 409 while something is evaluated
``POST api/runs/ID/decisions``                    keep what was decided, in a table beside the runs
``POST api/runs/ID/answering``                    temperature and thresholds of its answers from now on
``GET api/runs/ID/results/NAME/map``              a place for each picture, its class, and whether it is right
``POST api/runs/ID/results/NAME/looked``          two pictures: what the network sees, and where it looked
================================================  ====================================================================
"""

from __future__ import annotations

import secrets
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from fine_tuner.base.errors import DataError, RunError
from fine_tuner.base.files import read_json
from fine_tuner.data.decisions import Choice, Decision, name_in, read_decisions, write_decisions
from fine_tuner.evaluation.predictions import Predictions
from fine_tuner.runs.answering import choose_answering, read_answering
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.results import results_of
from fine_tuner.runs.store import RunStore
from fine_tuner.ui.api import texts
from fine_tuner.ui.api.answers import json_answer, run_of
from fine_tuner.ui.jobs.evaluations import Evaluations
from fine_tuner.ui.jobs.previews import Previews
from fine_tuner.ui.jobs.questions import Questions

_MOST_POINTS = 5000  # on a map; of more, every second, third, ...


class Decided(BaseModel):
    """What was decided of one image."""

    file: Annotated[str, Field(max_length=4096)]
    choice: Choice
    label: Annotated[str, Field(max_length=255)] = ""


class Decisions(BaseModel):
    """All that was decided so far."""

    decisions: Annotated[list[Decided], Field(max_length=10_000)]


class Wanted(BaseModel):
    """How a run is to answer; what is left out stays."""

    temperature: Annotated[float | None, Field(gt=0, le=1000)] = None
    thresholds: dict[Annotated[str, Field(max_length=255)], Annotated[float, Field(ge=0, le=1)]] | None = None


class Looked(BaseModel):
    """Which picture, and for which class, label or number; empty: what the network says."""

    index: Annotated[int, Field(ge=0, le=10**9)]
    name: Annotated[str, Field(max_length=255)] = ""


class DoubtRoutes:
    """The routes; the guard lets only the owner reach them.

    Args:
        store: The runs.
        evaluations: Looks for suspects.
        questions: Where a network is asked where it looked.
        previews: Serves the pictures of that.
        folder: Of the tables of decisions.
    """

    def __init__(
        self, store: RunStore, evaluations: Evaluations, questions: Questions, previews: Previews, folder: Path
    ) -> None:
        self._store = store
        self._evaluations = evaluations
        self._questions = questions
        self._previews = previews
        self._folder = folder

    def router(self) -> APIRouter:
        """All of them; goes before the routes of runs, which take any action."""
        router = APIRouter(prefix="/api/runs/{run_id}")
        router.get("/suspects")(self.suspects)
        router.post("/suspects")(self.look)
        router.post("/decisions")(self.decide)
        router.post("/answering")(self.choose)
        router.get("/results/{name}/map")(self.map)
        router.post("/results/{name}/looked")(self.looked)
        return router

    def suspects(self, run_id: str, request: Request) -> Response:
        """What is known."""
        run = run_of(self._store, run_id)
        table = self._table(run)
        try:
            decided = read_decisions(table) if table.is_file() else {}
        except DataError:
            decided = {}
        root = self._root(run)
        found = read_json(run.results / "suspects.json")
        if found is not None:
            for row in found["suspects"]:
                row["name"] = name_in(root, Path(row["file"]))
        answer = {
            "found": found,
            "decisions": {file: {"choice": d.choice, "label": d.label} for file, d in decided.items()},
            "table": str(table),
            "job": self._evaluations.state(),
        }
        return json_answer(request, answer)

    def look(self, run_id: str) -> dict[str, Any]:
        """Begin."""
        state = self._evaluations.look_for_suspects(run_of(self._store, run_id))
        if state is None:
            raise HTTPException(409, texts.EVALUATION_BUSY)
        return state

    def decide(self, run_id: str, wanted: Decisions) -> dict[str, Any]:
        """Write the table anew."""
        table = self._table(run_of(self._store, run_id))
        write_decisions(table, {one.file: Decision(one.choice, one.label) for one in wanted.decisions})
        return {"table": str(table)}

    def choose(self, run_id: str, wanted: Wanted) -> dict[str, Any]:
        """Keep it."""
        run = run_of(self._store, run_id)
        choose_answering(run, temperature=wanted.temperature, thresholds=wanted.thresholds)
        return asdict(read_answering(run))

    def map(self, run_id: str, name: str, request: Request) -> Response:
        """Points."""
        try:
            results = results_of(run_of(self._store, run_id), name)
            found, figures = Predictions(results.predictions), results.read() or {}
        except RunError as error:
            raise HTTPException(404, str(error)) from None
        if "map" not in found:
            return json_answer(request, {"points": []})
        step = -(-len(found) // _MOST_POINTS) or 1
        places = found["map"][::step].round(4).tolist()
        points: dict[str, Any] = {"index": list(range(0, len(found), step)), "places": places}
        if figures.get("target") == "class":
            points["true"] = found["targets"][::step].tolist()
            points["wrong"] = (found["targets"] != found["predictions"])[::step].tolist()
        return json_answer(request, points)

    def looked(self, run_id: str, name: str, wanted: Looked) -> dict[str, Any]:
        """Asked of the assistant."""
        run = run_of(self._store, run_id)
        try:
            found = Predictions(results_of(run, name).predictions)
        except RunError as error:
            raise HTTPException(404, str(error)) from None
        if wanted.index >= len(found):
            raise HTTPException(404, texts.NO_SUCH_PICTURE.format(index=wanted.index, last=len(found) - 1))
        key = secrets.token_hex(10)
        folder = self._previews.folder(key)
        command = ["explain", str(run.path.resolve()), found.name(wanted.index), "--out", str(folder), "--json"]
        command += [f"--name={wanted.name}"] if wanted.name else []
        answer = self._questions.answer(command, keep=False)
        if answer.value is None:
            raise HTTPException(409, " ".join(answer.errors.values()))
        self._previews.keep(key, folder)
        urls = {part: f"api/preview/{key}/{Path(answer.value[part]).name}" for part in ("heat", "seen")}
        return {"name": answer.value["name"], "names": answer.value["names"], **urls}

    def _table(self, run: RunFolder) -> Path:
        return self._folder / f"{run.id}.csv"

    def _root(self, run: RunFolder) -> Path:
        return Path((read_json(run.splits) or {}).get("root", "/"))
