"""MixUp and CutMix: two pictures in one, with the loss of both in proportion.

The targets of a mixed batch are two sets of ordinary targets and a share. ``MixedLoss`` makes any loss take them, as
``share * loss(first) + (1 - share) * loss(second)``; for cross entropy that equals soft targets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

MIXES = ("none", "mixup", "cutmix", "both")


@dataclass
class MixedTargets:
    """Targets of a batch whose images are mixed of two.

    Attributes:
        first: Targets of the images as they came, ``(B, ...)``.
        second: Targets of the images mixed in, of the same shape.
        share: How much of ``first`` there is, 0 to 1.
    """

    first: Tensor
    second: Tensor
    share: float

    def __len__(self) -> int:
        return len(self.first)

    def __getitem__(self, part: slice) -> MixedTargets:
        return MixedTargets(self.first[part], self.second[part], self.share)

    def to(self, *args: Any, **kwargs: Any) -> MixedTargets:
        """As ``Tensor.to``."""
        return MixedTargets(self.first.to(*args, **kwargs), self.second.to(*args, **kwargs), self.share)

    def pin_memory(self) -> MixedTargets:
        """As ``Tensor.pin_memory``."""
        return MixedTargets(self.first.pin_memory(), self.second.pin_memory(), self.share)


class MixedLoss(nn.Module):
    """A loss that also takes ``MixedTargets``."""

    def __init__(self, loss_fn: nn.Module) -> None:
        super().__init__()
        self.loss_fn = loss_fn

    def forward(self, logits: Tensor, targets: Tensor | MixedTargets) -> Tensor:
        """Scalar; of mixed targets the mean of both losses by their share."""
        if not isinstance(targets, MixedTargets):
            return self.loss_fn(logits, targets)
        first, second = self.loss_fn(logits, targets.first), self.loss_fn(logits, targets.second)
        return targets.share * first + (1 - targets.share) * second


class Mixer:
    """Mixes each image of a batch with another one of it.

    Args:
        kind: ``mixup``, ``cutmix``, or ``both``: one of the two at random for each batch.
        alpha: Of the Beta distribution from which the share is drawn; 1 is uniform, less keeps one picture dominant.

    Source: Zhang et al. 2018, https://arxiv.org/abs/1710.09412 and Yun et al. 2019, https://arxiv.org/abs/1905.04899.
    """

    def __init__(self, kind: str, alpha: float) -> None:
        if kind not in MIXES[1:]:
            raise ValueError(f"mix {kind!r} is not one of {', '.join(MIXES[1:])}")
        self.kind, self.alpha = kind, alpha

    def __call__(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | MixedTargets]:
        """Mixed images ``(B, 3, H, W)`` and their targets; a batch of one is left as it is. Draws from torch's RNG."""
        if len(images) < 2:
            return images, targets
        kind = self.kind if self.kind != "both" else ("mixup", "cutmix")[int(torch.rand(()) < 0.5)]
        share = torch.distributions.Beta(self.alpha, self.alpha).sample().item()
        partner = torch.roll(torch.arange(len(images)), 1)  # as good as a permutation: the order is random already
        if kind == "mixup":
            images = torch.lerp(images[partner], images, share)
        else:
            images, share = _cut(images, images[partner], share)
        return images, MixedTargets(targets, targets[partner], share)


def _cut(images: Tensor, others: Tensor, share: float) -> tuple[Tensor, float]:
    """``images`` with a box of ``others`` pasted in, and the share of the area that is left of ``images``."""
    height, width = images.shape[-2:]
    box_height, box_width = (round(side * (1 - share) ** 0.5) for side in (height, width))
    down, right = torch.rand(2).tolist()
    top, left = round(down * (height - box_height)), round(right * (width - box_width))
    images = images.clone()
    window = (..., slice(top, top + box_height), slice(left, left + box_width))
    images[window] = others[window]
    return images, 1 - box_height * box_width / (height * width)
