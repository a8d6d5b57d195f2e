"""Every figure equals scikit-learn's, on random and on degenerate input; intervals are their formulas."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    confusion_matrix,
    f1_score,
    jaccard_score,
    mean_absolute_error,
    precision_score,
    r2_score,
    recall_score,
    root_mean_squared_error,
    top_k_accuracy_score,
)

from fine_tuner.evaluation.figures.calibration import (
    calibration_error,
    calibration_of,
    confidences,
    fit_temperature,
    reliability,
)
from fine_tuner.evaluation.figures.classes import class_figures, f1_scores, order_of
from fine_tuner.evaluation.figures.intervals import bootstrap, wilson
from fine_tuner.evaluation.figures.labels import best_threshold, label_figures
from fine_tuner.evaluation.figures.masks import mask_figures
from fine_tuner.evaluation.figures.numbers import number_figures, number_scores

NO_WARNING = {"zero_division": 0}


def classes(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Logits ``(N, K)`` and targets ``(N,)``, with a class absent, one image, and so on."""
    rng = np.random.default_rng(7)
    count, num = {"one image": (1, 3), "many classes": (400, 1000)}.get(kind, (60, 4))
    targets = rng.integers(0, num, count)
    if kind == "absent class":
        targets[targets == 2] = 0
    logits = rng.normal(size=(count, num)).astype(np.float32)
    if kind != "all wrong":
        logits[np.arange(count), targets] += 1.5
    else:
        logits[np.arange(count), targets] = -9
    if kind == "all right":
        logits[np.arange(count), targets] += 9
    return logits, targets


KINDS = ("random", "absent class", "one image", "all wrong", "all right", "many classes")


@pytest.mark.parametrize("kind", KINDS)
def test_the_table_of_classes_and_the_confusion_matrix_are_scikit_learns(kind: str) -> None:
    logits, targets = classes(kind)
    said, labels = logits.argmax(1), np.arange(logits.shape[1])
    figures = class_figures(logits, targets, [str(k) for k in labels])
    matrix = np.zeros((len(labels), len(labels)), int)
    for true, predicted, number in figures["confusion"]["cells"]:
        matrix[true, predicted] = number
    assert (matrix == confusion_matrix(targets, said, labels=labels)).all()
    assert sorted(figures["confusion"]["order"]) == labels.tolist()
    expected = {
        name: score(targets, said, labels=labels, average=None, **NO_WARNING)
        for name, score in (("precision", precision_score), ("recall", recall_score), ("f1", f1_score))
    }
    for k, row in enumerate(figures["classes"]):
        assert (row["images"], row["predicted"]) == ((targets == k).sum(), (said == k).sum())
        is_known = {"precision": row["predicted"], "recall": row["images"], "f1": row["predicted"] + row["images"]}
        for name, values in expected.items():
            assert row[name][0] == (pytest.approx(values[k]) if is_known[name] else None)
    head = {line["key"]: line["value"][0] for line in figures["headline"]}
    there = sorted(set(targets) | set(said))
    assert head["accuracy"] == pytest.approx(accuracy_score(targets, said))
    assert head["f1"] == pytest.approx(f1_score(targets, said, labels=there, average="macro", **NO_WARNING))
    if len(labels) > 5:
        assert head["top5"] == pytest.approx(top_k_accuracy_score(targets, logits, k=5, labels=labels))


@pytest.mark.parametrize(("hits", "count"), [(0, 1), (1, 1), (134, 153), (0, 40), (40, 40), (7, 20)])
def test_the_interval_of_a_share_is_wilsons(hits: int, count: int) -> None:
    expected = binomtest(hits, count).proportion_ci(method="wilson")
    assert [float(end) for end in wilson(hits, count)] == pytest.approx([expected.low, expected.high])


def test_a_share_of_nothing_has_no_interval() -> None:
    assert all(np.isnan(end).all() for end in wilson([0, 0], [0, 0]))


def test_the_interval_of_a_mean_holds_it_in_about_95_of_100_samples() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(100):
        sample = rng.exponential(size=80)
        low, high = bootstrap(lambda drawn, sample=sample: sample[drawn].mean(keepdims=True), len(sample))
        held += low[0] <= 1 <= high[0]
    assert 85 <= held <= 99


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "one image"])
def test_reliability_is_scikit_learns_curve_and_its_error_the_mean_gap(kind: str) -> None:
    logits, targets = classes(kind)
    confidence, is_right = confidences(logits), logits.argmax(1) == targets
    bins = [b for b in reliability(confidence, is_right) if b["count"]]
    share, mean = calibration_curve(is_right, confidence, n_bins=15)
    assert [b["share"] for b in bins] == pytest.approx(share.tolist())
    assert [b["confidence"] for b in bins] == pytest.approx(mean.tolist())
    gaps = sum(b["count"] * abs(b["share"] - b["confidence"]) for b in bins)
    assert calibration_error(bins) == pytest.approx(gaps / len(targets))


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_with_which_targets_were_drawn_is_found(temperature: float) -> None:
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(4000, 5)) * 3
    probs = np.exp(logits / temperature)
    probs /= probs.sum(1, keepdims=True)
    targets = (probs.cumsum(1) > rng.random((4000, 1))).argmax(1)
    assert fit_temperature(logits, targets) == pytest.approx(temperature, rel=0.08)
    assert calibration_of(logits, targets)["error_after"] < 0.03


def test_a_temperature_is_finite_whatever_it_is_fitted_on() -> None:
    for kind in KINDS:
        assert 0.01 < calibration_of(*classes(kind))["temperature"] < 60


def test_classes_that_are_confused_stand_together() -> None:
    matrix = 20 * np.eye(6, dtype=int)
    for one, other in ((0, 4), (1, 3)):
        matrix[one, other] = matrix[other, one] = 9
    order = order_of(matrix).tolist()
    assert {abs(order.index(one) - order.index(other)) for one, other in ((0, 4), (1, 3))} == {1}
    assert order_of(np.eye(4, dtype=int)).tolist() == [0, 1, 2, 3]


def labels(kind: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    count = 1 if kind == "one image" else 50
    truth = rng.random((count, 3)) < 0.4
    if kind == "absent class":
        truth[:, 1] = False
    logits = rng.normal(size=(count, 3)) + 2 * truth - 1
    if kind == "ties":
        logits = np.round(logits)
    return (-logits if kind == "all wrong" else logits), truth


@pytest.mark.parametrize("kind", ["random", "absent class", "one image", "all wrong", "ties"])
def test_figures_of_labels_are_scikit_learns_at_every_threshold(kind: str) -> None:
    logits, truth = labels(kind)
    figures = label_figures(logits, truth.astype(np.uint8), ["a", "b", "c"])
    probs, there = 1 / (1 + np.exp(-logits)), truth.any(0)
    for k, row in enumerate(figures["classes"]):
        if not there[k]:
            assert (row["average_precision"][0], row["f1"][0], row["best_threshold"]) == (None, None, None)
            continue
        assert row["average_precision"][0] == pytest.approx(average_precision_score(truth[:, k], logits[:, k]))
        assert row["f1"][0] == pytest.approx(f1_score(truth[:, k], logits[:, k] >= 0, **NO_WARNING))
        scores = []
        curve = zip(row["curve"]["predicted"], row["curve"]["right"], strict=True)
        for at, (said, right) in zip(figures["thresholds"], curve, strict=True):
            predicted = probs[:, k] >= at
            assert (said, right) == (predicted.sum(), (predicted & truth[:, k]).sum())
            scores.append(f1_score(truth[:, k], predicted, **NO_WARNING))
        at = figures["thresholds"].index(row["best_threshold"])
        assert scores[at] == pytest.approx(max(scores))
    head = {line["key"]: line["value"] for line in figures["headline"]}
    average = [average_precision_score(truth[:, k], logits[:, k]) for k in np.flatnonzero(there)]
    if average:
        value, low, high = head["map"]
        assert value == pytest.approx(np.mean(average))
        assert low - 1e-9 <= value <= high + 1e-9


def test_of_equally_good_thresholds_the_one_nearest_to_one_half_is_chosen() -> None:
    curve = {"predicted": [4, 2, 2, 2, 0], "right": [2, 2, 2, 2, 0]}
    assert best_threshold(curve, 2, np.array([0, 0.25, 0.5, 0.75, 1])) == 0.5


@pytest.mark.parametrize("count", [1, 2, 40])
def test_figures_of_numbers_are_scikit_learns(count: int) -> None:
    rng = np.random.default_rng(count)
    true = rng.normal(size=(count, 2)) * [1, 1000]
    said = true + rng.normal(size=(count, 2))
    rows = number_figures(said, true, ["a", "b"])["numbers"]
    for d, row in enumerate(rows):
        assert row["mae"][0] == pytest.approx(mean_absolute_error(true[:, d], said[:, d]))
        assert row["rmse"][0] == pytest.approx(root_mean_squared_error(true[:, d], said[:, d]))
        expected = r2_score(true[:, d], said[:, d]) if count > 1 else None
        assert row["r2"][0] == (expected if expected is None else pytest.approx(expected))
    if count > 1:
        assert number_scores(said, true)[:2, 2].tolist() == pytest.approx([row["r2"][0] for row in rows])


def test_iou_and_dice_are_scikit_learns_and_an_absent_class_is_left_out() -> None:
    rng = np.random.default_rng(2)
    true, said = rng.integers(0, 3, (5, 64)), rng.integers(0, 3, (5, 64))
    hits, of_true, of_said = (
        np.array([[part[i, k].sum() for k in range(4)] for i in range(5)])
        for part in (
            np.array([[(true[i] == k) & (said[i] == k) for k in range(4)] for i in range(5)]),
            np.array([[true[i] == k for k in range(4)] for i in range(5)]),
            np.array([[said[i] == k for k in range(4)] for i in range(5)]),
        )
    )
    figures = mask_figures(hits, of_true, of_said, ["a", "b", "c", "never"])
    iou = jaccard_score(true.ravel(), said.ravel(), average=None)
    dice = f1_score(true.ravel(), said.ravel(), average=None)
    assert [row["iou"][0] for row in figures["classes"]] == [*(pytest.approx(v) for v in iou), None]
    assert [row["dice"][0] for row in figures["classes"]] == [*(pytest.approx(v) for v in dice), None]
    head = {line["key"]: line["value"] for line in figures["headline"]}
    assert head["mean_iou"][0] == pytest.approx(iou.mean())
    assert head["pixel_accuracy"][0] == pytest.approx((true == said).mean())
    assert head["mean_iou"][1] < head["mean_iou"][0] < head["mean_iou"][2]


def test_f1_drawn_a_thousand_times_is_scikit_learns() -> None:
    rng = np.random.default_rng(11)
    targets, said = rng.integers(0, 4, 30), rng.integers(0, 4, 30)
    expected = f1_score(targets, said, average=None)
    assert f1_scores(targets, said, 4).tolist() == pytest.approx([*expected, expected.mean()])
