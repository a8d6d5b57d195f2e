"""What of the machine this process may use."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")
_IDLE_SHARE = 0.5  # of the cores: a load below is what an idle desktop has
LEAST_SHARED_BYTES = 48 << 20  # a few batches; Docker gives 64 MiB


def num_cores() -> int:
    """Cores this process may run on; of the ranks of a run on this machine each has its share."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))


def crowding() -> float:
    """How much longer work on all cores takes for what others compute, by the last minute: 1 on an idle machine.

    The scheduler gives each thread that wants to compute the same share of the cores.
    """
    cores = num_cores()
    others = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return max(1.0, (others + cores) / cores) if others > _IDLE_SHARE * cores else 1.0


def is_rank() -> bool:
    """Whether torchrun started this process as one of several that train a run together."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def local_rank() -> int:
    """Number of this process among the ranks of its run on this machine; 0 outside of torchrun."""
    return int(os.environ.get("LOCAL_RANK", 0)) if is_rank() else 0


def default_num_workers() -> int:
    """Loading processes that suit this machine: one for every two cores, at most 8; none where they cannot hand over.

    Batches go through shared memory, of which a container may have next to none.
    """
    try:
        has_room = not SHARED_MEMORY.is_dir() or shutil.disk_usage(SHARED_MEMORY).free >= LEAST_SHARED_BYTES
    except OSError:
        has_room = False
    return min(8, num_cores() // 2) if has_room else 0
