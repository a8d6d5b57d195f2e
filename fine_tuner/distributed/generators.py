"""The random numbers that training draws (dropout): states of torch's generators, of the processor and of a device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor


def rng_state(device: torch.device) -> dict[str, Tensor]:
    """State of the processor's generator and, under its kind, of the device's own."""
    state = {"cpu": torch.get_rng_state()}
    if device.type != "cpu":
        module = torch.get_device_module(device)
        state[device.type] = module.get_rng_state() if device.type == "mps" else module.get_rng_state(device)
    return state


def set_rng_state(state: Mapping[str, Tensor], device: torch.device) -> None:
    """Inverse of ``rng_state``; a checkpoint from another kind of device restores what it has."""
    torch.set_rng_state(state["cpu"].cpu())
    if device.type != "cpu" and device.type in state:
        own, module = state[device.type].cpu(), torch.get_device_module(device)
        module.set_rng_state(own) if device.type == "mps" else module.set_rng_state(own, device)


@contextmanager
def kept_rng(device: torch.device) -> Iterator[None]:
    """Whatever is drawn inside, the numbers drawn afterwards are those that would have come."""
    state = rng_state(device)
    try:
        yield
    finally:
        set_rng_state(state, device)
