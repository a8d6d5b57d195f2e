"""Whether a run can go on, and have more epochs."""

from __future__ import annotations

from pathlib import Path

from fine_tuner.base.errors import ConfigError, RunError
from fine_tuner.base.pasted_path import cleaned_path
from fine_tuner.config.io import read_tree
from fine_tuner.config.knobs import lookup
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.view.run_view import RunView
from fine_tuner.runs.view.status import look


def check_start(run: RunFolder) -> None:
    """Do nothing if there is something left to train of ``run``.

    Raises:
        RunError: If it is complete, and no more epochs were asked for.
    """
    view = RunView(run)
    if view.status == "completed" and "set" not in view.vital.requests:
        raise RunError(
            f"The run {run.id} is complete: all {view.facts.epochs} epochs. Extend it for more, or clone it."
        )


def check_extension(run: RunFolder, epochs: int) -> None:
    """Do nothing if ``run`` can have ``epochs`` epochs.

    Raises:
        RunError: If so many are over already, it ended without a checkpoint to go on from, or its data has gone.
    """
    view = RunView(run)
    facts = view.facts
    if not facts.steps_per_epoch:
        raise RunError(
            f"The run {run.id} has not begun to train, so there is nothing to extend. Resume it, or clone it."
        )
    if epochs * facts.steps_per_epoch <= facts.step:
        done = facts.step // facts.steps_per_epoch
        raise RunError(f"{epochs} epochs of the run {run.id} are over already. Choose more than {done}.")
    if not look(run).is_alive and not view.can_resume:
        raise RunError(f"The run {run.id} kept no checkpoint to go on from. Clone it with more epochs.")
    if (missing := _missing_data(run)) is not None:
        raise RunError(
            f"The data of the run {run.id} is not at {missing} any more. Bring it back there, then extend it."
        )


def _missing_data(run: RunFolder) -> Path | None:
    """The place of a run's data, if nothing is there."""
    try:
        path = lookup(read_tree(run.config), "data.path")
    except ConfigError:
        return None  # the worker will say what is wrong with the file
    if not isinstance(path, str) or ":" in path.partition("/")[0]:  # builtin:sample, torchvision:NAME
        return None
    place = Path(cleaned_path(path)).expanduser()
    return None if place.exists() else place
