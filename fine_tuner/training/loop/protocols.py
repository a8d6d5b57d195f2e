"""What the trainer needs of others, as protocols: batches, a schedule, and someone who passes on wishes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol

from torch import Tensor

Outcome = Literal["completed", "stopped", "paused"]
LossFn = Callable[[Tensor, Tensor], Tensor]


class Batches(Protocol):
    """Endless micro-batches in an order that is a pure function of seed and epoch."""

    @property
    def per_epoch(self) -> int:
        """Micro-batches in one epoch."""

    def starting_at(self, micro_step: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Micro-batches from number ``micro_step`` on, counted over the whole run."""

    def indices(self, micro_step: int) -> list[int]:
        """Which images of the training split are in this micro-batch."""

    def leave_out(self, indices: Sequence[int]) -> None:
        """Never show these images again; others take their places."""

    @property
    def left_out(self) -> frozenset[int]:
        """The images that are left out."""


class Schedule(Protocol):
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


class Control(Protocol):
    """Wishes from outside, asked for between steps."""

    def wanted(self) -> Literal["stop", "pause"] | None:
        """What the user wants of the run now."""

    def changes(self, step: int) -> list[Mapping[str, Any]]:
        """Settings to change after ``step`` steps; see ``Trainer.change``."""

    def wants_checkpoint(self) -> bool:
        """Whether the user wants a checkpoint now."""

    def wants_evaluation(self) -> bool:
        """Whether the user wants to know now how good the network is."""
