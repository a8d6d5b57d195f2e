"""The torchmetrics objects that compute the metrics of each task; ``config/metric_specs.py`` says how they are read.

Each is computed over a whole split, never averaged over batches, and is correct across ranks. Where torchmetrics' own
sums lose digits, the numbers themselves are kept until the end of the split: two passes in float64 over them give what
scikit-learn gives, whatever the offset and unit. Of masks ``evaluation/figures/masks.py`` computes the same again from
the counts kept of each image, so that a selection of images has them too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassConfusionMatrix,
    MulticlassF1Score,
)
from torchmetrics.utilities import dim_zero_cat

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
    """Mean average precision and macro F1 of ``logits`` ``(B, K)`` against ``targets`` ``(B, K)`` of 0 and 1.

    A label that no image of the split has is left out of both means; without any label they are NaN.
    """
    return MetricCollection({"labels": _Labels(num_labels)})


def regression_metrics(num_outputs: int, names: Sequence[str] = ()) -> MetricCollection:
    """MAE, RMSE and R² of outputs ``(B, D)`` against targets ``(B, D)``: of each number, then the mean over the D.

    With ``names`` of the numbers also MAE and RMSE of each, such as ``mae/age``, in its own unit.
    """
    return MetricCollection({"numbers": _Numbers(num_outputs, names)})


def segmentation_metrics(num_classes: int, *, ignore_index: int) -> MetricCollection:
    """Mean IoU, mean Dice and pixel accuracy of ``logits`` ``(B, K, H, W)`` against ``targets`` ``(B, H, W)``.

    A class that is neither in the targets nor predicted is left out of the means; pixels of ``ignore_index`` as well.
    """
    return MetricCollection({"overlap": _Overlap(num_classes, ignore_index)})


def overlap_of_each(said: Tensor, targets: Tensor, *, num_classes: int, ignore_index: int) -> dict[str, Tensor]:
    """Pixels by class of predicted and true masks ``(B, H, W)``; those of ``ignore_index`` count nowhere.

    Returns:
        On the CPU, of each image: ``loss`` ``(B,)`` float32, 1 - mean IoU over the classes that are there or predicted;
        ``hits``, ``true_pixels`` and ``said_pixels`` ``(B, K)`` int64.
    """
    pairs = zip(said, targets, strict=True)
    counts = torch.stack([_confusion(one, true, num_classes, ignore_index) for one, true in pairs])
    hits, true_pixels, said_pixels = counts.diagonal(dim1=1, dim2=2), counts.sum(2), counts.sum(1)
    union = true_pixels + said_pixels - hits
    there = union > 0
    iou = torch.where(there, hits / union.clamp(min=1), 0.0).sum(1) / there.sum(1).clamp(min=1)
    return {"loss": (1 - iou).float(), "hits": hits, "true_pixels": true_pixels, "said_pixels": said_pixels}


def _confusion(said: Tensor, true: Tensor, num_classes: int, ignore_index: int) -> Tensor:
    """``(K, K)`` int64 on the CPU, rows are true; (a GPU's bincount waits for each picture anyway)."""
    counts = true != ignore_index
    pairs = (true[counts] * num_classes + said[counts]).cpu()
    return torch.bincount(pairs, minlength=num_classes**2).view(num_classes, num_classes)


class _Kept(Metric):
    """Keeps what the network said, and what is true, until the end of the split: ``(B, D)`` each."""

    full_state_update = False
    outputs: list[Tensor]
    targets: list[Tensor]

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.add_state("outputs", default=[], dist_reduce_fx="cat")
        self.add_state("targets", default=[], dist_reduce_fx="cat")

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        self.outputs.append(outputs.detach())
        self.targets.append(targets)

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """See torchmetrics, which gathers from every rank; one that had no image has nothing of the right width."""
        if isinstance(self.outputs, list) and not self.outputs:
            for state in (self.outputs, self.targets):
                state.append(torch.zeros(0, self.width, device=self.device))
        super().sync(*args, **kwargs)

    def kept(self) -> tuple[Tensor, Tensor]:
        """All outputs and targets, ``(N, D)`` float64 on the CPU (not every device has float64)."""
        if not isinstance(self.outputs, Tensor) and not self.outputs:
            return torch.zeros(0, self.width, dtype=torch.float64), torch.zeros(0, self.width, dtype=torch.float64)
        return dim_zero_cat(self.outputs).cpu().double(), dim_zero_cat(self.targets).cpu().double()


class _Labels(_Kept):
    """Mean average precision and F1 over the labels that some image has."""

    def compute(self) -> dict[str, Tensor]:
        logits, targets = self.kept()
        truth, predicted = targets >= 0.5, logits >= 0  # sigmoid(0) = 1/2
        is_there = truth.any(0)
        precision = [_average_precision(logits[:, k], truth[:, k]) for k in is_there.nonzero().flatten()]
        hits, both = (truth & predicted).sum(0), truth.sum(0) + predicted.sum(0)
        return {
            MAP.key: torch.stack(precision).mean() if precision else torch.tensor(math.nan),
            MACRO_F1.key: (2 * hits / both)[is_there].mean(),
        }


def _average_precision(scores: Tensor, truth: Tensor) -> Tensor:
    """``sum (R_n - R_{n-1}) P_n`` over the thresholds of ``scores`` ``(N,)``, of which ``truth`` says who is positive.

    Logits are ranked, not probabilities: a sigmoid in float32 is 1 from 17 on, so that what differs there is a tie.
    Scores that are equal are one threshold. Source: scikit-learn's ``average_precision_score``.
    """
    ordered, order = scores.sort(descending=True)
    hits = truth[order].cumsum(0)
    last = torch.unique_consecutive(ordered, return_counts=True)[1].cumsum(0) - 1  # of each run of equal scores
    hits = hits[last].double()
    return (hits.diff(prepend=hits.new_zeros(1)) * hits / (last + 1)).sum() / truth.sum()


class _Numbers(_Kept):
    """MAE, RMSE and R², each the mean over the numbers.

    Source: scikit-learn's ``mean_absolute_error``, ``root_mean_squared_error`` and ``r2_score``, also for a number that
    is the same in all images: its R² is 1 where all errors are 0, else 0. R² is NaN for fewer than two images.
    """

    def __init__(self, width: int, names: Sequence[str]) -> None:
        super().__init__(width)
        self.names = tuple(names)

    def compute(self) -> dict[str, Tensor]:
        outputs, targets = self.kept()
        error = outputs - targets
        residual, total = error.square().sum(0), (targets - targets.mean(0)).square().sum(0)
        explained = torch.where(total > 0, 1 - residual / total, (residual == 0).double())
        of_each = {MAE.key: error.abs().mean(0), RMSE.key: error.square().mean(0).sqrt()}
        return {
            **{key: values.mean() for key, values in of_each.items()},
            R2.key: explained.mean() if len(targets) >= 2 else torch.tensor(math.nan),
            **{f"{key}/{name}": values[i] for key, values in of_each.items() for i, name in enumerate(self.names)},
        }


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
