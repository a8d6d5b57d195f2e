"""Activations that are not kept for the backward pass but made again in it, block by block.

Of each residual block, dense layer or transformer block only the input is kept; the backward pass runs the block's
forward pass once more. Source: Chen et al., Training Deep Nets with Sublinear Memory Cost (2016), and the PyTorch docs
of ``torch.utils.checkpoint``, which does it. Results stay the same to the last bit: dropout draws the same numbers
again, and BatchNorm's running statistics move once, not twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import fx, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.checkpoint import checkpoint

from fine_tuner.models.stages import Unit, find_units


def blocks_of(model: nn.Module, head: Iterable[str]) -> tuple[str, ...]:
    """Paths of the blocks whose activations can be made again.

    Args:
        model: The network; parameters without data are enough.
        head: Names of the parameters of its output layers.
    """
    outputs = frozenset(head)
    return tuple(u.path for u in find_units(model, outputs) if _has_several_layers(u.module) and not _holds(u, outputs))


def checkpoint_activations(model: nn.Module, blocks: Iterable[str]) -> None:
    """Let blocks of a network make their activations again, wherever it trains from now on.

    Names of parameters and modules stay as they are, so checkpoints fit with and without. In evaluation nothing is kept
    anyway, and nothing changes.

    Args:
        model: The network.
        blocks: Paths, as ``blocks_of`` gives them.
    """
    for path in blocks:
        block = model.get_submodule(path)
        # As FSDP2 does it: another class of the same object, which copies and keeps its names, as a wrapper would not.
        block.__class__ = type(type(block).__name__, (_Checkpointed, type(block)), {})


class _Checkpointed(nn.Module):
    """Before a block's own class: its forward pass, with nothing kept but the input."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the block gives."""
        is_kept = self.training and torch.is_grad_enabled()
        if not is_kept or any(isinstance(leaf, fx.Proxy) for leaf in tree_leaves((args, kwargs))):
            return super().forward(*args, **kwargs)
        args, kwargs = tree_map(
            lambda leaf: leaf, (args, kwargs)
        )  # lists of its own: densenet's grow from layer to layer
        return checkpoint(super().forward, *args, use_reentrant=False, context_fn=self._contexts, **kwargs)

    def _contexts(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        """Around the first forward pass, and around the second."""
        return nullcontext(), _running_statistics_stay(self)


@contextmanager
def _running_statistics_stay(block: nn.Module) -> Iterator[None]:
    """BatchNorm's running statistics do not move, nor does the count of its batches."""
    norms = [m for m in block.modules() if isinstance(m, _NormBase) and m.track_running_stats]
    before = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0  # new = 1 * old + 0 * batch: the same operation, so that as many tensors are saved
        norm.num_batches_tracked = None
    try:
        yield
    finally:
        for norm, momentum, tracked in before:
            norm.momentum, norm.num_batches_tracked = momentum, tracked


def _holds(unit: Unit, parameters: frozenset[str]) -> bool:
    return any(f"{unit.path}.{name}" in parameters for name, _ in unit.module.named_parameters())


def _has_several_layers(module: nn.Module) -> bool:
    """A layer alone keeps its input and nothing else, so making it again would save nothing."""
    return sum(not list(m.children()) for m in module.modules()) > 1
