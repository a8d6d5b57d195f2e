"""One class per image: a table of the classes, who is taken for whom, and how far its probabilities can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
from scipy.spatial.distance import squareform
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from fine_tuner.config.metric_specs import ACCURACY, MACRO_F1, TOP5
from fine_tuner.evaluation.figures.calibration import calibration_of
from fine_tuner.evaluation.figures.intervals import (
    BOOTSTRAP,
    CLASS_COLUMNS,
    WILSON,
    bootstrap,
    headline,
    triple,
    triples,
    wilson,
)

_MOST_LEAVES = 200  # classes that are ordered as well as can be; beyond, as the clustering leaves them


def class_figures(logits: NDArray[Any], targets: NDArray[Any], names: Sequence[str]) -> dict[str, Any]:
    """Everything about ``logits`` ``(N, K)`` against ``targets`` ``(N,)``; ``names`` of the K classes."""
    labels = np.arange(len(names))
    predictions = logits.argmax(1)
    matrix = confusion_matrix(targets, predictions, labels=labels)
    precision, recall, f1, counts = precision_recall_fscore_support(
        targets, predictions, labels=labels, zero_division=np.nan
    )
    hits, said = matrix.diagonal(), matrix.sum(0)
    ends = bootstrap(lambda drawn: f1_scores(targets[drawn], predictions[drawn], len(names)), len(targets))
    rows = zip(
        names, counts, said, hits,
        triples(precision, wilson(hits, said)), triples(recall, wilson(hits, counts)),
        triples(np.where(counts + said > 0, np.nan_to_num(f1), np.nan), (ends[0][:-1], ends[1][:-1])), strict=True,
    )  # fmt: skip
    return {
        "headline": _headline(logits, targets, matrix, (ends[0][-1], ends[1][-1])),
        "right": int(hits.sum()),
        "classes": [
            {
                "name": name, "images": int(count), "predicted": int(predicted), "right": int(right),
                "precision": p, "recall": r, "f1": f,
            }
            for name, count, predicted, right, p, r, f in rows
        ],
        "columns": list(CLASS_COLUMNS),
        "confusion": {
            "order": order_of(matrix).tolist(),
            "cells": [[int(t), int(p), int(matrix[t, p])] for t, p in np.argwhere(matrix)],
        },
        "calibration": calibration_of(logits, targets),
    }  # fmt: skip


def _headline(
    logits: NDArray[Any], targets: NDArray[Any], matrix: NDArray[Any], macro_ends: tuple[float, float]
) -> list[dict[str, Any]]:
    count, num_classes = len(targets), logits.shape[1]
    right = int(matrix.trace())
    macro = f1_scores(targets, logits.argmax(1), num_classes)[-1]
    top = [(ACCURACY, right)]
    if num_classes >= TOP5.min_outputs:
        best = np.argpartition(-logits, 5, axis=1)[:, :5]
        top.append((TOP5, int((best == targets[:, None]).any(1).sum())))
    shares = []
    for spec, hits in top:
        low, high = wilson(hits, count)
        share = triple(hits / count if count else np.nan, float(low), float(high))
        shares.append(headline(spec.key, spec.label, share, spec.kind, WILSON))
    return [*shares, headline(MACRO_F1.key, MACRO_F1.label, triple(macro, *macro_ends), MACRO_F1.kind, BOOTSTRAP)]


def f1_scores(targets: NDArray[Any], predictions: NDArray[Any], num_classes: int) -> NDArray[Any]:
    """F1 of each class and, last, their mean; NaN for a class that is neither there nor predicted, left out of it.

    What scikit-learn's ``f1_score`` gives for the classes there are, fast enough to be drawn a thousand times.
    """
    hits = np.bincount(targets[targets == predictions], minlength=num_classes)
    both = np.bincount(targets, minlength=num_classes) + np.bincount(predictions, minlength=num_classes)
    scores = np.divide(2 * hits, both, out=np.full(num_classes, np.nan), where=both > 0)
    return np.append(scores, np.nanmean(scores) if (both > 0).any() else np.nan)


def order_of(matrix: NDArray[Any]) -> NDArray[Any]:
    """Classes so that those taken for each other stand together.

    Two classes are as near as the share of their images that goes to the other; average linkage, its leaves turned so
    that neighbours are near (Bar-Joseph et al. 2001), for many classes as they come.
    """
    num_classes = len(matrix)
    if num_classes < 3 or matrix.trace() == matrix.sum():  # nothing is taken for another
        return np.arange(num_classes)
    counts = matrix.sum(1)
    shares = (matrix + matrix.T) / np.maximum(counts[:, None] + counts[None, :], 1)
    distances = 1 - np.clip(shares, 0, 1)
    np.fill_diagonal(distances, 0)
    condensed = squareform(distances, checks=False)
    tree = linkage(condensed, "average")
    return leaves_list(optimal_leaf_ordering(tree, condensed) if num_classes <= _MOST_LEAVES else tree)
