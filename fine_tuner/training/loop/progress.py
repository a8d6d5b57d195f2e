"""Where a run is: the counters, the best value and the random state that a checkpoint carries."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Progress:
    """Counters that a checkpoint carries. A step is one optimizer update."""

    step: int = 0
    epoch: int = 0  # epochs whose steps are done
    validated_epochs: int = 0  # of those, how many were validated and checkpointed
    micro_step: int = 0
    images_seen: int = 0


@dataclass
class Best:
    """The best value so far of the metric that chooses the best checkpoint."""

    key: str = "val/accuracy"
    higher_is_better: bool = True
    value: float | None = None
    epoch: int | None = None

    def update(self, value: float | None, epoch: int) -> bool:
        """Take ``value`` if it is better; NaN and infinities never are."""
        if value is None or not math.isfinite(value):
            return False
        if self.value is None or (value > self.value if self.higher_is_better else value < self.value):
            self.value, self.epoch = value, epoch
            return True
        return False


def rng_state(device: torch.device) -> dict[str, Tensor]:
    """State of torch's generators that training draws from (dropout)."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_rng_state(state: Mapping[str, Tensor], device: torch.device) -> None:
    """Inverse of ``rng_state``; a checkpoint from another kind of device restores what it has."""
    torch.set_rng_state(state["cpu"].cpu())
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)
