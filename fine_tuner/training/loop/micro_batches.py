"""How many images go through the network at once, and less of them when memory runs out.

A step keeps its images, its rate and its place in the schedule: a micro-batch that does not fit is cut into equal
parts whose gradients add up to the same step. What the failed attempt at a step left behind is taken back first: its
gradients, what dropout drew, and the running statistics of BatchNorm, which a forward pass updates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn

from fine_tuner.base.errors import TrainingError
from fine_tuner.distributed.device_memory import is_out_of_memory
from fine_tuner.distributed.generators import rng_state, set_rng_state
from fine_tuner.distributed.ranks import Ranks

Kind = Literal["train", "evaluation"]
Batch = tuple[Tensor, Any]  # images and targets


@dataclass
class MicroBatches:
    """The most images that go through the network at once; None: micro-batches as they are loaded.

    Attributes:
        train: In training.
        evaluation: In evaluation.
        train_limit: What a device takes in training whatever ``train`` says: a run that goes on with fewer devices than
            it began with loads more images at a time on each.
        seen: The largest number of images that came in one micro-batch since the last halving, by kind.
    """

    train: int | None = None
    evaluation: int | None = None
    train_limit: int | None = None

    def __post_init__(self) -> None:
        self.seen = {"train": 0, "evaluation": 0}

    def of(self, batches: Iterable[Batch], kind: Kind) -> Iterator[Batch]:
        """Each of ``batches`` in parts of equal size (to within one) that fit; targets may be anything with slices."""
        limits = (self.train, self.train_limit) if kind == "train" else (self.evaluation,)
        most = min((limit for limit in limits if limit is not None), default=None)
        for images, targets in batches:
            count = len(images)
            parts = 1 if most is None else -(-count // most)
            self.seen[kind] = max(self.seen[kind], -(-count // parts))
            if parts == 1:
                yield images, targets
                continue
            ends = [round(count * part / parts) for part in range(parts + 1)]
            for start, stop in pairwise(ends):
                yield images[start:stop], targets[start:stop]

    def halved(self, kind: Kind, ranks: Ranks | None = None) -> int | None:
        """Half of the size that did not fit, the largest of any rank; None if that was a single image."""
        present, self.seen[kind] = (ranks or Ranks()).most(self.seen[kind]), 0
        return present // 2 if present > 1 else None

    def state_dict(self) -> dict[str, int | None]:
        """State to resume from."""
        return {"train": self.train, "evaluation": self.evaluation}

    def load_state_dict(self, state: Mapping[str, int | None]) -> None:
        """Inverse of ``state_dict``."""
        self.train, self.evaluation = state["train"], state["evaluation"]


class Undo:
    """Takes back what a forward pass changes besides gradients: buffers (BatchNorm's statistics) and torch's RNG.

    ``remember`` costs one copy of the buffers per step, queued without waiting for the device: on a CPU core 0.2 ms of
    shufflenet_v2_x0_5's step of 305 ms (16 images of 64 px), 0.3 ms of resnet50's 2.6 s.
    """

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self._model, self._device = model, device
        self._buffers: list[Tensor] = []
        self._copies: list[Tensor] = []

    def remember(self) -> None:
        """Keep the present state."""
        if not self._copies:
            self._buffers = [b for b in self._model.buffers() if b.numel()]
            self._copies = [b.detach().clone() for b in self._buffers]
        elif self._buffers:
            torch._foreach_copy_(self._copies, self._buffers)
        self._rng = rng_state(self._device)

    @torch.no_grad()
    def take_back(self) -> None:
        """Return to the state that was kept."""
        if self._buffers:
            torch._foreach_copy_(self._buffers, self._copies)
        set_rng_state(self._rng, self._device)


@contextmanager
def memory_lost_in_backward(ranks: Ranks, micro_batches: MicroBatches) -> Iterator[None]:
    """Inside, gradients are averaged as they are made, so a rank whose memory runs out can't tell the others.

    Raises:
        MemoryLostError: If it runs out and there are others, with the size to take after a new start.
    """
    try:
        yield
    except (RuntimeError, MemoryError, TrainingError) as error:
        if ranks.world_size == 1 or not is_out_of_memory(error):
            raise
        raise MemoryLostError(max(1, micro_batches.seen["train"] // 2)) from None


class MemoryLostError(Exception):
    """Memory ran out on one rank in the middle of a backward pass of all: they have to begin again from a checkpoint.

    Attributes:
        smaller: How many images are to go through the network at once then.
    """

    def __init__(self, smaller: int) -> None:
        self.smaller = smaller
        super().__init__(smaller)


def until_it_fits(
    compute: Callable[[], Mapping[str, float] | None], shrink: Callable[[], None]
) -> Mapping[str, float] | None:
    """What ``compute`` returns, after ``shrink`` as often as memory runs out in it."""
    while True:
        try:
            return compute()
        except (RuntimeError, MemoryError, TrainingError) as error:
            if not is_out_of_memory(error):
                raise
        shrink()  # outside of ``except``, whose traceback holds on to tensors
