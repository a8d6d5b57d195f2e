"""How a process that torchrun started becomes a rank: it joins the others, and dies with the torchrun that began it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

from fine_tuner.base.machine import is_rank
from fine_tuner.distributed.ranks import Ranks, TorchRanks, lost_ranks_named

_PR_SET_PDEATHSIG = 1
_JOIN_TIMEOUT = timedelta(minutes=3)  # a connection that was lost at the start: torchrun then starts all again
_TIMEOUT = timedelta(minutes=30)  # the first rank may download while the others wait


@contextmanager
def joined_ranks(device: torch.device) -> Iterator[Ranks]:
    """The processes of this run, this one among them; alone outside of torchrun.

    Args:
        device: Where this process trains; decides how tensors travel.

    Raises:
        LostRankError: If the others cannot be reached.
    """
    if not is_rank():
        yield Ranks()
        return
    if device.type != "cpu":
        torch.accelerator.set_device_index(device)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="torch.distributed")
        with lost_ranks_named():
            dist.init_process_group(_backend(device.type), timeout=_JOIN_TIMEOUT)
            dist.barrier()
            _set_timeout(_TIMEOUT)
    try:
        yield TorchRanks()
    finally:
        dist.destroy_process_group()


def _set_timeout(timeout: timedelta) -> None:
    """``torch.distributed.set_timeout``, which torch before 2.14 has under another name."""
    known = getattr(dist, "set_timeout", None) or dist.distributed_c10d._set_pg_timeout
    known(timeout)


def restarts() -> int:
    """How often torchrun has started the processes of this run again."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) if is_rank() else 0


def _backend(device_type: str) -> str:
    """Gloo carries what lies in memory; the accelerator's own what lies on it (``nccl``, also of ROCm; ``xccl``)."""
    if device_type == "cpu":
        return "gloo"
    return f"cpu:gloo,{device_type}:{dist.get_default_backend_for_device(torch.device(device_type))}"


def die_with_parent() -> None:
    """From here on this process is killed when its parent has died: a torchrun that is killed leaves nothing behind."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before it could be asked for
            os.kill(os.getpid(), signal.SIGKILL)
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="parent", daemon=True).start()
