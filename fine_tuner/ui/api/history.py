"""The runs there are: their names, tags and notes, the trash, the queue, comparing them, and taking one as a start.

=============================  ===========================================================================
``POST api/runs/ID/notes``     another title, tags, a note
``POST api/runs/ID/delete``    to the trash; ``restore`` takes it back
``POST api/runs/ID/move``      another place in the queue
``POST api/runs/ID/extend``    more epochs: at once if it trains, else it goes on from its last checkpoint
``GET api/runs/ID/settings``   what fills the form to clone it
``GET api/compare?run=&run=``  the settings in which runs differ, and the best that each reached
=============================  ===========================================================================
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, Field

from fine_tuner.base.errors import ConfigError, InputError, RunError
from fine_tuner.base.files import write_atomically
from fine_tuner.config.argv import argv_of
from fine_tuner.config.io import parse, read_tree
from fine_tuner.config.live_changes import EPOCHS
from fine_tuner.config.sections.second_loss import sections_of_own_code
from fine_tuner.evaluation.paired import compare_pair
from fine_tuner.launch.launcher import Launcher
from fine_tuner.runs.kept_losses import kept_code, kept_form
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.store import RunStore
from fine_tuner.runs.view.compare import MOST_RUNS, compare_runs

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


class HistoryRoutes:
    """The routes, on the store and the launcher."""

    def __init__(self, store: RunStore, launcher: Launcher, losses_folder: Path) -> None:
        """``losses_folder``: where the code of a clone's own loss is put, for the editor."""
        self._store = store
        self._launcher = launcher
        self._losses_folder = losses_folder

    def router(self) -> APIRouter:
        """All of them; goes before the routes of runs, which take any action."""
        router = APIRouter(prefix="/api")
        router.post("/runs/{run_id}/notes")(self.annotate)
        router.post("/runs/{run_id}/delete")(self.delete)
        router.post("/runs/{run_id}/restore")(self.restore)
        router.post("/runs/{run_id}/move")(self.move)
        router.post("/runs/{run_id}/extend")(self.extend)
        router.get("/runs/{run_id}/settings")(self.settings)
        router.get("/compare")(self.compare)
        return router

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

    def settings(self, run_id: str) -> dict[str, Any]:
        """Preset and overrides that fill the form; the code of a loss of the user's own comes along."""
        run = self._get(run_id)
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
            code = kept_code(run, section).read_bytes()
        except OSError:  # it never came to train: the user's own file is all there is
            return None
        copy = self._losses_folder / f"{section}-{hashlib.sha256(code).hexdigest()[:12]}.py"
        if not copy.exists() or copy.read_bytes() != code:
            write_atomically(copy, code)
        return str(copy)

    def compare(self, run: Annotated[list[str], Query(max_length=MOST_RUNS)]) -> dict[str, Any]:
        """Settings that differ and best values."""
        try:
            runs = [self._get(run_id) for run_id in dict.fromkeys(run)]
            found = compare_runs(runs, self._store.view_of)
        except InputError as error:
            raise HTTPException(422, str(error)) from None
        if len(runs) == 2:
            with suppress(RunError):  # results that are damaged compare nothing
                found["paired"] = compare_pair(*runs, tuple(line["title"] or line["id"] for line in found["runs"]))
        return found

    def _do(self, run_id: str, act: Callable[[RunFolder], object]) -> dict[str, Any]:
        run = self._get(run_id)
        try:
            act(run)
        except RunError as error:
            raise HTTPException(409, str(error)) from None
        except OSError as error:
            raise HTTPException(
                409, f"{run.path} cannot be written: {error.strerror}. Make it writable, or free some space."
            ) from None
        return {"run": run_id}

    def _get(self, run_id: str) -> RunFolder:
        try:
            return self._store.get(run_id)
        except RunError as error:
            raise HTTPException(404, str(error)) from None
