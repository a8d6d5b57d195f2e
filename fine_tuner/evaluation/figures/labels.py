"""Several labels per image: precision and recall of each at every threshold, and the threshold with the best F1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.metrics import average_precision_score

from fine_tuner.config.metric_specs import MACRO_F1, MAP
from fine_tuner.evaluation.figures.intervals import (
    BOOTSTRAP,
    CLASS_COLUMNS,
    bootstrap,
    column,
    headline,
    triple,
    triples,
    wilson,
)

_POINTS = 101  # thresholds of a slider: 0 % to 100 %
_DRAWN_NUMBERS = 2_000_000  # images times labels up to which mean average precision has an interval


def label_figures(logits: NDArray[Any], targets: NDArray[Any], names: Sequence[str]) -> dict[str, Any]:
    """Everything about ``logits`` ``(N, K)`` against ``targets`` ``(N, K)`` of 0 and 1; ``names`` of the K labels."""
    truth = targets.astype(bool)
    said = logits >= 0  # a probability of one half
    thresholds = np.linspace(0, 1, _POINTS)
    hits, counts, predicted = (truth & said).sum(0), truth.sum(0), said.sum(0)
    with np.errstate(invalid="ignore"):
        precision, recall = hits / predicted, hits / counts
    scores = label_scores(logits, truth)
    ends = _ends(logits, truth)
    own = [(low[:-1], high[:-1]) for low, high in ends]
    rows = zip(
        names, counts, predicted, hits, triples(precision, wilson(hits, predicted)),
        triples(recall, wilson(hits, counts)), triples(scores[0], own[0]), triples(scores[1], own[1]), strict=True,
    )  # fmt: skip
    classes = []
    for k, (name, count, number, right, p, r, f, ap) in enumerate(rows):
        curve = counts_at(logits[:, k], truth[:, k], thresholds)
        classes.append(
            {
                "name": name, "images": int(count), "predicted": int(number), "right": int(right), "precision": p,
                "recall": r, "f1": f, "average_precision": ap, "curve": curve,
                "best_threshold": best_threshold(curve, int(count), thresholds),
            }
        )  # fmt: skip
    means = label_means(scores)
    return {
        "headline": [
            headline(spec.key, spec.label, triple(means[m], *(end[-1] for end in ends[m])), spec.kind, BOOTSTRAP)
            for m, spec in ((1, MAP), (0, MACRO_F1))
        ],
        "classes": classes,
        "thresholds": thresholds.round(4).tolist(),
        "columns": [
            *CLASS_COLUMNS,
            column("average_precision", "Average precision", "fraction", BOOTSTRAP),
        ],
    }  # fmt: skip


def counts_at(logits: NDArray[Any], truth: NDArray[Any], thresholds: NDArray[Any]) -> dict[str, list[int]]:
    """How many images have at least each probability, ``predicted``, and how many of them the label, ``right``."""
    probs = expit(logits.astype(np.float64))
    every, having = np.sort(probs), np.sort(probs[truth])
    return {
        "predicted": (len(every) - np.searchsorted(every, thresholds, side="left")).tolist(),
        "right": (len(having) - np.searchsorted(having, thresholds, side="left")).tolist(),
    }


def best_threshold(curve: dict[str, list[int]], count: int, thresholds: NDArray[Any]) -> float | None:
    """The threshold with the greatest F1, of several the one nearest to one half; None for a label nobody has."""
    if not count:
        return None
    right, predicted = np.array(curve["right"]), np.array(curve["predicted"])
    scores = 2 * right / np.maximum(count + predicted, 1)
    best = np.flatnonzero(scores >= scores.max() - 1e-12)
    return float(thresholds[best[np.abs(thresholds[best] - 0.5).argmin()]])


def label_scores(logits: NDArray[Any], truth: NDArray[Any]) -> NDArray[Any]:
    """``(2, K)``: F1 at one half and average precision of each label; NaN for one that no image has."""
    said = logits >= 0
    counts = truth.sum(0)
    with np.errstate(invalid="ignore"):
        f1 = np.where(counts > 0, 2 * (truth & said).sum(0) / (counts + said.sum(0)), np.nan)
    average = [
        average_precision_score(truth[:, k], logits[:, k]) if counts[k] else np.nan for k in range(truth.shape[1])
    ]
    return np.array([f1, average])


def label_means(scores: NDArray[Any]) -> NDArray[Any]:
    """Mean over the labels that are there; NaN if none is."""
    is_there = np.isfinite(scores[0])
    return scores[:, is_there].mean(1) if is_there.any() else np.full(2, np.nan)


def _ends(logits: NDArray[Any], truth: NDArray[Any]) -> tuple[Any, Any]:
    """Intervals of F1 and of average precision, of each label and, last, of the mean."""
    if truth.size > _DRAWN_NUMBERS:
        nothing = np.full(truth.shape[1] + 1, np.nan)
        return ((nothing, nothing), (nothing, nothing))
    order = np.argsort(-logits, axis=0, kind="stable")
    ranked = np.take_along_axis(logits, order, 0)
    is_last = np.vstack([ranked[1:] != ranked[:-1], np.ones((1, truth.shape[1]), bool)])  # of equal scores
    having, said = np.take_along_axis(truth, order, 0), logits >= 0

    def figure(drawn: NDArray[np.int64]) -> NDArray[Any]:
        times = np.bincount(drawn, minlength=len(truth))[:, None]
        counts = (truth * times).sum(0)
        with np.errstate(invalid="ignore", divide="ignore"):
            f1 = 2 * (truth & said).T @ times[:, 0] / (counts + said.T @ times[:, 0])
            precision = average_precision(times[order, 0], having, is_last) / counts
        scores = np.where(counts > 0, [f1, precision], np.nan)
        return np.column_stack([scores, label_means(scores)])

    low, high = bootstrap(figure, len(truth), width=4 * truth.shape[1])
    return ((low[0], high[0]), (low[1], high[1]))


def average_precision(times: NDArray[Any], having: NDArray[Any], is_last: NDArray[Any]) -> NDArray[Any]:
    """Average precision of each label times its images, for images that count ``times``; scikit-learn's formula.

    Args:
        times: ``(N, K)``, in the order of falling scores of each label.
        having: ``(N, K)``: whether they have the label.
        is_last: ``(N, K)``: whether the next score is another one: equal scores are one threshold.
    """
    right, seen = (times * having).cumsum(0), times.cumsum(0)
    precision = np.divide(right, seen, out=np.zeros(times.shape), where=seen > 0)
    out = np.zeros(times.shape[1])
    for k in range(times.shape[1]):
        at = is_last[:, k]
        out[k] = (np.diff(right[at, k], prepend=0) * precision[at, k]).sum()
    return out
