"""Images whose label is probably wrong, by confident learning on predictions of models that have not seen them.

Each image of training and validation is predicted by a linear model on the features of the run's network, fitted on the
other folds. A class counts as said of an image if its probability reaches what that class has on average over the
images that carry its label. An image is suspected if the most probable of the classes said is not its label, and the
more so the smaller the margin of its label.

The features were trained on the labels in question, so a network all of whose layers learned hides some of the errors
that it has learned by heart; one of which only the head learned hides none.

Source: Northcutt, Jiang and Chuang 2021, https://arxiv.org/abs/1911.00068, sections 3.1 and 3.2 (off-diagonals of the
confident joint, ranked by normalised margin).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

FOLDS = 5
_DIMENSIONS = 128  # of the features that a fold is fitted on
_NEIGHBOURS = 10
_FAR = 6.0  # median absolute deviations above the median distance: an outlier


def out_of_fold(features: NDArray[Any], targets: NDArray[Any], num_classes: int, *, seed: int = 0) -> NDArray[Any]:
    """Probabilities ``(N, K)`` of each image by a model that was not fitted on it; NaN where there can be none.

    There can be none of an image that is alone in its class, or where there is one class only.
    """
    counts = np.bincount(targets, minlength=num_classes)
    probs = np.full((len(targets), num_classes), np.nan)
    rows = np.flatnonzero(counts[targets] >= 2)
    if len(np.unique(targets[rows])) < 2:
        return probs
    folds = int(min(FOLDS, counts[counts >= 2].min()))
    x = features[rows].astype(np.float64)
    steps = [StandardScaler(), LogisticRegression(C=0.1, max_iter=300)]
    if min(x.shape) > _DIMENSIONS:
        steps.insert(1, PCA(_DIMENSIONS, svd_solver="randomized", random_state=seed))
    for train, test in StratifiedKFold(folds, shuffle=True, random_state=seed).split(x, targets[rows]):
        model = make_pipeline(*steps)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # nearly there is near enough for a ranking
            model.fit(x[train], targets[rows[train]])
        probs[np.ix_(rows[test], model.classes_)] = model.predict_proba(x[test])
    return np.where(np.isnan(probs).all(1, keepdims=True), np.nan, np.nan_to_num(probs))


def suspected(probs: NDArray[Any], targets: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of suspected images, the most suspected first, and the class that each seems to be.

    Args:
        probs: ``(N, K)``, out of sample; rows of NaN are left out.
        targets: ``(N,)``.
    """
    known = np.isfinite(probs).all(1)
    present = np.unique(targets[known])
    thresholds = np.full(probs.shape[1], np.inf)
    for k in present:
        thresholds[k] = probs[known & (targets == k), k].mean()
    said = known[:, None] & (np.nan_to_num(probs) >= thresholds - 1e-12)
    confident = np.where(said, np.nan_to_num(probs), -np.inf)
    other = confident.argmax(1)
    indices = np.flatnonzero(said.any(1) & (other != targets))
    margins = probs[indices, targets[indices]] - _best_other(probs[indices], targets[indices])
    order = np.argsort(margins, kind="stable")
    return indices[order], other[indices[order]]


def _best_other(probs: NDArray[Any], targets: NDArray[Any]) -> NDArray[Any]:
    others = probs.copy()
    others[np.arange(len(targets)), targets] = -np.inf
    return others.max(1) if len(targets) else np.zeros(0)


def outliers(features: NDArray[Any]) -> NDArray[np.int64]:
    """Images far from all others, the farthest first: by the mean distance to their ten nearest."""
    if len(features) <= _NEIGHBOURS + 1 or not features.shape[1]:
        return np.zeros(0, np.int64)
    x = StandardScaler().fit_transform(features.astype(np.float64))
    if min(x.shape) > _DIMENSIONS:
        x = PCA(_DIMENSIONS, svd_solver="randomized", random_state=0).fit_transform(x)
    distances = NearestNeighbors(n_neighbors=_NEIGHBOURS + 1).fit(x).kneighbors(x)[0][:, 1:].mean(1)
    spread = np.median(np.abs(distances - np.median(distances)))
    far = np.flatnonzero(distances > np.median(distances) + _FAR * max(spread, 1e-12))
    return far[np.argsort(-distances[far], kind="stable")]


def unusual(values: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices far below and far above the other values, the farthest first; see ``_FAR``."""
    middle = np.median(values) if len(values) else 0.0
    spread = max(float(np.median(np.abs(values - middle))) if len(values) else 0.0, 1e-9)
    low, high = np.flatnonzero(values < middle - _FAR * spread), np.flatnonzero(values > middle + _FAR * spread)
    return low[np.argsort(values[low])], high[np.argsort(-values[high])]


def tells_the_class(values: NDArray[Any], targets: NDArray[Any], num_classes: int) -> float | None:
    """Share of images whose class a property such as brightness tells alone, beyond always saying the most frequent.

    0: nothing beyond; 1: every image. None where it cannot be said.
    """
    edges = np.unique(np.quantile(values, np.linspace(0, 1, 11)[1:-1])) if len(values) else np.zeros(0)
    bins = np.searchsorted(edges, values)[:, None]
    probs = out_of_fold(np.eye(len(edges) + 1)[bins[:, 0]], targets, num_classes)
    known = np.isfinite(probs).all(1)
    if not known.any():
        return None
    always = np.bincount(targets[known], minlength=num_classes).max() / known.sum()
    right = (probs[known].argmax(1) == targets[known]).mean()
    return float(max(0.0, (right - always) / (1 - always))) if always < 1 else None


def reasons_of(count: int, found: Sequence[tuple[str, NDArray[np.int64]]]) -> list[list[str]]:
    """For each image the names of the lists that it is on."""
    reasons: list[list[str]] = [[] for _ in range(count)]
    for name, indices in found:
        for index in indices:
            reasons[int(index)].append(name)
    return reasons
