"""The loss of images that are mixed of two; see ``data/loading/mixing.py``."""

from __future__ import annotations

import torch
from torch import Tensor

from fine_tuner.data.loading.mixing import MixedTargets
from fine_tuner.losses.parts import Loss, LossFn, SplitLoss, counts_of, is_exact, means_of, over_split


class MixedLoss(Loss):
    """A loss that also takes ``MixedTargets``.

    Args:
        loss_fn: Of ordinary targets.
    """

    def __init__(self, loss_fn: LossFn) -> None:
        super().__init__()
        self.loss_fn = loss_fn

    def forward(self, logits: Tensor, targets: Tensor | MixedTargets) -> Tensor:
        """Scalar; of mixed targets the mean of both losses, weighted by ``lam``."""
        if not isinstance(targets, MixedTargets):
            return self.loss_fn(logits, targets)
        first, second = self.loss_fn(logits, targets.first), self.loss_fn(logits, targets.second)
        return targets.lam * first + (1 - targets.lam) * second

    def means(self, logits: Tensor, targets: Tensor | MixedTargets) -> Tensor:
        """See ``Loss``: those of the first targets, then those of the second. What is not mixed is half and half."""
        if not isinstance(targets, MixedTargets):
            half = 0.5 * means_of(self.loss_fn, logits, targets)
            return torch.cat([half, half])
        first, second = means_of(self.loss_fn, logits, targets.first), means_of(self.loss_fn, logits, targets.second)
        return torch.cat([targets.lam * first, (1 - targets.lam) * second])

    def counts(self, targets: Tensor | MixedTargets) -> Tensor:
        """See ``Loss``."""
        both = (targets.first, targets.second) if isinstance(targets, MixedTargets) else (targets, targets)
        return torch.cat([counts_of(self.loss_fn, one) for one in both])

    @property
    def is_exact(self) -> bool:
        """Whether the loss of ordinary targets is."""
        return is_exact(self.loss_fn)

    def over_split(self) -> SplitLoss:
        """See ``Loss``; nothing is mixed there."""
        return over_split(self.loss_fn)
