"""Two runs on the same images: p is scipy's, the interval holds the difference, the sentence says what it comes to."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from fine_tuner.evaluation.paired import compare_pair, mcnemar, paired_bootstrap
from fine_tuner.evaluation.predictions import write_predictions
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.results import results_of


@pytest.mark.parametrize(("one", "other"), [(0, 0), (4, 9), (0, 6), (7, 7), (300, 220), (2000, 3000)])
def test_p_is_that_of_the_exact_binomial_test(one: int, other: int) -> None:
    expected = binomtest(one, one + other).pvalue if one + other else 1.0
    assert mcnemar(one, other) == pytest.approx(expected)


def test_the_interval_of_a_difference_holds_its_mean_and_is_zero_for_none() -> None:
    mean, low, high = paired_bootstrap(np.random.default_rng(0).normal(0.5, 1, 200))
    assert low < mean < high
    assert paired_bootstrap(np.zeros(9)) == (0, 0, 0)


def evaluated(path: Path, names: list[str], **columns: np.ndarray) -> RunFolder:
    run = RunFolder(path)
    results = results_of(run, "val-best")
    results.path.mkdir(parents=True)
    write_predictions(results.predictions, columns, names)
    target = "class" if "predictions" in columns else "numbers"
    results.figures.write_text(json.dumps({"target": target, "names": ["x", "y"]}))
    return run


def test_runs_are_compared_on_the_images_that_both_saw(tmp_path: Path) -> None:
    def run(name: str, names: list[str], right: list[bool]) -> RunFolder:
        targets = np.ones(len(names), np.int64)
        loss = np.zeros(len(names), np.float32)
        return evaluated(tmp_path / name, names, loss=loss, targets=targets, predictions=targets * np.array(right))

    names = [f"{k}.png" for k in range(20)]
    one = run("a", names, [k >= 9 for k in range(20)])  # wrong on 0..8
    other = run("b", names[4:][::-1], [k < 18 for k in range(4, 20)][::-1])  # wrong on 18, 19; knows not 0..3
    found = compare_pair(one, other)
    assert (found["images"], found["only_one"], found["only_other"]) == (16, 2, 5)
    assert found["sentence"] == (
        "On 16 images B is right on 5 where A is wrong, A on 2 where B is wrong: not enough to tell, p = 0.45."
    )
    assert found["p"] == pytest.approx(binomtest(2, 7).pvalue)
    assert [picture["right"] for picture in found["pictures"]] == [1] * 5 + [0] * 2
    assert found["pictures"][0] == {"right": 1, "index": [8, 11], "true": "y", "said": ["x", "y"]}


def test_numbers_are_compared_by_their_errors(tmp_path: Path) -> None:
    names, error = [f"{k}.png" for k in range(50)], np.linspace(1, 2, 50, dtype=np.float32)
    one, other = evaluated(tmp_path / "a", names, loss=error), evaluated(tmp_path / "b", names, loss=error - 0.5)
    found = compare_pair(one, other)
    assert found["sentence"].startswith("On 50 images the absolute error of B is 0.5 less than that of A")
    assert found["is_told"]
    assert not compare_pair(one, one)["is_told"]


def test_what_cannot_be_compared_is_said(tmp_path: Path) -> None:
    one = evaluated(tmp_path / "a", ["a.png"], loss=np.float32([1]))
    assert "once each has results" in compare_pair(one, RunFolder(tmp_path / "none"))["sentence"]
    other = evaluated(tmp_path / "b", ["b.png"], loss=np.float32([1]))
    assert "no validation images in common" in compare_pair(one, other)["sentence"]
