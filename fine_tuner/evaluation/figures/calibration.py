"""Whether a probability can be taken at its word, and the temperature that mends it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

NUM_BINS = 15  # Guo et al. 2017
_RANGE = (-4.0, 4.0)  # of the logarithm of a temperature: 0.02 to 55
_MOST_FITTED = 4_000_000  # logits that a temperature is fitted on; it is one number
_AT_ONCE = 4_000_000  # logits in double precision


def reliability(confidence: NDArray[Any], is_right: NDArray[Any], *, bins: int = NUM_BINS) -> list[dict[str, Any]]:
    """Equal bins of confidence: ``low``, ``high``, ``count``, mean ``confidence``, ``share`` that is right.

    A bin holds what is above its lower and up to its upper edge; one without images has None for both means.
    """
    edges = np.linspace(0, 1, bins + 1)
    where = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    counts = np.bincount(where, minlength=bins)
    sums, right = (np.bincount(where, weights=values, minlength=bins) for values in (confidence, is_right))
    return [
        {
            "low": float(edges[b]),
            "high": float(edges[b + 1]),
            "count": int(n),
            "confidence": float(sums[b] / n) if n else None,
            "share": float(right[b] / n) if n else None,
        }
        for b, n in enumerate(counts)
    ]


def calibration_error(bins: list[dict[str, Any]]) -> float:
    """Expected calibration error: ``sum n_b / n |share_b - confidence_b|``; NaN for no images.

    Source: Naeini et al. 2015; Guo et al. 2017, eq. 3, https://arxiv.org/abs/1706.04599.
    """
    total = sum(b["count"] for b in bins)
    gaps = sum(b["count"] * abs(b["share"] - b["confidence"]) for b in bins if b["count"])
    return gaps / total if total else float("nan")


def fit_temperature(logits: NDArray[Any], targets: NDArray[Any]) -> float:
    """The ``T`` with the least mean of ``-log softmax(logits / T)[target]``; 1 for no images.

    Where all are right by far, or all wrong, the least lies at an end of 0.02 to 55 and is cut there.

    Source: Guo et al. 2017, section 4.2.
    """
    if not len(targets):
        return 1.0
    step = -(-logits.size // _MOST_FITTED)
    logits, targets = logits[::step].astype(np.float64), targets[::step]
    rows = np.arange(len(targets))

    def loss(log_temperature: float) -> float:
        return float(-log_softmax(logits / np.exp(log_temperature), axis=1)[rows, targets].mean())

    return float(np.exp(minimize_scalar(loss, bounds=_RANGE, method="bounded", options={"xatol": 1e-4}).x))


def confidences(logits: NDArray[Any], temperature: NDArray[Any] | float = 1.0) -> NDArray[Any]:
    """Probability of the most probable class of each image, ``(N,)``."""
    temperatures = np.broadcast_to(temperature, len(logits))[:, None]
    size = max(1, _AT_ONCE // max(1, logits.shape[1]))
    parts = [slice(start, start + size) for start in range(0, len(logits), size)]
    scaled = (logits[part].astype(np.float64) / temperatures[part] for part in parts)
    return np.concatenate([np.exp(log_softmax(part, axis=1).max(1)) for part in scaled] or [np.zeros(0)])


def calibration_of(logits: NDArray[Any], targets: NDArray[Any]) -> dict[str, Any]:
    """Bins and error as they are, the temperature, and the error that it leaves.

    What it leaves is measured on images that it was not fitted on: each half of them has the temperature of the other.
    """
    is_right = logits.argmax(1) == targets
    before = reliability(confidences(logits), is_right)
    halves = [np.arange(len(targets)) % 2 == part for part in (0, 1)]
    crossed = np.ones(len(targets))
    if len(targets) >= 2:
        for one, other in (halves, halves[::-1]):
            crossed[one] = fit_temperature(logits[other], targets[other])
    after = reliability(confidences(logits, crossed), is_right)
    return {
        "bins": before,
        "error": calibration_error(before),
        "temperature": fit_temperature(logits, targets),
        "bins_after": after,
        "error_after": calibration_error(after),
    }
