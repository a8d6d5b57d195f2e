"""What of the machine this process may use."""

from __future__ import annotations

import os


def num_cores() -> int:
    """Cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_num_workers() -> int:
    """Loading processes that suit this machine: one for every two cores, at most 8."""
    return min(8, num_cores() // 2)
