"""Numbers: how far off, where, and how much of what differs is explained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from fine_tuner.config.metric_specs import MAE, R2, RMSE
from fine_tuner.evaluation.figures.intervals import BOOTSTRAP, IMAGES, NAME, bootstrap, column, headline, triple

_POINTS = 2000  # of a scatter plot; more are one cloud


def number_figures(outputs: NDArray[Any], targets: NDArray[Any], names: Sequence[str]) -> dict[str, Any]:
    """Everything about ``outputs`` ``(N, D)`` against ``targets`` ``(N, D)``; ``names`` of the D numbers."""
    said, true = outputs.astype(np.float64), targets.astype(np.float64)
    values = np.array([_scores(said[:, d], true[:, d]) for d in range(len(names))]).reshape(-1, 3)
    low, high = bootstrap(lambda drawn: number_scores(said[drawn], true[drawn]), len(true), width=6 * len(names))
    step = -(-len(true) // _POINTS) if len(true) else 1
    shown = np.arange(0, len(true), step)
    rows = [
        {
            "name": name,
            "images": len(true),
            **{
                spec.key: triple(values[d, m], low[d, m], high[d, m]) for m, spec in enumerate((MAE, RMSE, R2))
            },
            "bias": float((said[:, d] - true[:, d]).mean()) if len(true) else None,
            "points": {
                "index": shown.tolist(), "true": true[shown, d].tolist(), "said": said[shown, d].tolist(),
            },
        }
        for d, name in enumerate(names)
    ]  # fmt: skip
    means = values.mean(0)
    return {
        "headline": [
            headline(spec.key, spec.label, triple(means[m], low[-1, m], high[-1, m]), spec.kind, BOOTSTRAP)
            for m, spec in enumerate((MAE, RMSE, R2))
        ],
        "numbers": rows,
        "columns": [
            NAME,
            IMAGES,
            *(column(spec.key, spec.label, spec.kind, BOOTSTRAP) for spec in (MAE, RMSE, R2)),
            column("bias", "Mean of predicted minus true"),
        ],
    }


def _scores(said: NDArray[Any], true: NDArray[Any]) -> tuple[float, float, float]:
    if not len(true):
        return (np.nan, np.nan, np.nan)
    explained = r2_score(true, said) if len(true) >= 2 else np.nan
    return mean_absolute_error(true, said), root_mean_squared_error(true, said), explained


def number_scores(said: NDArray[Any], true: NDArray[Any]) -> NDArray[Any]:
    """``(D + 1, 3)``: MAE, RMSE and R² of each number and, last, their means; as scikit-learn's, for drawing often."""
    error = said - true
    residual, total = (error**2).sum(0), ((true - true.mean(0)) ** 2).sum(0)
    explained = np.where(total > 0, 1 - residual / np.where(total > 0, total, 1), (residual == 0).astype(float))
    scores = np.column_stack([np.abs(error).mean(0), np.sqrt((error**2).mean(0)), explained])
    return np.vstack([scores, scores.mean(0)])
