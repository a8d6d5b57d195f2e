"""Raw lines of a log as arrays, many at once."""

from __future__ import annotations

from typing import Any

import numpy as np

KINDS = ("train_metrics", "eval_metrics")  # events that are rows of numbers


def signature(raw: Any) -> tuple[str, Any]:
    """What neighbouring events must share to be taken at once; "": one at a time."""
    if isinstance(raw, dict) and raw.get("kind") in KINDS and isinstance(raw.get("metrics"), dict):
        return raw["kind"], raw.get("attempt")
    return "", None


def columns_of(metrics: list[dict[str, Any]]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Key to the places in ``metrics`` that have it, and the values there; keys in the order in which they appear.

    Raises:
        ValueError, TypeError: If a value is no number.
    """
    shapes = dict.fromkeys(map(tuple, metrics))
    everywhere = np.arange(len(metrics))
    columns = {}
    for key in dict.fromkeys(key for shape in shapes for key in shape):
        if all(key in shape for shape in shapes):
            columns[key] = everywhere, floats([one[key] for one in metrics])
        else:
            places = [i for i, one in enumerate(metrics) if key in one]
            columns[key] = np.array(places), floats([metrics[i][key] for i in places])
    return columns


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
