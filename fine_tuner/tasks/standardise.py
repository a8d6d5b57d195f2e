"""Regression on raw numbers: the network speaks in their own units, the loss in standard deviations.

=================  =====================================================================
network's output   the numbers' own units (``models/rescaling.py``); so are predictions and metrics
a loss of ours     of ``(output - mean) / sd`` against ``(target - mean) / sd``; each number counts alike, and MSE
                   is the share of the variance that is left: 1 for always saying the mean, ``1 - R2`` in general
a loss of yours    of the numbers in their own units, as its author expects
=================  =====================================================================

Mean and standard deviation are those of the training images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from fine_tuner.base.text import some
from fine_tuner.config.settings import Settings
from fine_tuner.data.records import DataSplits
from fine_tuner.losses.parts import Loss, LossFn, counts_of, means_of
from fine_tuner.losses.verdicts import custom_losses
from fine_tuner.models.build import BuiltModel
from fine_tuner.models.rescaling import is_rescaled, rescale_outputs


class StandardisedLoss(Loss):
    """A loss of numbers ``(B, D)`` that are first brought to mean 0 and standard deviation 1."""

    mean: Tensor
    scale: Tensor

    def __init__(self, loss_fn: LossFn, mean: Sequence[float], sd: Sequence[float]) -> None:
        super().__init__()
        self.loss_fn = loss_fn
        self.register_buffer("mean", torch.tensor([*mean]))
        self.register_buffer("scale", torch.tensor([value or 1.0 for value in sd]))

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Scalar."""
        return self.loss_fn(self._standardised(outputs), self._standardised(targets))

    def _standardised(self, numbers: Tensor) -> Tensor:
        return (numbers - self.mean) / self.scale

    def means(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """See ``Loss``."""
        return means_of(self.loss_fn, self._standardised(outputs), self._standardised(targets))

    def counts(self, targets: Tensor) -> Tensor:
        """See ``Loss``."""
        return counts_of(self.loss_fn, targets)


def in_own_units(built: BuiltModel, data: DataSplits, *, is_standardised: bool = True) -> BuiltModel:
    """The network with outputs scaled to the training data's numbers, unless its weights say how they are scaled.

    Args:
        built: Changed in place.
        data: As read; nothing happens unless it is for regression.
        is_standardised: Whether the loss is ``StandardisedLoss``, which a notice then says.
    """
    statistics = data.target_mean_and_sd()
    if statistics is None:
        return built
    if not is_rescaled(built.model):
        mean, sd = zip(*statistics, strict=True)
        rescale_outputs(built.model, built.head, mean, sd)
    if not is_standardised:
        return built
    spreads = [
        f"{n} {m:.4g} \N{PLUS-MINUS SIGN} {s:.4g}" for n, (m, s) in zip(data.target_names, statistics, strict=True)
    ]
    notice = (
        f"The loss counts in standard deviations of the training images: {some(spreads)}. "
        "Metrics are in their own units."
    )
    return replace(built, notices=(*built.notices, notice))


def is_standardised(settings: Settings) -> bool:
    """Whether numbers reach the loss in standard deviations: a loss of the user's own sees them in their own units."""
    return not custom_losses(settings)


def standardised(loss_fn: nn.Module, settings: Settings, data: DataSplits) -> nn.Module:
    """The loss in standard deviations for regression; as it is for other tasks and with a loss of the user's own."""
    statistics = data.target_mean_and_sd()
    if statistics is None or not is_standardised(settings):
        return loss_fn
    mean, sd = zip(*statistics, strict=True)
    return StandardisedLoss(loss_fn, mean, sd)
