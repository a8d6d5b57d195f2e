"""One class per image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from fine_tuner.config import tasks
from fine_tuner.metrics import classification_metrics
from fine_tuner.tasks.base import Task


def describe(logits: Tensor, names: Sequence[str]) -> dict[str, Any]:
    """Probability of each class, most probable first; ``logits`` ``(1, K)``."""
    probs = logits.float().softmax(1)[0].tolist()
    ranked = sorted(zip(names, probs, strict=True), key=lambda pair: -pair[1])
    return {"label": ranked[0][0], "probabilities": dict(ranked)}


TASK = Task(
    spec=tasks.CLASSIFICATION,
    build_metrics=classification_metrics,
    describe=describe,
)
