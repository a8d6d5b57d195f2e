"""Which pictures a view of the results shows, and in which order; what is said of each. Without torch.

==========  =========================  ========================================================================
``of``      with                       pictures
==========  =========================  ========================================================================
mistakes    classes                    wrong ones, the most confident first
unsure      classes                    right ones, the least confident first
cell        classes; ``true, said``    of one class taken for another, or for itself, the most confident first
missed      labels; ``label, at``      those that have the label and less than its threshold, the least first
false       labels; ``label, at``      those that have not, and reach the threshold, the most first
worst       all                        by loss, the greatest first
near        all; ``index``             by the distance of their features to those of one picture
these       all; ``indices``           as they were named
==========  =========================  ========================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fine_tuner.config.tasks import TargetKind
from fine_tuner.evaluation.predictions import Predictions

Of = Literal["mistakes", "unsure", "cell", "missed", "false", "worst", "near", "these"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """A view of pictures; see above.

    Attributes:
        at: Threshold, a probability.
    """

    of: Of
    true: int = 0
    said: int = 0
    label: int = 0
    at: float = 0.5
    index: int = 0
    indices: tuple[int, ...] = ()


def choose(found: Predictions, kind: TargetKind, wanted: Wanted) -> NDArray[np.int64]:
    """Indices of the pictures, in order; none for a view that this kind of target does not have."""
    count = len(found)
    match wanted.of:
        case "worst":
            return np.argsort(-np.nan_to_num(found["loss"], nan=np.inf), kind="stable")
        case "near":
            return _nearest(found, wanted.index) if wanted.index < count else np.zeros(0, np.int64)
        case "these":
            return np.array([index for index in wanted.indices if 0 <= index < count], np.int64)
        case "mistakes" | "unsure" | "cell" if kind is TargetKind.CLASS:
            return _of_classes(found, wanted)
        case "missed" | "false" if kind is TargetKind.LABELS and 0 <= wanted.label < found.width("logits"):
            probs = _sigmoid(found.column("logits", wanted.label))
            has = found.column("targets", wanted.label).astype(bool)
            if wanted.of == "missed":
                return _sorted(has & (probs < wanted.at), probs)
            return _sorted(~has & (probs >= wanted.at), -probs)
    return np.zeros(0, np.int64)


def _sigmoid(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Probabilities in float64; scipy's would take a third of a second of the app's start."""
    return (1 + np.tanh(np.asarray(logits, np.float64) / 2)) / 2


def _of_classes(found: Predictions, wanted: Wanted) -> NDArray[np.int64]:
    targets, said, confidence = found["targets"], found["predictions"], found["confidence"]
    if wanted.of == "mistakes":
        return _sorted(targets != said, -confidence)
    if wanted.of == "unsure":
        return _sorted(targets == said, confidence)
    return _sorted((targets == wanted.true) & (said == wanted.said), -confidence)


def _sorted(chosen: NDArray[np.bool_], key: NDArray[Any]) -> NDArray[np.int64]:
    indices = np.flatnonzero(chosen)
    return indices[np.argsort(key[indices], kind="stable")]


def _nearest(found: Predictions, index: int) -> NDArray[np.int64]:
    """All pictures by the cosine of the angle between their features and those of ``index``, which comes first."""
    features = found["features"].astype(np.float32)
    if not features.shape[1]:
        return np.zeros(0, np.int64)
    lengths = np.maximum(np.linalg.norm(features, axis=1), 1e-12)
    cosines = features @ features[index] / lengths / lengths[index]
    cosines[index] = np.inf
    return np.argsort(-cosines, kind="stable")


def rows_of(found: Predictions, kind: TargetKind, names: Sequence[str], indices: Sequence[int]) -> list[dict[str, Any]]:
    """What is said below each picture; JSON values.

    Each has ``index``, ``file`` and ``loss``; a class also ``true``, ``said`` and ``confidence``; labels ``true`` and
    ``probabilities`` of those that are true or reach one half; numbers ``true`` and ``said`` by name; masks ``iou`` by
    name, of the classes that are there or predicted.
    """
    return [
        {"index": i, "file": found.name(i), "loss": float(found["loss"][i]), **_said(found, kind, names, i)}
        for i in indices
    ]


def _said(found: Predictions, kind: TargetKind, names: Sequence[str], index: int) -> dict[str, Any]:
    if kind is TargetKind.CLASS:
        return {
            "true": names[found["targets"][index]],
            "said": names[found["predictions"][index]],
            "confidence": float(found["confidence"][index]),
        }
    if kind is TargetKind.MASK:
        hits, true, said = (found[name][index] for name in ("hits", "true_pixels", "said_pixels"))
        union = true + said - hits
        return {"iou": {names[k]: float(hits[k] / union[k]) for k in np.flatnonzero(union)}}
    logits, targets = found.row("logits", index), found.row("targets", index)
    if kind is TargetKind.NUMBERS:
        pairs = {"true": targets, "said": logits}
        return {key: dict(zip(names, map(float, values), strict=True)) for key, values in pairs.items()}
    shown = np.flatnonzero((targets > 0) | (logits >= 0))
    return {
        "true": [names[k] for k in np.flatnonzero(targets)],
        "probabilities": {names[k]: float(_sigmoid(logits[k])) for k in shown},
    }
