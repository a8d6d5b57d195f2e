"""One class per image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from fine_tuner.config.metric_specs import ACCURACY, MACRO_F1, TOP5
from fine_tuner.metrics import classification_metrics
from fine_tuner.tasks.base import TaskSpec


def describe(logits: Tensor, names: Sequence[str]) -> dict[str, Any]:
    """Probability of each class, most probable first; ``logits`` ``(1, K)``."""
    probs = logits.float().softmax(1)[0].tolist()
    ranked = sorted(zip(names, probs, strict=True), key=lambda pair: -pair[1])
    return {"label": ranked[0][0], "probabilities": dict(ranked)}


CLASSIFICATION = TaskSpec(
    name="classification",
    metrics=(ACCURACY, MACRO_F1, TOP5),
    build_metrics=classification_metrics,
    describe=describe,
)
