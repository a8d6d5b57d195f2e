"""Raw lines of a log as arrays, many at once."""

from __future__ import annotations

from typing import Any

import numpy as np


def signature(raw: Any) -> tuple[str, Any, tuple[str, ...] | None]:
    """What neighbouring events must share to be taken at once; keys None: one at a time."""
    if isinstance(raw, dict) and raw.get("kind") in ("train_metrics", "eval_metrics"):
        metrics = raw.get("metrics")
        if isinstance(metrics, dict):
            return raw["kind"], raw.get("attempt"), tuple(metrics)
    return "", None, None


def integers(values: list[Any]) -> np.ndarray:
    """int64; raises ValueError, TypeError or OverflowError for what is none."""
    return _flat(np.array(values, dtype=np.int64))


def floats(values: list[Any]) -> np.ndarray:
    """float64, with "NaN", "Infinity" and "-Infinity" as what they mean."""
    return _flat(np.array(values, dtype=np.float64))


def _flat(values: np.ndarray) -> np.ndarray:
    if values.ndim != 1:
        raise ValueError("a list where a number belongs")
    return values
