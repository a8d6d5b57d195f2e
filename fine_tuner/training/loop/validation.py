"""What is measured: loss and metrics over a whole split, and the best value of the one that matters."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import MetricCollection

from fine_tuner.losses.parts import over_split
from fine_tuner.models.outputs import split_outputs
from fine_tuner.precision import Precision
from fine_tuner.training.loop.early_stopping import EarlyStopping
from fine_tuner.training.loop.micro_batches import MicroBatches


@dataclass
class BestTracker:
    """The best value so far of the metric that chooses the best checkpoint."""

    key: str = "val/accuracy"
    higher_is_better: bool = True
    value: float | None = None
    epoch: int | None = None

    def update(self, value: float | None, epoch: int) -> bool:
        """Take ``value`` if it is better; NaN and infinities never are."""
        if value is None or not math.isfinite(value):
            return False
        if self.value is None or (value > self.value if self.higher_is_better else value < self.value):
            self.value, self.epoch = value, epoch
            return True
        return False


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
) -> dict[str, float] | None:
    """Loss and metrics of all images at once, whatever the sizes of the batches.

    The model is left in evaluation mode. Auxiliary heads are silent in it, so they do not count. ``micro_batches`` may
    say that fewer images than a batch holds go through the network at once. ``on_batch`` sees float32 logits and their
    targets, on the device, as they are measured.

    Returns:
        ``loss`` and the keys of ``metrics``; None if ``should_stop`` became true on the way.
    """
    model.eval()
    device = precision.device
    metrics.to(device).reset()
    loss, images_seen = over_split(loss_fn), 0
    for images, targets in (micro_batches or MicroBatches()).of(batches, "evaluation"):
        if should_stop():
            return None
        images, targets = images.to(device, non_blocking=True), targets.to(device, non_blocking=True)
        with precision.autocast():
            logits, _ = split_outputs(model(images))
        logits = logits.float()
        loss.add(logits, targets)
        images_seen += len(targets)
        metrics.update(logits, targets)
        on_batch(logits, targets)
    if images_seen == 0:
        return {}
    computed = {key: float(value) for key, value in metrics.compute().items()}
    return {"loss": float(loss.value()), **computed}
