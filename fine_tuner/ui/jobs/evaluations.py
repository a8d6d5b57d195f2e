"""Evaluations that the page asks for, in a process of its own each, which gives the device back at its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BaseModel, Field

from fine_tuner.launch.assistant import Assistant
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.results import BEST
from fine_tuner.ui.form.folders import Allowed, path_errors
from fine_tuner.ui.jobs.job import Command, Job, Work

LONGEST_SECONDS = 24 * 3600.0


class Evaluation(BaseModel):
    """What to evaluate.

    Attributes:
        split: Of the run's own data.
        weights: ``best``, ``last`` or a kept checkpoint.
        data: Other images in its place.
    """

    split: Annotated[str, Field(pattern="^(val|test|train)$")] = "val"
    weights: Annotated[str, Field(pattern=r"^(best|last|step-\d{8,20})$")] = BEST
    data: Annotated[str, Field(max_length=4096)] = ""


class Evaluations:
    """One at a time.

    Args:
        allowed: What the page permits.
        make_process: What runs it; begins and ends with it.
    """

    def __init__(self, allowed: Allowed, make_process: Callable[[], Assistant]) -> None:
        self._allowed = allowed
        self._make_process = make_process
        self._job = Job()

    def start(self, run: RunFolder, wanted: Evaluation) -> dict[str, Any] | None:
        """The state once it began, or what is wrong with the place of the images; None: another is under way."""
        errors = path_errors({"data": {"path": wanted.data}}, self._allowed) if wanted.data else {}
        if errors:
            return {"status": "failed", "errors": errors, "run": run.id}
        options = [f"--split={wanted.split}", f"--weights={wanted.weights}"]
        options += [f"--data={wanted.data}"] if wanted.data else []
        return self._begin("evaluate", run, options)

    def look_for_suspects(self, run: RunFolder) -> dict[str, Any] | None:
        """The state once it began to look for wrong labels; None: another is under way."""
        return self._begin("suspects", run, [])

    def _begin(self, command: str, run: RunFolder, options: list[str]) -> dict[str, Any] | None:
        argv = [command, str(run.path.resolve()), *options, "--json"]

        def make(_: int) -> Work:
            process = self._make_process()
            return Command(process, argv, timeout=LONGEST_SECONDS, then=lambda reply: process.close())

        return self._job.state() if self._job.start(make, run=run.id, kind=command) else None

    def state(self) -> dict[str, Any]:
        """Of the last one; ``run`` says whose it is. See ``Job.state``."""
        return self._job.state()

    def cancel(self) -> dict[str, Any]:
        """End it."""
        self._job.cancel()
        return self._job.state()

    def close(self) -> None:
        """End it, and take no more."""
        self._job.cancel()
