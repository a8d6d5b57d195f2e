"""The line that trains a run on several devices: ``torchrun``, which starts a process for each and keeps them together.

It starts all of them again, from the newest checkpoint, when one is lost. On several machines (nodes) the same line is
started on each; they find each other at a host and port that one of them has.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fine_tuner.base.errors import ConfigError
from fine_tuner.base.machine import num_cores
from fine_tuner.launch.command import shell_text, train_arguments
from fine_tuner.launch.devices import rank_devices
from fine_tuner.runs.layout import RunFolder

MAX_RESTARTS = 3
WAIT_SECONDS = 600
TORCHRUN = ("-m", "torch.distributed.run")
# Else a node that comes back waits forever for an address that torch (2.14) tells only at the first meeting.
NODES_ENVIRONMENT: Mapping[str, str] = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
_PROGRAM = ("-m", "fine_tuner")


@dataclass(frozen=True, kw_only=True, slots=True)
class Nodes:
    """Machines that train a run together.

    Attributes:
        number: How many there are.
        rendezvous: ``host:port`` at which they meet; the host is one of them.
        wait_seconds: How long each waits for the others.
        max_restarts: How often all processes are started again when one, or a node, is lost.
    """

    number: int
    rendezvous: str
    wait_seconds: int = WAIT_SECONDS
    max_restarts: int = MAX_RESTARTS

    def __post_init__(self) -> None:
        host, _, port = self.rendezvous.rpartition(":")
        if self.number < 1:
            raise ConfigError({"nodes": f"{self.number} nodes cannot train. Give 1 or more."})
        if not host or not (port.isdecimal() and 0 < int(port) < 65536):
            raise ConfigError(
                {"rdzv": f"{self.rendezvous!r} is not HOST:PORT. Give one of the nodes, such as a:29400."}
            )


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
        *_PROGRAM,
        *train_arguments(run),
        *overrides,
    ]


def node_arguments(run: RunFolder, nodes: Nodes, *, devices: str) -> list[str]:
    """Arguments of ``torchrun`` on each of several machines; the same on all, which get their numbers when they meet.

    Args:
        run: Its folder, at the same path on all.
        nodes: The machines.
        devices: Of each of them, as in the settings.
    """
    return [
        f"--nnodes={nodes.number}",
        f"--nproc-per-node={processes_per_node(devices)}",
        "--rdzv-backend=c10d",
        f"--rdzv-endpoint={nodes.rendezvous}",
        f"--rdzv-id={run.id}",
        f"--rdzv-conf=join_timeout={nodes.wait_seconds}",
        f"--max-restarts={nodes.max_restarts}",
        *_PROGRAM,
        *train_arguments(run),
    ]


def processes_per_node(devices: str) -> str:
    """How many processes each node starts; ``gpu``: as many as it has."""
    return "gpu" if devices.strip() == "all" else str(len(rank_devices(devices)))


def node_line(run: RunFolder, nodes: Nodes, *, devices: str) -> str:
    """The whole line, for a person to paste."""
    settings = " ".join(f"{name}={value}" for name, value in NODES_ENVIRONMENT.items())
    return f"{settings} {shell_text([sys.executable, *TORCHRUN, *node_arguments(run, nodes, devices=devices)])}"


def threads_environment(num_processes: int) -> Mapping[str, str]:
    """Variables that give each process its share of the cores; torchrun would give it one, and say so in each log."""
    if "OMP_NUM_THREADS" in os.environ:
        return {}
    return {"OMP_NUM_THREADS": str(max(1, num_cores() // num_processes))}
