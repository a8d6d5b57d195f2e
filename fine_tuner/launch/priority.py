"""Processes that yield: they get what others leave of the processor."""

from __future__ import annotations

import os
from contextlib import suppress


def yield_to_others(pid: int) -> None:
    """Give a process that has just begun the least priority; threads that it starts inherit it.

    Beside a busy process, Linux gives an idle-class thread 3 parts of 1027 of a core, a thread of nice 19 gives 15 of
    1039 (``kernel/sched/core.c``, ``sched_prio_to_weight``; ``WEIGHT_IDLEPRIO``). Elsewhere only nice is known.
    """
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, 19)
    if hasattr(os, "SCHED_IDLE"):
        with suppress(OSError):
            os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))
