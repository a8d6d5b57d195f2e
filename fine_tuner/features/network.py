"""The network as training sees it while its frozen part is known: it takes images, or their features."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fine_tuner.base.errors import OutOfMemoryError
from fine_tuner.distributed.device_memory import free_memory, is_out_of_memory
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
        self._most: int | None = None  # images at once that fit

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
        """Features ``(B, numbers)`` of images ``(B, 3, H, W)`` on any device, for the network's present mode.

        Where memory runs out, fewer images go through at once from then on.

        Raises:
            OutOfMemoryError: If it does not suffice for a single image.
        """
        while (found := self._in_parts(images)) is None:
            largest = min(len(images), self._most or len(images))
            if largest == 1:
                raise OutOfMemoryError("Memory does not suffice for a single image. Close what else uses the device.")
            self._most = largest // 2
            free_memory(self._precision.device)
        return found

    def _in_parts(self, images: Tensor) -> Tensor | None:
        """Features of so many images at once as fit; None if memory ran out."""
        try:
            parts = [self._features(part) for part in images.split(self._most or len(images))]
            return parts[0] if len(parts) == 1 else torch.cat(parts)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return None

    def _features(self, images: Tensor) -> Tensor:
        images = images.to(self._precision.device, non_blocking=True)
        if self._precision.is_channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        with self._precision.autocast():
            return self.split().features(images)
