"""Memory in use, read without making the device wait."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

import psutil
import torch

from fine_tuner.distributed.device_memory import memory_counter

MIB = 2**20


class MemoryReader:
    """Readings for the live chart, at most one every ``interval_seconds``.

    ``memory/process_mib`` is the resident set of this process. On a GPU come ``memory/allocated_mib`` (the peak since
    the last reading), ``memory/reserved_mib`` (what the caching allocator holds) and ``memory/device_mib`` (everything
    on the device, other programs included).
    """

    def __init__(self, device: torch.device, *, interval_seconds: float = 0.5) -> None:
        self._device = device
        self._interval = interval_seconds
        self._last = float("-inf")
        self._process = psutil.Process(os.getpid())

    def __call__(self) -> Mapping[str, float]:
        """The readings, or nothing if the last ones are fresh."""
        now = time.monotonic()
        if now - self._last < self._interval:
            return {}
        self._last = now
        return self.read()

    def read(self) -> Mapping[str, float]:
        """The readings now."""
        readings = {"memory/process_mib": self._process.memory_info().rss / MIB}
        if (counter := memory_counter(self._device)) is not None:
            readings["memory/allocated_mib"] = counter.max_memory_allocated(self._device) / MIB
            readings["memory/reserved_mib"] = counter.memory_reserved(self._device) / MIB
            free, total = counter.mem_get_info(self._device)
            readings["memory/device_mib"] = (total - free) / MIB
            counter.reset_peak_memory_stats(self._device)
        elif self._device.type == "mps":
            readings["memory/allocated_mib"] = torch.mps.current_allocated_memory() / MIB
            readings["memory/reserved_mib"] = torch.mps.driver_allocated_memory() / MIB
        return {key: round(value, 1) for key, value in readings.items()}


def process_mib() -> float:
    """Resident set of this process, MiB."""
    return psutil.Process(os.getpid()).memory_info().rss / MIB


def memory_limit_mib(device: torch.device) -> float:
    """Memory of the device, MiB: of the GPU, or of the machine (or of its container, if that has less)."""
    if device.type == "cuda":  # without beginning to use it
        return torch.cuda.get_device_properties(device).total_memory / MIB
    if (counter := memory_counter(device)) is not None:
        return counter.mem_get_info(device)[1] / MIB
    total = psutil.virtual_memory().total
    try:
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as file:
            text = file.read().strip()
        total = min(total, int(text)) if text != "max" else total
    except (OSError, ValueError):
        pass  # no cgroup v2: the machine's memory is the limit
    return total / MIB


def memory_used_mib(device: torch.device) -> float:
    """Memory of the device in use by all programs now, MiB; does not start to use a CUDA device."""
    if device.type == "cuda":
        return torch.cuda.device_memory_used(device) / MIB  # asks the driver's management library
    if (counter := memory_counter(device)) is not None:
        free, total = counter.mem_get_info(device)
        return (total - free) / MIB
    memory = psutil.virtual_memory()
    return (memory.total - memory.available) / MIB
