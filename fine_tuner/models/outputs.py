"""What a network returns, told apart, and its loss: logits, and the logits of auxiliary heads with their weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor
from torchvision.models import GoogLeNetOutputs, InceptionOutputs

# Source: torchvision references/segmentation/train.py (0.5 * aux), Szegedy et al. 2015, section 5,
# https://arxiv.org/abs/1409.4842 (0.3 each), PyTorch's fine-tuning tutorial for inception_v3 (0.4).
SEGMENTATION_AUX_WEIGHT = 0.5
GOOGLENET_AUX_WEIGHT = 0.3
INCEPTION_AUX_WEIGHT = 0.4


def split_outputs(output: Any) -> tuple[Tensor, list[tuple[float, Tensor]]]:
    """Logits of a network's output, and ``(weight, logits)`` of each auxiliary head.

    Args:
        output: A tensor ``(B, K)`` or ``(B, K, H, W)``; googlenet's or inception_v3's named tuple (training mode); or
            the dictionary of a segmentation network, with ``out`` and perhaps ``aux``.

    Returns:
        The logits and a list that is empty where there is no auxiliary head.

    Raises:
        TypeError: If the output is none of these.
    """
    if isinstance(output, Tensor):
        return output, []
    if isinstance(output, Mapping):
        auxiliary = output.get("aux")
        return output["out"], [] if auxiliary is None else [(SEGMENTATION_AUX_WEIGHT, auxiliary)]
    if isinstance(output, GoogLeNetOutputs):
        heads = (output.aux_logits1, output.aux_logits2)
        return output.logits, [(GOOGLENET_AUX_WEIGHT, h) for h in heads if h is not None]
    if isinstance(output, InceptionOutputs):
        head = output.aux_logits
        return output.logits, [] if head is None else [(INCEPTION_AUX_WEIGHT, head)]
    raise TypeError(
        f"The network returned {type(output).__name__}; expected a tensor, a dictionary with 'out', or the named tuple "
        "of googlenet or inception_v3. Choose a classification or segmentation network of torchvision."
    )


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
