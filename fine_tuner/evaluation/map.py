"""A map of pictures: their features in two dimensions, so that pictures which the network sees alike lie together."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

_FITTED = 5000  # images that the two directions are found on


def map_of(features: NDArray[Any]) -> NDArray[np.float32]:
    """``(N, 2)`` in -1 to 1: the two principal components of features ``(N, F)``; zeros where all are alike.

    Each component points so that its largest weight is positive: the same features have the same map.
    """
    count, width = features.shape
    if count < 3 or width < 2:
        return np.zeros((count, 2), np.float32)
    step = -(-count // _FITTED)
    fitted = features[::step].astype(np.float32)
    if not fitted.std(0).any():  # such as of a network whose weights overflow
        return np.zeros((count, 2), np.float32)
    model = PCA(2, svd_solver="randomized", random_state=0).fit(fitted)
    signs = np.sign(model.components_[np.arange(2), np.abs(model.components_).argmax(1)])
    places = model.transform(features.astype(np.float32)) * np.where(signs == 0, 1, signs)
    return (places / max(float(np.abs(places).max()), 1e-12)).astype(np.float32)
