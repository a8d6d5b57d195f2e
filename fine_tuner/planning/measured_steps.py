"""Real training steps, timed and with their peak of memory; for choosing by measurement. Nothing is kept of them."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from fine_tuner.distributed.device_memory import memory_counter
from fine_tuner.distributed.devices import finish
from fine_tuner.memory.readings import MIB, process_mib
from fine_tuner.models.outputs import loss_of_outputs, split_outputs
from fine_tuner.tasks.build import Assembly

OnMeasured = Callable[[int, int, str], None]
"""Told what is done, of how much, and what of."""

WARM_UP = 2
_SAMPLE_SECONDS = 0.005


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """What steps cost.

    Attributes:
        images_per_second: Of the steps after the first ones.
        peak_mib: Memory reserved for tensors where a device counts its own, else the process.
        step_seconds: The median step.
    """

    images_per_second: float
    peak_mib: float
    step_seconds: float


MicroBatch = tuple[Tensor, Tensor]


def take_batches(assembly: Assembly, count: int) -> list[MicroBatch]:
    """The first micro-batches of a run, read and augmented."""
    return list(islice(assembly.train_batches.starting_at(0), count))


def measure_steps(
    assembly: Assembly,
    batches: list[MicroBatch],
    *,
    steps: int = 6,
    with_evaluation: bool = False,
    on_step: Callable[[int], None] = lambda done: None,
) -> Measurement:
    """Train ``steps`` steps on the batches in turn, each of one micro-batch, with everything thawed that ever trains.

    Args:
        assembly: Its network and optimizer are changed.
        batches: Micro-batches, at least one; copied to the device in each step as in training.
        steps: Timed steps; ``WARM_UP`` more come before.
        with_evaluation: One batch is evaluated after them, so that its memory counts.
        on_step: Told how many steps are done.
    """
    assembly.freezing.set_epoch(sys.maxsize)
    seconds = []
    with watched_peak(assembly.device) as peak:
        for i in range(WARM_UP + steps):
            begun = time.perf_counter()
            train_step(assembly, *batches[i % len(batches)])
            finish(assembly.device)
            if i >= WARM_UP:
                seconds.append(time.perf_counter() - begun)
            on_step(i + 1)
        if with_evaluation:
            _evaluate(assembly, *batches[0])
    seconds.sort()
    median = seconds[len(seconds) // 2]
    return Measurement(images_per_second=len(batches[0][1]) / median, peak_mib=peak(), step_seconds=median)


def train_step(assembly: Assembly, images: Tensor, targets: Tensor) -> None:
    """One step as the trainer makes it, without its log."""
    device, precision = assembly.device, assembly.precision
    assembly.freezing.set_train_mode()
    images, targets = images.to(device, non_blocking=True), targets.to(device, non_blocking=True)
    with precision.autocast():
        output = assembly.model(images)
    precision.backward(loss_of_outputs(output, targets, assembly.loss_fn))
    precision.step(assembly.optimizer, clip_norm=assembly.settings.optim.clip_norm)


@torch.inference_mode()
def _evaluate(assembly: Assembly, images: Tensor, targets: Tensor) -> None:
    assembly.model.eval()
    with assembly.precision.autocast():
        logits, _ = split_outputs(assembly.model(images.to(assembly.device)))
    assembly.loss_fn(logits.float(), targets.to(assembly.device))
    finish(assembly.device)


@contextmanager
def watched_peak(device: torch.device) -> Iterator[Callable[[], float]]:
    """Follow memory; yields a function that tells its peak so far, MiB."""
    if (counter := memory_counter(device)) is not None:
        counter.reset_peak_memory_stats(device)
        yield lambda: counter.max_memory_reserved(device) / MIB
        return
    read = (lambda: torch.mps.driver_allocated_memory() / MIB) if device.type == "mps" else process_mib
    peak = [read()]
    done = threading.Event()

    def follow() -> None:
        while not done.wait(_SAMPLE_SECONDS):
            peak[0] = max(peak[0], read())

    thread = threading.Thread(target=follow, name="peak", daemon=True)
    thread.start()
    try:
        yield lambda: max(peak[0], read())
    finally:
        done.set()
        thread.join()
