"""What of the machine this process may use."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")
LEAST_SHARED_BYTES = 48 << 20  # a few batches; Docker gives 64 MiB


def num_cores() -> int:
    """Cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_num_workers() -> int:
    """Loading processes that suit this machine: one for every two cores, at most 8; none where they cannot hand over.

    Batches go through shared memory, of which a container may have next to none.
    """
    try:
        has_room = not SHARED_MEMORY.is_dir() or shutil.disk_usage(SHARED_MEMORY).free >= LEAST_SHARED_BYTES
    except OSError:
        has_room = False
    return min(8, num_cores() // 2) if has_room else 0
