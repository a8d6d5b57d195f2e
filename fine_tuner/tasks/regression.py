"""One or several numbers per image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from fine_tuner.config import tasks
from fine_tuner.metrics import regression_metrics
from fine_tuner.tasks.base import Task


def describe(outputs: Tensor, names: Sequence[str]) -> dict[str, Any]:
    """The predicted numbers by name; ``outputs`` ``(1, D)``."""
    return {"numbers": dict(zip(names, outputs.float()[0].tolist(), strict=True))}


TASK = Task(
    spec=tasks.REGRESSION,
    build_metrics=regression_metrics,
    names_numbers=True,
    describe=describe,
)
