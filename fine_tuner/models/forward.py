"""From a network's output to the loss of a micro-batch, auxiliary heads included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from fine_tuner.models.outputs import split_outputs


def loss_of_outputs(output: Any, targets: Tensor, loss_fn: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Loss of the logits, plus the weighted loss of each auxiliary head; a scalar.

    Args:
        output: What the network returned.
        targets: As the loss wants them.
        loss_fn: ``(logits, targets) -> scalar``.
    """
    logits, auxiliary = split_outputs(output)
    loss = loss_fn(logits, targets)
    for weight, aux_logits in auxiliary:
        loss = loss + weight * loss_fn(aux_logits, targets)
    return loss
