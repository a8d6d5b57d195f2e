"""One class per pixel: how far what is marked and what is there overlap, by class and by picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fine_tuner.config.metric_specs import DICE, MEAN_IOU, PIXEL_ACCURACY
from fine_tuner.evaluation.figures.intervals import (
    BOOTSTRAP,
    IMAGES,
    NAME,
    bootstrap,
    column,
    headline,
    triple,
    triples,
)


def mask_figures(
    hits: NDArray[Any], true_pixels: NDArray[Any], said_pixels: NDArray[Any], names: Sequence[str]
) -> dict[str, Any]:
    """Everything about pixels by image and class, ``(N, K)`` each; see ``predictions.py``."""
    per_image = np.stack([hits, true_pixels, said_pixels])  # (3, N, K)
    values = overlaps(per_image.sum(1))
    low, high = bootstrap(lambda drawn: overlaps(per_image[:, drawn].sum(1)), len(hits), width=3 * len(names))
    means = list(zip(values[-1], low[-1], high[-1], strict=True))
    iou, dice = (triples(values[:-1, m], (low[:-1, m], high[:-1, m])) for m in (0, 1))
    return {
        "headline": [
            headline(spec.key, spec.label, triple(*means[m]), spec.kind, BOOTSTRAP)
            for m, spec in enumerate((MEAN_IOU, DICE, PIXEL_ACCURACY))
        ],
        "classes": [
            {
                "name": name, "images": int((true_pixels[:, k] > 0).sum()), "pixels": int(true_pixels[:, k].sum()),
                "predicted": int(said_pixels[:, k].sum()), "iou": iou[k], "dice": dice[k],
            }
            for k, name in enumerate(names)
        ],
        "columns": [
            NAME,
            IMAGES,
            column("iou", "IoU", "fraction", f"{BOOTSTRAP} over images"),
            column("dice", "Dice", "fraction", f"{BOOTSTRAP} over images"),
            column("pixels", "Pixels"),
            column("predicted", "Predicted"),
        ],
    }  # fmt: skip


def overlaps(counts: NDArray[Any]) -> NDArray[Any]:
    """``(K + 1, 3)``: IoU and Dice of each class and, last, their means with the pixel accuracy.

    A class that is neither there nor predicted is NaN and left out of the means, as in ``metrics.py``.

    Args:
        counts: ``(3, K)``: pixels that agree, true pixels, predicted pixels.
    """
    hits, true, said = counts.astype(np.float64)
    is_there = true + said > 0
    scores = np.full((len(hits) + 1, 3), np.nan)
    scores[:-1][is_there, 0] = hits[is_there] / (true + said - hits)[is_there]
    scores[:-1][is_there, 1] = 2 * hits[is_there] / (true + said)[is_there]
    if is_there.any():
        scores[-1, :2] = scores[:-1][is_there, :2].mean(0)
        scores[-1, 2] = hits.sum() / true.sum() if true.sum() else np.nan
    return scores
