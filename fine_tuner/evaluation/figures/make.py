"""The figures of an evaluation by the kind of its targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fine_tuner.config.tasks import TargetKind
from fine_tuner.evaluation.figures.classes import class_figures
from fine_tuner.evaluation.figures.labels import label_figures
from fine_tuner.evaluation.figures.masks import mask_figures
from fine_tuner.evaluation.figures.numbers import number_figures
from fine_tuner.evaluation.predictions import LOSS_NAMES, Predictions


def make_figures(found: Predictions, kind: TargetKind, names: Sequence[str]) -> dict[str, Any]:
    """JSON values.

    Args:
        found: What the network said.
        kind: What an image is labelled with.
        names: Of the outputs.
    """
    match kind:
        case TargetKind.CLASS:
            figures = class_figures(found["logits"], found["targets"], names)
        case TargetKind.LABELS:
            figures = label_figures(found["logits"], found["targets"], names)
        case TargetKind.NUMBERS:
            figures = number_figures(found["logits"], found["targets"], names)
        case TargetKind.MASK:
            figures = mask_figures(found["hits"], found["true_pixels"], found["said_pixels"], names)
    return {"target": kind.value, "images": len(found), "loss": LOSS_NAMES[kind], "names": list(names)} | figures
