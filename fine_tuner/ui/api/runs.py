"""The runs there are, and what is done with one: names and notes, the trash, the queue, changes, comparing, cloning.

=============================  ===========================================================================
``GET api/runs``               all runs, newest first
``GET api/runs/ID/weights``    the best weights as a file
``POST api/runs/ID/notes``     another title, tags, a note
``POST api/runs/ID/delete``    to the trash; ``restore`` takes it back
``POST api/runs/ID/move``      another place in the queue
``POST api/runs/ID/extend``    more epochs: at once if it trains, else it goes on from its last checkpoint
``POST api/runs/ID/set``       another rate or length of a run that trains, between two of its steps
``POST api/runs/ID/ACTION``    stop, pause, resume, checkpoint, evaluate: whatever the app offers
``GET api/runs/ID/settings``   what fills the form to clone it
``GET api/compare?run=&run=``  the settings in which runs differ, and the best that each reached
=============================  ===========================================================================
"""

from __future__ import annotations

import dataclasses
import hashlib
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import FileResponse, Response
from pydantic import BaseModel, Field

from fine_tuner.base.errors import ConfigError, InputError, RunError
from fine_tuner.base.files import MAX_JSON_BYTES, read_bounded, write_atomically
from fine_tuner.config.argv import argv_of
from fine_tuner.config.io import parse, read_tree
from fine_tuner.config.live_changes import EPOCHS, checked
from fine_tuner.config.sections.second_loss import sections_of_own_code
from fine_tuner.evaluation.paired import compare_pair
from fine_tuner.launch.launcher import Launcher
from fine_tuner.runs import control, queue
from fine_tuner.runs.kept_losses import kept_code, kept_form
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.results import best_weights
from fine_tuner.runs.store import RunStore
from fine_tuner.runs.view.compare import MOST_RUNS, compare_runs
from fine_tuner.runs.view.status import look
from fine_tuner.ui.api import texts
from fine_tuner.ui.api.answers import NO_STORE, json_answer, run_of

Act = Callable[[RunFolder], object]
_LIST_SECONDS = 0.3  # for logs that were never read; what comes later is in the next list
Text = Annotated[str, Field(max_length=120)]


class Notes(BaseModel):
    """What a person writes about a run; None leaves as it is."""

    title: Text | None = None
    tags: Annotated[list[Annotated[str, Field(max_length=40)]], Field(max_length=20)] | None = None
    note: Annotated[str, Field(max_length=4000)] | None = None


class Move(BaseModel):
    """A place in the queue, 0 being the next to start."""

    place: Annotated[int, Field(ge=0, le=100_000)]


class Extend(BaseModel):
    """How many epochs a run is to have."""

    epochs: Annotated[int, Field(ge=1, le=EPOCHS.at_most)]


class RunRoutes:
    """The routes, on the store and the launcher."""

    def __init__(self, store: RunStore, launcher: Launcher, losses_folder: Path, actions: Mapping[str, Act]) -> None:
        """What the routes act on.

        Args:
            store: The runs.
            launcher: What starts them.
            losses_folder: Where the code of a clone's own loss is put, for the editor.
            actions: Name to what is done with the run; raises RunError if its state forbids it.
        """
        self._store = store
        self._launcher = launcher
        self._losses_folder = losses_folder
        self._actions = dict(actions)
        self._one_change_at_a_time = threading.Lock()

    def router(self) -> APIRouter:
        """All of them; the last takes any action, so other routers that post to a run go before this one."""
        router = APIRouter(prefix="/api")
        router.get("/runs")(self.runs)
        router.get("/compare")(self.compare)
        router.get("/runs/{run_id}/settings")(self.settings)
        router.get("/runs/{run_id}/weights")(self.weights)
        router.post("/runs/{run_id}/notes")(self.annotate)
        router.post("/runs/{run_id}/delete")(self.delete)
        router.post("/runs/{run_id}/restore")(self.restore)
        router.post("/runs/{run_id}/move")(self.move)
        router.post("/runs/{run_id}/extend")(self.extend)
        router.post("/runs/{run_id}/set")(self.change)
        router.post("/runs/{run_id}/{action}")(self.act)
        return router

    def runs(self, request: Request) -> Response:
        """All runs, newest first."""
        lines = [dataclasses.asdict(line) for line in self._store.list(_LIST_SECONDS)]
        waiting = {entry.run.id: place for place, entry in enumerate(queue.waiting(self._store.root))}
        return json_answer(request, {"runs": [line | {"queue": waiting.get(line["id"])} for line in lines]})

    def annotate(self, run_id: str, notes: Notes) -> dict[str, Any]:
        """Another title, tags, a note."""
        return self._do(run_id, lambda run: self._store.annotate(run.id, **notes.model_dump(exclude_none=True)))

    def delete(self, run_id: str) -> dict[str, Any]:
        """Move a run that is not at work to the trash."""
        return self._do(run_id, lambda run: self._store.delete(run.id))

    def restore(self, run_id: str) -> dict[str, Any]:
        """Take a deleted run back."""
        try:
            return {"run": self._store.restore(run_id).id}
        except RunError as error:
            raise HTTPException(404, str(error)) from None

    def move(self, run_id: str, move: Move) -> dict[str, Any]:
        """Give a waiting run another place."""
        return self._do(run_id, lambda run: self._launcher.move(run, move.place))

    def extend(self, run_id: str, extend: Extend) -> dict[str, Any]:
        """More epochs."""
        return self._do(run_id, lambda run: self._launcher.extend(run, extend.epochs))

    def change(self, run_id: str, change: dict[str, Any]) -> dict[str, Any]:
        """Hand a change to the run's worker, which makes it before its next step."""
        try:
            asked = checked(change)
        except ConfigError as error:
            raise HTTPException(422, str(error)) from None
        run = run_of(self._store, run_id)
        if not look(run).is_training:
            raise HTTPException(409, texts.NOT_TRAINING.format(run=run_id))
        facts = self._store.view(run_id).facts
        if (epochs := asked.get(EPOCHS.path)) and epochs * facts.steps_per_epoch <= facts.step:
            raise HTTPException(422, texts.EPOCHS_OVER.format(epochs=epochs, done=facts.step // facts.steps_per_epoch))
        with self._one_change_at_a_time:
            if "set" in control.pending(run):
                raise HTTPException(409, texts.CHANGE_WAITS)
            control.request(run, "set", **asked)
        return {"run": run_id, "asked": asked}

    def act(self, run_id: str, action: str, request: Request) -> Response:
        """Stop, pause or resume; asking twice is asking once."""
        folder = run_of(self._store, run_id)
        if action not in self._actions:
            known = ", ".join(self._actions) or "none"
            raise HTTPException(404, f"There is no action {action!r} on this page. Actions: {known}.")
        try:
            self._actions[action](folder)
        except RunError as error:
            raise HTTPException(409, str(error)) from None
        return json_answer(request, {"run": run_id, "asked": action})

    def settings(self, run_id: str) -> dict[str, Any]:
        """Preset and overrides that fill the form; the code of a loss of the user's own comes along."""
        run = run_of(self._store, run_id)
        try:
            tree = read_tree(run.config)
            for section in sections_of_own_code(tree):
                tree[section] |= kept_form(run, section)
                tree[section]["file"] = self._kept_code(run, section) or tree[section].get("file", "")
                tree[section].pop("unchecked", None)  # that is for a person to say, not for a folder
            return {"run": run_id, "argv": argv_of(parse(tree))}
        except ConfigError as error:
            raise HTTPException(409, f"The settings of {run_id} cannot be used: {error}") from None

    def _kept_code(self, run: RunFolder, section: str) -> str | None:
        """A copy of the code that trained, named by its hash, where the editor may change it."""
        try:
            code = read_bounded(kept_code(run, section), MAX_JSON_BYTES)
        except OSError:  # it never came to train: the user's own file is all there is
            return None
        copy = self._losses_folder / f"{section}-{hashlib.sha256(code).hexdigest()[:12]}.py"
        if not copy.exists() or copy.read_bytes() != code:
            write_atomically(copy, code)
        return str(copy)

    def weights(self, run_id: str) -> FileResponse:
        """The weights of the best validation so far, with class names and preprocessing inside."""
        try:
            path = best_weights(run_of(self._store, run_id))
        except RunError as error:
            raise HTTPException(404, str(error), NO_STORE) from None
        return FileResponse(
            path, filename=f"{run_id}.safetensors", media_type="application/octet-stream", headers=NO_STORE
        )

    def compare(self, run: Annotated[list[str], Query(max_length=MOST_RUNS)]) -> dict[str, Any]:
        """Settings that differ and best values."""
        try:
            runs = [run_of(self._store, run_id) for run_id in dict.fromkeys(run)]
            found = compare_runs(runs, self._store.view_of)
        except InputError as error:
            raise HTTPException(422, str(error)) from None
        if len(runs) == 2:
            with suppress(RunError):  # results that are damaged compare nothing
                found["paired"] = compare_pair(*runs, tuple(line["title"] or line["id"] for line in found["runs"]))
        return found

    def _do(self, run_id: str, act: Callable[[RunFolder], object]) -> dict[str, Any]:
        run = run_of(self._store, run_id)
        try:
            act(run)
        except RunError as error:
            raise HTTPException(409, str(error)) from None
        except OSError as error:
            raise HTTPException(
                409, f"{run.path} cannot be written: {error.strerror}. Make it writable, or free some space."
            ) from None
        return {"run": run_id}
