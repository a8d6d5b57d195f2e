"""Which device this process trains on, and its memory. Several are the same command under torchrun (not yet)."""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import suppress

import torch

from fine_tuner.base.errors import ConfigError


def choose_device(wanted: str) -> torch.device:
    """The device named by ``devices``; ``auto`` is a GPU if there is one.

    Raises:
        ConfigError: If the name is not a device, or the machine has none of it.
    """
    if wanted == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", 0)
        return torch.device("mps") if torch.backends.mps.is_available() else torch.device("cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError:
        device = None
    if device is None or (device.type not in ("cpu", "cuda", "mps") and not is_plugged_in(device.type)):
        raise ConfigError({"devices": f"{wanted!r} is not a device. Write auto, cpu, cuda, cuda:1 or mps."})
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        found = f"{count} CUDA device{'s' * (count != 1)}" if count else "no CUDA device"
        raise ConfigError({"devices": f"{wanted!r} is not there: this machine has {found}. Choose another, or auto."})
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError({"devices": "'mps' is not there: this machine has no Apple GPU. Choose auto or cpu."})
    return torch.device("cuda", device.index or 0) if device.type == "cuda" else device


def is_plugged_in(kind: str) -> bool:
    """Whether ``kind`` is an accelerator that a package of its maker's adds to torch, and is there."""
    module = getattr(torch, kind, None) if kind == torch._C._get_privateuse1_backend_name() else None
    return module is not None and module.is_available()


def device_name(device: torch.device) -> str:
    """Name for people, such as ``CUDA NVIDIA H200`` or ``CPU``."""
    if device.type == "cuda":
        return f"CUDA {torch.cuda.get_device_name(device)}"
    return {"cpu": "CPU", "mps": "Apple GPU"}.get(device.type, device.type.upper())


def free_memory(device: torch.device) -> None:
    """Give back what earlier measurements left, so that the next begins like the first."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
    elif sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library than glibc
            ctypes.CDLL("libc.so.6").malloc_trim(0)
