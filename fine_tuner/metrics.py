"""The torchmetrics objects that compute the metrics of each task; ``config/metric_specs.py`` says how they are read.

Each is computed over a whole split, never averaged over batches, and is correct across ranks.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassConfusionMatrix,
    MulticlassF1Score,
    MultilabelAveragePrecision,
    MultilabelF1Score,
)
from torchmetrics.regression import MeanAbsoluteError, MeanSquaredError, R2Score

from fine_tuner.config.metric_specs import (
    ACCURACY,
    DICE,
    MACRO_F1,
    MAE,
    MAP,
    MEAN_IOU,
    PIXEL_ACCURACY,
    R2,
    RMSE,
    TOP5,
)


def classification_metrics(num_classes: int) -> MetricCollection:
    """Accuracy, macro F1 and, above five classes, top-5 of ``logits`` ``(B, K)`` against ``targets`` ``(B,)``."""
    metrics: dict[str, Metric] = {
        ACCURACY.key: MulticlassAccuracy(num_classes, average="micro", validate_args=False),
        MACRO_F1.key: MulticlassF1Score(num_classes, average="macro", validate_args=False),
    }
    if num_classes >= TOP5.min_outputs:
        metrics[TOP5.key] = MulticlassAccuracy(num_classes, top_k=5, average="micro", validate_args=False)
    return MetricCollection(metrics, compute_groups=False)


def multilabel_metrics(num_labels: int) -> MetricCollection:
    """Mean average precision and macro F1 of ``logits`` ``(B, K)`` against ``targets`` ``(B, K)`` of 0 and 1."""
    return MetricCollection(
        {
            MAP.key: _Labels(MultilabelAveragePrecision(num_labels, average="macro", validate_args=False)),
            MACRO_F1.key: _Labels(MultilabelF1Score(num_labels, average="macro", validate_args=False)),
        },
        compute_groups=False,
    )


def regression_metrics(num_outputs: int) -> MetricCollection:
    """MAE, RMSE and R² of outputs ``(B, D)`` against targets ``(B, D)``, averaged over the D numbers."""
    return MetricCollection(
        {
            MAE.key: MeanAbsoluteError(),
            RMSE.key: MeanSquaredError(squared=False),
            R2.key: _R2(),
        },
        compute_groups=False,
    )


def segmentation_metrics(num_classes: int, *, ignore_index: int) -> MetricCollection:
    """Mean IoU, mean Dice and pixel accuracy of ``logits`` ``(B, K, H, W)`` against ``targets`` ``(B, H, W)``.

    A class that is neither in the targets nor predicted is left out of the means; pixels of ``ignore_index`` as well.
    """
    return MetricCollection({"overlap": _Overlap(num_classes, ignore_index)})


class _Labels(Metric):
    """Feeds a multi-label metric with probabilities and integer targets, as it demands."""

    full_state_update = False

    def __init__(self, metric: Metric) -> None:
        super().__init__()
        self.metric = metric

    def update(self, logits: Tensor, targets: Tensor) -> None:
        self.metric.update(logits.sigmoid(), targets.long())

    def compute(self) -> Tensor:
        return self.metric.compute()

    def reset(self) -> None:
        super().reset()
        self.metric.reset()


class _R2(R2Score):
    """R² that is NaN, not an error, for fewer than two images."""

    def compute(self) -> Tensor:
        return super().compute() if self.total >= 2 else torch.tensor(float("nan"))


class _Overlap(Metric):
    """IoU, Dice and pixel accuracy from one confusion matrix over all pixels."""

    full_state_update = False

    def __init__(self, num_classes: int, ignore_index: int) -> None:
        super().__init__()
        self.matrix = MulticlassConfusionMatrix(num_classes, ignore_index=ignore_index, validate_args=False)

    def update(self, logits: Tensor, targets: Tensor) -> None:
        self.matrix.update(logits.argmax(1), targets)

    def compute(self) -> dict[str, Tensor]:
        counts = self.matrix.compute().double()  # (K, K), rows are targets
        hits, targets, predictions = counts.diagonal(), counts.sum(1), counts.sum(0)
        present = (targets + predictions) > 0
        union = targets + predictions - hits
        return {
            MEAN_IOU.key: (hits / union)[present].mean(),
            DICE.key: (2 * hits / (targets + predictions))[present].mean(),
            PIXEL_ACCURACY.key: hits.sum() / counts.sum(),
        }

    def reset(self) -> None:
        super().reset()
        self.matrix.reset()
