"""Features that were computed, in memory: one row an image, with its target."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

_MASK_AXES = 3


class KeptFeatures:
    """Features and targets of the images of a split, filled from first to last.

    Args:
        images: How many there are.
    """

    def __init__(self, images: int) -> None:
        self._images = images
        self._features: Tensor | None = None
        self._targets: Tensor | None = None
        self._filled = 0

    @property
    def is_full(self) -> bool:
        """Whether every image is there."""
        return self._filled == self._images

    def clear(self) -> None:
        """Begin again."""
        self._filled = 0

    def append(self, features: Tensor, targets: Tensor) -> None:
        """Take the next images.

        Args:
            features: ``(B, numbers)`` in the type in which they were computed and are kept.
            targets: ``(B, ...)``.
        """
        if self._features is None:
            # Class indices of masks come from bytes; eight times less than as int64.
            kept_type = torch.uint8 if targets.ndim == _MASK_AXES else targets.dtype
            self._type = targets.dtype
            self._features = torch.empty(self._images, *features.shape[1:], dtype=features.dtype)
            self._targets = torch.empty(self._images, *targets.shape[1:], dtype=kept_type)
        rows = slice(self._filled, self._filled + len(targets))
        self._features[rows], self._targets[rows] = features, targets
        self._filled = rows.stop

    def rows(self, indices: Iterable[int]) -> tuple[Tensor, Tensor]:
        """Copies of features ``(B, numbers)`` and targets ``(B, ...)`` of these images."""
        assert self._features is not None, "nothing is kept yet"
        wanted = torch.tensor(list(indices))
        return self._features[wanted], self._targets[wanted].to(self._type)
