"""The network as training sees it while its frozen part is known: it takes images, or their features."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fine_tuner.features.split import Split
from fine_tuner.precision import Precision


class FeatureNetwork(nn.Module):
    """Runs the whole network on images, and what is not frozen on features.

    Its parameters, its mode and its state are the network's own.

    Args:
        model: The network, on its device.
        training: Its split in training mode.
        evaluation: Its split in evaluation mode, in which dropout before the head belongs to the frozen part.
        precision: In which the frozen part computes.
    """

    def __init__(self, model: nn.Module, *, training: Split, evaluation: Split, precision: Precision) -> None:
        super().__init__()
        self.model = model
        # not registered: their modules are the network's
        self._splits = {True: training, False: evaluation}
        self._precision = precision
        self._frozen = list(evaluation.frozen.parameters())

    @property
    def is_frozen(self) -> bool:
        """Whether features still say what the network does; not any more once their part trains."""
        return not any(p.requires_grad for p in self._frozen)

    def forward(self, batch: Tensor) -> Any:
        """Images ``(B, 3, H, W)`` or features ``(B, numbers)`` to what the network gives."""
        return self.model(batch) if batch.ndim == 4 else self.split().output(batch)

    def split(self) -> Split:
        """That of the network's present mode."""
        return self._splits[self.model.training]

    @torch.inference_mode()
    def features(self, images: Tensor) -> Tensor:
        """Features ``(B, numbers)`` of images ``(B, 3, H, W)`` on any device, for the network's present mode."""
        images = images.to(self._precision.device, non_blocking=True)
        if self._precision.is_channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        with self._precision.autocast():
            return self.split().features(images)
