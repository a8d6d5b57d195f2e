"""A run on several devices: from outside, the torchrun that starts a process for each; from inside, one of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch

from fine_tuner.base.errors import RunError
from fine_tuner.config.io import parse, read_tree
from fine_tuner.distributed.devices import choose_device, choose_devices
from fine_tuner.distributed.elastic import run_torchrun
from fine_tuner.distributed.joining import die_with_parent, joined_ranks
from fine_tuner.launch.torchrun import NODES_ENVIRONMENT, threads_environment, torchrun_arguments
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.lock import find_holder
from fine_tuner.runs.log.events import RunFinished, read_last_event
from fine_tuner.training.run.worker import EXIT_CODES, LOST, AtEnd, run_worker

_NOTHING: Mapping[str, str] = MappingProxyType({})
_OF_INPUT = ("setting", "data", "weights")


def train_in_ranks(run: RunFolder, devices: str, *, overrides: Sequence[str] = ()) -> int:
    """Train the run in a process for each device; returns the exit code that one process would have.

    Args:
        run: Its folder.
        devices: As in the settings.
        overrides: For the processes, as ``train`` takes them.

    Raises:
        ConfigError: If a device is not there.
        RunError: If another process trains this run.
    """
    chosen = choose_devices(devices)
    if (holder := find_holder(run.lock)) is not None:
        raise RunError(f"The run {run.id} is being trained already by process {holder.pid}. Stop it first, or wait.")
    return _train(run, chosen, torchrun_arguments(run, num_processes=len(chosen), overrides=overrides))


def train_on_node(run: RunFolder, devices: str, arguments: Sequence[str]) -> int:
    """The part of this machine in a run that several train; else as ``train_in_ranks``.

    Args:
        run: Its folder.
        devices: Of each machine, as in the settings.
        arguments: Of torchrun.
    """
    return _train(run, choose_devices(devices), arguments, NODES_ENVIRONMENT)


def _train(
    run: RunFolder, devices: Sequence[torch.device], arguments: Sequence[str], environment: Mapping[str, str] = _NOTHING
) -> int:
    before = read_last_event(run.events)
    threads = threads_environment(len(devices)) if devices[0].type == "cpu" else {}
    run_torchrun(arguments, {**environment, **threads})
    return _exit_code(run, before.seq if before else -1)


def _exit_code(run: RunFolder, before: int) -> int:
    """What the log says after event number ``before``."""
    last = read_last_event(run.events)
    if last is None or last.seq <= before or not isinstance(last.payload, RunFinished):
        return 1
    if last.payload.outcome in EXIT_CODES:
        return EXIT_CODES[last.payload.outcome]
    return 2 if last.payload.summary.get("cause") in _OF_INPUT and not last.payload.step else 1


def train_as_rank(
    run: RunFolder, *, print_line: Callable[[str], None], at_end: AtEnd | None = None, devices: str | None = None
) -> int:
    """Train the run as one of the processes of a torchrun; see ``run_worker``.

    Returns:
        0 if how it ended is in the log, for then torchrun must not start it again; else ``LOST``.
    """
    die_with_parent()
    device = choose_device(devices or parse(read_tree(run.config)).devices)
    with joined_ranks(device) as ranks:
        code = run_worker(
            run,
            print_line=print_line if ranks.is_first else lambda line: None,
            at_end=at_end,
            devices=devices,
            ranks=ranks,
        )
    return LOST if code == LOST else 0
