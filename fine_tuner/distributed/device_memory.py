"""Memory of a device: whether an error says that it ran out, and giving back what is cached."""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import suppress
from typing import Any

import torch

from fine_tuner.base.errors import TrainingError

# What torch says where it has no exception of its own: CPU allocator, C++, cuDNN and cuBLAS, driver, Metal.
_NO_MEMORY = (
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
    "bad_alloc",
    "alloc_failed",
    "out of memory",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that memory did not suffice, on whatever device, also inside a loss of the user's own."""
    if isinstance(error, TrainingError) and error.__cause__ is not None:
        return is_out_of_memory(error.__cause__)
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).casefold()
    return isinstance(error, RuntimeError) and any(sign in text for sign in _NO_MEMORY)


def memory_counter(device: torch.device) -> Any | None:
    """The module of torch that counts a device's own memory, such as ``torch.cuda``; None where there is none.

    CUDA, ROCm, Intel's and plugged-in accelerators share its functions: ``max_memory_allocated``, ``memory_reserved``,
    ``max_memory_reserved``, ``reset_peak_memory_stats``, ``mem_get_info`` and ``empty_cache``. A processor has no
    memory of its own, nor has an Apple GPU, whose few numbers have other names.
    """
    if device.type in ("cpu", "mps"):
        return None
    module = torch.get_device_module(device)
    return module if hasattr(module, "max_memory_reserved") else None


def free_memory(device: torch.device) -> None:
    """Give back what is cached, so that what comes next finds room, and a measurement begins like the first.

    Call it outside of ``except``: tracebacks hold on to tensors.
    """
    gc.collect()
    if (counter := memory_counter(device)) is not None:
        counter.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
    elif sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library than glibc
            ctypes.CDLL("libc.so.6").malloc_trim(0)
