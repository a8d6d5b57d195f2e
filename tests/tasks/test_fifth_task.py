"""A task of its own file trains, plans and predicts through the same commands as the others."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.view.run_view import RunView

ROOT = Path(__file__).resolve().parents[2]


def counting(*argv: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tests.tasks.counting", *argv], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_fifth_task_is_one_file_and_trains_through_the_command(tmp_path: Path) -> None:
    config = tmp_path / "counting.yaml"
    config.write_text(
        yaml.safe_dump(
            {
                "task": "counting",
                "data": {"path": "builtin:sample", "image_size": 32, "num_workers": 0},
                "model": {"name": "mobilenet_v3_small", "weights": "none", "trainable": "all"},
                "train": {"epochs": 1, "batch_size": 64},
                "devices": "cpu",
            }
        )
    )
    counting("train", str(config), "--runs", str(tmp_path / "runs"))
    (path,) = (tmp_path / "runs").glob("2*")
    run = RunFolder(path)
    view = RunView(run)
    assert view.started["task"] == "counting"
    assert view.started["best_metric"] == "val/exact"
    assert view.started["metrics"]["val/exact"]["kind"] == "fraction"
    assert {"val/exact", "val/mae", "val/loss"} <= view.series.keys()
    assert yaml.safe_load(run.config.read_text())["loss"]["name"] == "smooth_l1", "the task's own"
    (split,) = (path / "splits").glob("*.json")
    picture = next(Path(json.loads(split.read_text())["root"]).rglob("*.png"))
    (answer,) = json.loads(counting("predict", str(path), str(picture), "--json"))["predictions"]
    assert isinstance(answer["numbers"]["count"], int)


def test_a_fifth_task_is_offered_where_it_has_a_meaning_and_nowhere_else() -> None:
    losses = {row["name"] for row in json.loads(counting("list", "losses", "--task", "counting", "--json"))["losses"]}
    assert {"mse", "smooth_l1", "huber", "custom"} <= losses
    assert not losses & {"cross_entropy", "dice"}
