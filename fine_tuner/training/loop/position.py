"""Where a run is: the counters that a checkpoint carries, and the step that comes next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch


@dataclass
class TrainingPosition:
    """Counters that a checkpoint carries. A step is one optimizer update.

    Attributes:
        epoch: Epochs whose steps are done.
        validated_epochs: Of those, how many were validated and checkpointed.
        rollbacks: How often the run went back because numbers were not finite.
    """

    step: int = 0
    epoch: int = 0
    validated_epochs: int = 0
    micro_step: int = 0
    images_seen: int = 0
    rollbacks: int = 0

    def state_dict(self) -> dict[str, int]:
        """State to resume from."""
        return asdict(self)

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Inverse of ``state_dict``."""
        for name, value in state.items():
            setattr(self, name, value)


@dataclass(frozen=True, kw_only=True, slots=True)
class StepPlace:
    """Which step it is; ``step`` and ``epoch`` count from 1, ``first_micro_step`` over the run from 0."""

    step: int
    epoch: int
    first_micro_step: int
    micro_steps: int
    images: int
    lrs: Mapping[str, float]

    @classmethod
    def of(
        cls,
        position: TrainingPosition,
        optimizer: torch.optim.Optimizer,
        *,
        micro_steps: int = 0,
        images: int = 0,
    ) -> StepPlace:
        """Place of the step that comes next, made of so many micro-batches and, over all ranks, images."""
        return cls(
            step=position.step + 1,
            epoch=position.epoch + 1,
            first_micro_step=position.micro_step,
            micro_steps=micro_steps,
            images=images,
            lrs={group["name"]: group["lr"] for group in optimizer.param_groups},
        )
