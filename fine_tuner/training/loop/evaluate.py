"""Loss and metrics over a whole split."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torchmetrics import MetricCollection

from fine_tuner.models.outputs import split_outputs
from fine_tuner.precision import Precision
from fine_tuner.training.loop.micro_batches import Portions


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    metrics: MetricCollection,
    precision: Precision,
    portions: Portions | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, float] | None:
    """Mean loss over the images, and the metrics over all of them at once; batches may be of different sizes.

    The model is left in evaluation mode. Auxiliary heads are silent in it, so they do not count. ``portions`` may say
    that fewer images than a batch holds go through the network at once.

    Returns:
        ``loss`` and the keys of ``metrics``; None if ``should_stop`` became true on the way.
    """
    model.eval()
    device = precision.device
    metrics.to(device).reset()
    loss_sum, images_seen = torch.zeros((), dtype=torch.float64, device=device), 0
    for images, targets in (portions or Portions()).of(batches, "evaluation"):
        if should_stop():
            return None
        images, targets = images.to(device, non_blocking=True), targets.to(device, non_blocking=True)
        with precision.autocast():
            logits, _ = split_outputs(model(images))
        logits = logits.float()
        loss_sum += loss_fn(logits, targets).double() * len(targets)
        images_seen += len(targets)
        metrics.update(logits, targets)
    if images_seen == 0:
        return {}
    computed = {key: float(value) for key, value in metrics.compute().items()}
    return {"loss": float(loss_sum) / images_seen, **computed}
