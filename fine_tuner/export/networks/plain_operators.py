"""Pooling and attention in words that every exporter knows.

Attention is otherwise one fused operator of torch, where no gradient is wanted. Adaptive pooling becomes the mean over
bins of any size, as two products of matrices.
ONNX has no adaptive pooling: its exporter finds an ordinary one only where the output's sides divide the input's, as in
AlexNet and VGG at 224 px, but not at the smaller sizes that small pictures are trained at.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class PlainPool(nn.Module):
    """What ``nn.AdaptiveAvgPool2d(output_size)`` computes, to rounding.

    Source: bins as in ATen/native/AdaptiveAveragePooling.cpp: from ``floor(i n / m)`` to ``ceil((i + 1) n / m)``.
    """

    def __init__(self, output_size: tuple[int, int]) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, images: Tensor) -> Tensor:
        """``(B, C, H, W)`` to ``(B, C, *output_size)``."""
        rows, columns = (means(int(n), m) for n, m in zip(images.shape[-2:], self.output_size, strict=True))
        return rows @ images @ columns.T


def means(size: int, bins: int) -> Tensor:
    """``(bins, size)``: each row the weights of one mean.

    >>> means(3, 2)
    tensor([[0.5000, 0.5000, 0.0000],
            [0.0000, 0.5000, 0.5000]])
    """
    out = torch.zeros(bins, size)
    for index in range(bins):
        first, end = index * size // bins, -(-(index + 1) * size // bins)
        out[index, first:end] = 1 / (end - first)
    return out


@contextmanager
def plain_attention() -> Iterator[None]:
    """Within the block, attention is made of products and softmax, as while training."""
    was = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was)


@contextmanager
def plain_pools(model: nn.Module) -> Iterator[None]:
    """Within the block, ``model`` pools to more than one place by ``PlainPool``."""
    places = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.AdaptiveAvgPool2d) and child.output_size not in (1, (1, 1))
    ]
    for parent, name, child in places:
        size = child.output_size
        setattr(parent, name, PlainPool((size, size) if isinstance(size, int) else tuple(size)))
    try:
        yield
    finally:
        for parent, name, child in places:
            setattr(parent, name, child)
