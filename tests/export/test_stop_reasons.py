"""A script repeats what its run did, however that ended: every schedule, every reason to end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fine_tuner.cli.main import main
from fine_tuner.config.io import CHOICES
from fine_tuner.runs.layout import RunFolder

from .conftest import TINY, ask_at_steps, logged

SCHEDULES = tuple(CHOICES["schedule"].variants)
# Three steps an epoch: settings, wishes after so many steps (heard after the next), exit code, steps, epochs validated.
REASONS = {
    "completed": (("train.epochs=2",), {}, 0, 6, [1, 2]),
    "early stopping": (("train.epochs=9", "train.early_stopping=1", "optim.lr=1e-9"), {}, 0, None, None),
    "made shorter": (("train.epochs=4",), {2: {"train.epochs": 2}}, 0, 6, [1, 2]),
    "made longer": (("train.epochs=1",), {2: {"train.epochs": 3}}, 0, 9, [1, 2, 3]),
    "stopped in its first epoch": (("train.epochs=2",), {1: "stop"}, 130, 2, []),
    "stopped before a validation": (("train.epochs=3",), {5: "stop"}, 130, 6, [1]),
    "stopped in a later epoch": (("train.epochs=4",), {6: "stop"}, 130, 7, [1, 2]),
}
BY_DEFAULT = {("OneCycleLR", "stopped in its first epoch"), ("ReduceLROnPlateau", "early stopping")}


@pytest.mark.parametrize(
    ("schedule", "reason"),
    [
        pytest.param(schedule, reason, marks=[] if (schedule, reason) in BY_DEFAULT else [pytest.mark.slow])
        for schedule in SCHEDULES
        for reason in REASONS
    ],
)
def test_a_script_ends_as_its_run_did(
    repeat: Callable[[RunFolder], Path],
    classes_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    schedule: str,
    reason: str,
) -> None:
    settings, asked, code, num_steps, validated = REASONS[reason]
    formula = ["schedule.formula=1 / (1 + step)"] if schedule == "LambdaLR" else []
    fixed = ["train.batch_size=6", "precision.dtype=fp32", "precision.channels_last=off"]
    ask_at_steps(dict(asked), monkeypatch)
    words = ["default", *TINY, *fixed, f"data.path={classes_folder}", f"schedule.name={schedule}", *formula, *settings]
    assert main(["train", *words, "--runs", str(tmp_path / "runs")]) == code
    monkeypatch.undo()
    (run,) = map(RunFolder, (tmp_path / "runs").glob("2*"))
    steps, epochs = logged(run)
    if num_steps is None:  # as early as the metric says
        assert len(steps) == 3 * len(epochs) < 27
    else:
        assert (list(steps), list(epochs)) == (list(range(1, num_steps + 1)), validated)
    repeat(run)
