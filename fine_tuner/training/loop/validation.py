"""What is measured: loss and metrics over a whole split, and the best value of the one that matters."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

from fine_tuner.distributed.ranks import Ranks
from fine_tuner.losses.parts import over_split
from fine_tuner.models.outputs import split_outputs
from fine_tuner.precision import Precision
from fine_tuner.training.loop.early_stopping import EarlyStopping
from fine_tuner.training.loop.micro_batches import MicroBatches


@dataclass
class BestTracker:
    """The best value so far of the metric that chooses the best checkpoint.

    Weights with a finite validation loss come before all others: of answers that are NaN some metrics, such as
    accuracy, are a number all the same.
    """

    key: str = "val/accuracy"
    higher_is_better: bool = True
    value: float | None = None
    epoch: int | None = None
    has_finite_loss: bool = True

    def update(self, value: float | None, epoch: int, *, has_finite_loss: bool = True) -> bool:
        """Take ``value`` if it is better; NaN and infinities never are."""
        if value is None or not math.isfinite(value):
            return False
        if self.value is not None:
            if has_finite_loss < self.has_finite_loss:
                return False
            is_better = value > self.value if self.higher_is_better else value < self.value
            if has_finite_loss == self.has_finite_loss and not is_better:
                return False
        self.value, self.epoch, self.has_finite_loss = value, epoch, has_finite_loss
        return True


@dataclass(kw_only=True)
class Validation:
    """What is measured after each epoch.

    Attributes:
        evaluate: Metrics of the validation split with the present weights, keys without the split, or None if the user
            wants to stop before it is through. No function: there is no such split.
        best: Of the metric that chooses the best checkpoint.
        early_stopping: Ends the run when it has not been better for long.
    """

    evaluate: Callable[[], Mapping[str, float] | None] | None = None
    best: BestTracker = field(default_factory=BestTracker)
    early_stopping: EarlyStopping = field(default_factory=EarlyStopping)

    def state_dict(self) -> dict[str, Any]:
        """State to resume from."""
        return {"best": asdict(self.best), "early_stopping": self.early_stopping.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of ``state_dict``."""
        self.best = BestTracker(**state["best"])
        self.early_stopping.load_state_dict(state["early_stopping"])


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    metrics: MetricCollection,
    precision: Precision,
    micro_batches: MicroBatches | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    on_batch: Callable[[Tensor, Tensor], object] = lambda logits, targets: None,
    ranks: Ranks | None = None,
) -> dict[str, float] | None:
    """Loss and metrics of all images at once, whatever the sizes of the batches.

    The model is left in evaluation mode. Auxiliary heads are silent in it, so they do not count. ``micro_batches`` may
    say that fewer images than a batch holds go through the network at once. ``on_batch`` sees float32 logits and their
    targets, on the device, as they are measured. Of several ranks each has ``batches`` of its own, and the numbers are
    those of all; ``should_stop`` is asked equally often on all.

    Returns:
        ``loss`` and the keys of ``metrics``; None if ``should_stop`` became true on the way.
    """
    model.eval()
    ranks, micro_batches, device = ranks or Ranks(), micro_batches or MicroBatches(), precision.device
    metrics.to(device).reset()
    for metric in metrics.modules():  # some hold others
        if isinstance(metric, Metric):
            metric.distributed_available_fn = lambda: ranks.world_size > 1  # one rank alone may measure, too
    loss, images_seen = over_split(loss_fn), 0
    stream = iter(batches)

    def take_batch() -> bool:
        """Take the next batch of this rank, if it has one."""
        nonlocal images_seen
        batch = next(stream, None)
        for images, targets in micro_batches.of([batch] if batch else [], "evaluation"):
            images, targets = images.to(device, non_blocking=True), targets.to(device, non_blocking=True)
            with precision.autocast():
                logits, _ = split_outputs(model(images))
            logits = logits.float()
            loss.add(logits, targets)
            images_seen += len(targets)
            metrics.update(logits, targets)
            on_batch(logits, targets)
        return batch is not None

    for _ in _rounds(batches, ranks):
        if should_stop():
            return None
        if not ranks.together(take_batch) and ranks.world_size == 1:
            break
    if ranks.world_size > 1:
        loss.join(ranks.collect)
    if ranks.most(images_seen) == 0:
        return {}
    computed = {key: float(value) for key, value in metrics.compute().items()}
    return {"loss": float(loss.value()), **computed}


def _rounds(batches: Any, ranks: Ranks) -> Iterator[int]:
    """As many as the rank with the most batches has; endless for one alone, which ends with its last."""
    return iter(range(ranks.most(len(batches)))) if ranks.world_size > 1 else count()
