"""``train --seeds``: runs that differ in their seed alone, and what they come to together."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest

from fine_tuner.cli.main import main
from fine_tuner.config.io import read_tree
from fine_tuner.runs.store import RunStore


def test_runs_differ_in_their_seed_alone_and_come_to_their_mean_and_deviation(
    tiny_settings: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*tiny_settings, "train.epochs=1", "seed=7"]
    assert main(["train", "default", *words, "--seeds", "2", "--runs", str(tmp_path), "--json"]) == 0
    repeats = json.loads(capsys.readouterr().out.splitlines()[-1])["repeats"]
    store = RunStore(tmp_path)
    runs = [store.get(run_id) for run_id in store.ids()]
    trees = [read_tree(run.config) for run in runs]
    assert sorted(tree.pop("seed") for tree in trees) == [7, 8]
    assert trees[0] == trees[1]
    best = [store.view(run.id).best.value for run in runs]
    (repeat,) = (row for row in repeats if row["key"] == store.view(runs[0].id).best.key)
    assert (repeat["count"], repeat["mean"]) == (2, pytest.approx(statistics.mean(best)))
    assert repeat["sd"] == pytest.approx(statistics.stdev(best))


def test_a_run_that_is_there_is_not_repeated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.yaml").touch()
    assert main(["train", str(tmp_path), "--seeds", "2"]) == 2
    assert "a run that is there has its seed" in capsys.readouterr().err
