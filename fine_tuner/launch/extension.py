"""Whether a run can have more epochs."""

from __future__ import annotations

from fine_tuner.base.errors import RunError
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.view.run_view import RunView
from fine_tuner.runs.view.status import look


def check_extension(run: RunFolder, epochs: int) -> None:
    """Do nothing if ``run`` can have ``epochs`` epochs.

    Raises:
        RunError: If so many are over already, or it ended without a checkpoint to go on from.
    """
    view = RunView(run)
    facts = view.counters
    if not facts.steps_per_epoch:
        raise RunError(
            f"The run {run.id} has not begun to train, so there is nothing to extend. Resume it, or clone it."
        )
    if epochs * facts.steps_per_epoch <= facts.step:
        done = facts.step // facts.steps_per_epoch
        raise RunError(f"{epochs} epochs of the run {run.id} are over already. Choose more than {done}.")
    if not look(run).is_alive and not view.can_resume:
        raise RunError(f"The run {run.id} kept no checkpoint to go on from. Clone it with more epochs.")
