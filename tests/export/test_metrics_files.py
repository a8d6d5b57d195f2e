"""A run's numbers elsewhere: steps and values of its log as a data frame, CSV, Parquet, TensorBoard."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest

from fine_tuner import open_run
from fine_tuner.base.errors import RunError
from fine_tuner.cli.main import main
from fine_tuner.runs.layout import RunFolder
from tests.export.conftest import logged
from tests.ui.hand_run import HandRun


@pytest.fixture
def run(tmp_path) -> RunFolder:
    made = HandRun(tmp_path / "runs", "20261123-141502-numbers")
    made.begin()
    made.train(40)
    made.die()
    return RunFolder(tmp_path / "runs" / "20261123-141502-numbers")


def agrees(frame: pd.DataFrame, run: RunFolder) -> bool:
    steps, epochs = logged(run)
    losses = frame.dropna(subset="train/loss")
    validations = frame.dropna(subset="val/accuracy")
    assert len(steps) == 40
    assert dict(zip(losses["step"], losses["train/loss"], strict=True)) == {s: loss for s, (loss, _) in steps.items()}
    found = dict(zip(validations["epoch"], validations["val/accuracy"], strict=True))
    return found == {epoch: values["accuracy"] for epoch, values in epochs.items()} and len(epochs) > 0


def test_a_notebook_gets_a_data_frame_of_what_the_log_has(run):
    opened = open_run(run.path)
    frame = opened.metrics()
    assert agrees(frame, run)
    assert frame["seconds"].is_monotonic_increasing
    assert (frame["step"].dtype, str(frame["time"].dtype)[:10]) == (np.dtype("int64"), "datetime64")
    assert opened.status == "lost"
    assert opened.best["key"] == "val/accuracy"
    assert run.id in repr(opened)
    with pytest.raises(RunError, match="is not the folder of a run"):
        open_run(run.path.parent)


def test_csv_and_parquet_hold_the_same(run, tmp_path):
    for kind, read in (("csv", pd.read_csv), ("parquet", pd.read_parquet)):
        assert main(["export", str(run.path), "--format", kind, "--output", str(tmp_path / f"a.{kind}")]) == 0
        assert agrees(read(tmp_path / f"a.{kind}"), run)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of tensorboard's own code
def test_tensorboard_reads_the_same_steps_and_values(run, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert main(["export", str(run.path), "--format", "tensorboard", "--output", str(tmp_path / "board")]) == 0
    events = EventAccumulator(str(tmp_path / "board"), size_guidance={"scalars": 0})
    events.Reload()
    steps, _ = logged(run)
    read = {event.step: event.value for event in events.Scalars("train/loss")}
    assert read == pytest.approx({step: loss for step, (loss, _) in steps.items()}, rel=1e-6)
    assert "val/accuracy" in events.Tags()["scalars"]


@pytest.mark.parametrize(("kind", "package"), [("parquet", "pyarrow"), ("tensorboard", "tensorboard")])
def test_a_missing_package_is_named_and_nothing_is_left(run, tmp_path, monkeypatch, capsys, kind, package):
    monkeypatch.setitem(sys.modules, package, None)
    place = tmp_path / "place"
    assert main(["export", str(run.path), "--format", kind, "--output", str(place / "file")]) == 2
    assert f"pip install {package}" in capsys.readouterr().err
    assert list(place.iterdir()) == []


def test_a_run_without_numbers_says_so(tmp_path, capsys):
    made = HandRun(tmp_path / "runs", "20261123-141503-empty")
    made.begin()
    made.die()
    assert main(["export", str(made.folder.path), "--format", "csv"]) == 2
    assert "recorded no number yet" in capsys.readouterr().err
