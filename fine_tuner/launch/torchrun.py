"""The line that trains a run on several devices: ``torchrun``, which starts a process for each and keeps them together.

It starts all of them again, from the newest checkpoint, when one is lost.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from fine_tuner.base.machine import num_cores
from fine_tuner.launch.command import train_arguments
from fine_tuner.runs.layout import RunFolder

MAX_RESTARTS = 3


def torchrun_arguments(
    run: RunFolder, *, num_processes: int, overrides: Sequence[str] = (), max_restarts: int = MAX_RESTARTS
) -> list[str]:
    """Arguments of ``torchrun`` for a run on this machine alone.

    Args:
        run: Its folder.
        num_processes: How many train it.
        overrides: Settings of this attempt, as ``train`` takes them.
        max_restarts: How often all are started again when one is lost.
    """
    return [
        "--standalone",
        f"--nproc-per-node={num_processes}",
        f"--max-restarts={max_restarts}",
        "-m",
        "fine_tuner",
        *train_arguments(run),
        *overrides,
    ]


def threads_environment(num_processes: int) -> Mapping[str, str]:
    """Variables that give each process its share of the cores; torchrun would give it one, and say so in each log."""
    if "OMP_NUM_THREADS" in os.environ:
        return {}
    return {"OMP_NUM_THREADS": str(max(1, num_cores() // num_processes))}
