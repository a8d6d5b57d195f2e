"""MixUp and CutMix: two pictures in one, with the loss of both in proportion.

torchvision mixes the pictures. Its soft targets are not used: only cross entropy takes those, while a mixed batch here
has two sets of ordinary targets and ``lam``, and any loss, also a user's own, takes them as ``lam * loss(first) + (1 -
lam) * loss(second)`` (``tasks/mixed.py``). For cross entropy that equals soft targets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms import v2

MIXES = ("none", "mixup", "cutmix", "both")


@dataclass
class MixedTargets:
    """Targets of a batch whose images are mixed of two.

    Attributes:
        first: Targets of the images as they came, ``(B, ...)``.
        second: Targets of the images mixed in, of the same shape.
        lam: How much of ``first`` there is, 0 to 1.
    """

    first: Tensor
    second: Tensor
    lam: float

    def __len__(self) -> int:
        return len(self.first)

    def __getitem__(self, part: slice) -> MixedTargets:
        return MixedTargets(self.first[part], self.second[part], self.lam)

    def to(self, *args: Any, **kwargs: Any) -> MixedTargets:
        """As ``Tensor.to``."""
        return MixedTargets(self.first.to(*args, **kwargs), self.second.to(*args, **kwargs), self.lam)

    def pin_memory(self) -> MixedTargets:
        """As ``Tensor.pin_memory``."""
        return MixedTargets(self.first.pin_memory(), self.second.pin_memory(), self.lam)


class Mixer:
    """Mixes each image of a batch with another one of it.

    Args:
        kind: ``mixup``, ``cutmix``, or ``both``: one of the two at random for each batch.
        alpha: Of the Beta distribution from which ``lam`` is drawn; 1 is uniform, less keeps one picture dominant.

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
        mix = (v2.MixUp if kind == "mixup" else v2.CutMix)(alpha=self.alpha)
        params = {"labels": targets, "batch_size": len(images), **mix.make_params([images])}
        lam = params["lam" if kind == "mixup" else "lam_adjusted"]  # CutMix cuts its box off at the picture's edges
        # Each image with the one before it: as good as a permutation, for the order is random already.
        return mix.transform(images, params), MixedTargets(targets, targets.roll(1, 0), lam)
