"""Starting a run from the page: check with the data, create the folder, launch."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from fine_tuner.base.errors import ConfigError, FineTunerError
from fine_tuner.config.argv import argv_of, without_code
from fine_tuner.config.io import replace
from fine_tuner.config.settings import Settings
from fine_tuner.launch.launcher import Launcher
from fine_tuner.planning.loss_checks import admit_code
from fine_tuner.runs.store import RunStore
from fine_tuner.ui.form.updates import StartResult
from fine_tuner.ui.jobs.questions import Questions


class RunStarter:
    """From settings to a run at work, or to what is wrong with them."""

    def __init__(self, store: RunStore, launcher: Launcher, questions: Questions) -> None:
        self._store = store
        self._launcher = launcher
        self._questions = questions
        self._lock = threading.Lock()

    def start(self, settings: Settings, parent: str | None = None) -> StartResult:
        """Check, create, launch. Wrong settings or data leave nothing behind.

        Args:
            settings: Of the run.
            parent: Id of the run that the form was filled from.
        """
        argv, parent = argv_of(settings), parent if parent in self._store.ids() else None  # it may be deleted by now
        try:
            admit_code(settings)
        except ConfigError as error:
            return StartResult.refused(error.fields)
        asked = argv_of(without_code(settings))
        plan = self._questions.answer(["plan", *asked, "--json"])  # as a rule known: the page shows it already
        if plan.is_wrong_input:
            return StartResult.refused(plan.errors)
        if misfit := misfit_of(plan.value):
            return StartResult.refused(misfit)
        with self._lock:
            try:
                run = self._store.create(filled_in(settings, plan.value), argv=["train", *argv], parent=parent)
                self._launcher.start(run)
            except FineTunerError as error:
                return StartResult(message=str(error))
        return StartResult(run=run.id)


def filled_in(settings: Settings, plan: Mapping[str, Any] | None) -> Settings:
    """Settings with what the plan chose for those left empty, so that the run's record says what it was."""
    return replace(settings, *(f"{c['path']}={c['value']}" for c in (plan or {}).get("chosen", ())))


def misfit_of(plan: Mapping[str, Any] | None) -> dict[str, str]:
    """What is too large for the memory there is, by the dotted path of the setting to change; empty if all fits."""
    memory = (plan or {}).get("memory") or {}
    return {"train.batch_size": str(memory["words"])} if memory.get("fits") is False else {}
