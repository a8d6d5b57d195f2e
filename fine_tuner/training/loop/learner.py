"""What trains: a network with its loss, optimizer, schedule and data, and what of it a checkpoint carries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from fine_tuner.distributed.ranks import Ranks
from fine_tuner.losses.parts import part_of
from fine_tuner.models.outputs import loss_of_outputs
from fine_tuner.precision import Precision
from fine_tuner.training.loop.ema import EMA
from fine_tuner.training.loop.loss_scale import LossScale
from fine_tuner.training.loop.micro_batches import MicroBatches

LossFn = Callable[[Tensor, Tensor], Tensor]


class Batches(Protocol):
    """Endless micro-batches, in an order that is a pure function of seed and epoch; each rank has a part of them."""

    @property
    def per_epoch(self) -> int:
        """Micro-batches in one epoch."""

    def starting_at(self, micro_step: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Micro-batches from number ``micro_step`` on, counted over the whole run."""

    def indices(self, micro_step: int) -> list[int]:
        """Which images of the training split are in this micro-batch, over all ranks."""

    def size(self, micro_step: int) -> int:
        """How many they are."""

    def part(self, micro_step: int) -> slice:
        """Which of them are this rank's; one that has none is given others, which do not count."""

    def prepare(self, micro_step: int) -> None:
        """Do what has to be done by all ranks together before this micro-batch can be loaded."""

    def leave_out(self, indices: Sequence[int]) -> None:
        """Never show these images again; others take their places."""

    @property
    def left_out(self) -> frozenset[int]:
        """The images that are left out."""


def is_empty(part: slice) -> bool:
    """Whether a rank has no image of a micro-batch."""
    return part.start == part.stop


class LRSchedule(Protocol):
    """Sets ``lr`` of the optimizer's groups to the rate that the next step applies."""

    def step(self) -> None:
        """After every optimizer step."""

    def end_epoch(self, metric: float | None) -> None:
        """After the validation of every epoch."""

    def rescale(self, factor: float) -> None:
        """Multiply all rates from the next step on."""

    def set_lr(self, value: float) -> None:
        """Give the head this rate in the next step, everything else in proportion."""

    def refit(self, total_steps: int) -> None:
        """Make the run this long."""

    def state_dict(self) -> dict[str, Any]:
        """State to resume from."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of ``state_dict``."""


@dataclass(kw_only=True)
class Learner:
    """What trains.

    Attributes:
        network: What takes a micro-batch, if that is not ``model`` itself but something that runs it.
        loss_fn: ``(logits, targets) -> scalar``; best a ``losses.parts.Loss``, whose parts add up.
        accumulate: Micro-batches that make one step; the last step of an epoch takes what is left.
        clip_norm: Largest norm of a step's gradient; None: any.
        ema: Average of the weights, which is validated and exported; None: there is none.
        micro_batches: How many images go through the network at once.
        loss_scale: Of a run in fp16.
        passed_over: Steps, counted from 1, that are not made because they went wrong.
        set_train_mode: Puts the parts that train into training mode; None: the whole network.
        ranks: The processes that train this together, each a part of every micro-batch.
    """

    model: nn.Module
    loss_fn: LossFn
    optimizer: torch.optim.Optimizer
    schedule: LRSchedule
    batches: Batches
    precision: Precision
    epochs: int
    accumulate: int = 1
    clip_norm: float | None = None
    ema: EMA | None = None
    micro_batches: MicroBatches = field(default_factory=MicroBatches)
    loss_scale: LossScale = field(default_factory=LossScale)
    passed_over: frozenset[int] = frozenset()
    set_train_mode: Callable[[], None] | None = None
    network: nn.Module | None = None
    ranks: Ranks = field(default_factory=Ranks)

    def __post_init__(self) -> None:
        self.network = self.network or self.model
        self._changed_epochs: int | None = None

    @property
    def device(self) -> torch.device:
        """Where it trains."""
        return self.precision.device

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in one epoch."""
        return -(-self.batches.per_epoch // self.accumulate)

    @property
    def total_steps(self) -> int:
        """Optimizer steps in the whole run."""
        return self.steps_per_epoch * self.epochs

    def change_epochs(self, epochs: int) -> None:
        """Make the run this long, and keep that over a resume; the schedule is the caller's."""
        self.epochs = self._changed_epochs = epochs

    def train_mode(self) -> None:
        """As a step wants the network."""
        (self.set_train_mode or self.model.train)()

    def loss_of(
        self, images: Tensor, targets: Tensor, shares: Tensor | None = None, *, is_last: bool = False
    ) -> Tensor:
        """Loss of one micro-batch; the loss function itself runs in float32.

        Args:
            images: On the device.
            targets: On the device.
            shares: The micro-batch's own of ``losses.parts.shares_of``: what it adds to the loss of a step of several.
            is_last: Of a step, so that the backward pass averages gradients over ranks.
        """
        network = self.ranks.network(self.network) if is_last else self.network
        with self.precision.autocast():
            output = network(images)
        loss_fn = self.loss_fn if shares is None else partial(part_of, self.loss_fn, shares)
        return loss_of_outputs(output, targets, loss_fn)

    def exported(self) -> AbstractContextManager[None]:
        """Inside, the network has the weights that are validated, saved and exported."""
        return self.ema.applied() if self.ema is not None else nullcontext()

    def is_finite(self) -> bool:
        """Whether every weight and buffer is, on every rank. Waits for the device."""
        tensors = [t for t in self.model.state_dict().values() if t.is_floating_point()]
        (is_bad,) = self.ranks.agree(not all(torch.stack([t.isfinite().all() for t in tensors]).tolist()))
        return not is_bad

    def state_dict(self) -> dict[str, Any]:
        """Everything but the weights; plain values and tensors."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "precision": self.precision.state_dict(),
            "dtype": self.precision.dtype,
            "changed_epochs": self._changed_epochs,
            "micro_batches": self.micro_batches.state_dict(),
            "loss_scale": self.loss_scale.state_dict(),
            "passed_over": sorted(self.passed_over),
            "left_out": sorted(self.batches.left_out),
            "ema": self.ema.state_dict() if self.ema is not None else None,
            "loss": self.loss_fn.state_dict() if isinstance(self.loss_fn, nn.Module) else {},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of ``state_dict``, for a network that holds the weights that were saved with it."""
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        if state.get("dtype", self.precision.dtype) != self.precision.dtype:  # the earliest version had no such entry
            self.precision.switch(state["dtype"])
        self.precision.load_state_dict(state["precision"])
        if state["changed_epochs"] is not None:
            self.change_epochs(state["changed_epochs"])
        self.micro_batches.load_state_dict(state["micro_batches"])
        self.loss_scale.load_state_dict(state["loss_scale"])
        self.passed_over = frozenset(state["passed_over"])
        self.batches.leave_out(state["left_out"])
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])
        if isinstance(self.loss_fn, nn.Module) and state["loss"]:
            self.loss_fn.load_state_dict(state["loss"])
