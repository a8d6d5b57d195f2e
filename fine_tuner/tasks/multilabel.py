"""Any number of labels per image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from fine_tuner.config import tasks
from fine_tuner.metrics import multilabel_metrics
from fine_tuner.tasks.base import Task


def describe(logits: Tensor, names: Sequence[str]) -> dict[str, Any]:
    """Probability of each label, most probable first, and those of at least one half; ``logits`` ``(1, K)``."""
    probs = logits.float().sigmoid()[0].tolist()
    ranked = dict(sorted(zip(names, probs, strict=True), key=lambda pair: -pair[1]))
    return {"labels": [name for name, p in ranked.items() if p >= 0.5], "probabilities": ranked}


TASK = Task(
    spec=tasks.MULTILABEL,
    build_metrics=multilabel_metrics,
    describe=describe,
)
