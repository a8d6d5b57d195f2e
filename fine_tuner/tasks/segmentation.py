"""One class per pixel."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from fine_tuner.config import tasks
from fine_tuner.data.mask_coding import IGNORE_INDEX
from fine_tuner.metrics import segmentation_metrics
from fine_tuner.tasks.base import Task


def describe(logits: Tensor, names: Sequence[str]) -> dict[str, Any]:
    """Share of the picture that each class covers, largest first; ``logits`` ``(1, K, H, W)``."""
    counts = torch.bincount(logits[0].argmax(0).flatten(), minlength=len(names)).double()
    shares = (counts / counts.sum()).tolist()
    ranked = dict(sorted(zip(names, shares, strict=True), key=lambda pair: -pair[1]))
    return {"shares": ranked}


TASK = Task(
    spec=tasks.SEGMENTATION,
    build_metrics=partial(segmentation_metrics, ignore_index=IGNORE_INDEX),
    describe=describe,
)
