"""Training end to end beside compute only: the same network, batch, precision and memory format, in one process.

    python -m benchmarks.throughput --data FOLDER [--network resnet18 resnet50 mobilenet_v3_small] [--set KEY=VALUE ...]

*Compute only* trains on one batch that is there already; *end to end* reads, decodes, augments and trains as a run
does. Both are measured by turns, so that a busy machine treats them alike; the last number is the median of the ratios.
Beside it stands the ratio of the processor time, that of loading processes included, which other work changes little.
The bar is 0.95, and 0.90 for mobilenet_v3_small (design, section 7).
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Iterator
from typing import Any

import psutil
import torch
import torchvision

from fine_tuner.config.io import replace
from fine_tuner.config.presets import load_preset
from fine_tuner.planning.measured_steps import train_step
from fine_tuner.tasks.build import Assembly, assemble, build_data

BARS = {"mobilenet_v3_small": 0.90}


def processor_seconds() -> float:
    """Of this process and of its loading processes."""
    me = psutil.Process()
    times = [process.cpu_times() for process in (me, *me.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def paces(assembly: Assembly, batches: Iterator[Any], steps: int) -> tuple[float, float]:
    """Images per second over ``steps`` batches: on the clock, and of processor time."""
    begun, busy, images = time.perf_counter(), processor_seconds(), 0
    for _ in range(steps):
        batch = next(batches)
        train_step(assembly, *batch)
        images += len(batch[1])
    if assembly.device.type == "cuda":
        torch.cuda.synchronize()
    return images / (time.perf_counter() - begun), images / (processor_seconds() - busy)


def resident(batch: Any) -> Iterator[Any]:
    """The same batch for ever."""
    while True:
        yield batch


def measure(network: str, asked: argparse.Namespace) -> tuple[float, float, float, float, str]:
    """Medians of end to end, compute only, their ratio and that of the processor time, and the precision."""
    words = ["task=classification", f"data.path={asked.data}", f"model.name={network}", "model.weights=none"]
    words += ["train.batch_size=16", "train.epochs=100", "data.image_size=224", *asked.set]
    settings = replace(load_preset("default"), *words)
    with assemble(settings, build_data(settings), may_measure=True) as assembly:
        stream = assembly.train_batches.starting_at(0)
        batch = next(stream)
        still = resident(batch)
        warm_up = max(2, assembly.train_batches.per_epoch if asked.whole_epoch_first else 2)
        paces(assembly, stream, warm_up)
        pairs = [
            (paces(assembly, stream, asked.steps), paces(assembly, still, asked.steps)) for _ in range(asked.rounds)
        ]
        precision = assembly.precision
        said = precision.dtype + (" channels-last" if precision.is_channels_last else "")
    ours, limit = (statistics.median(pair[i][0] for pair in pairs) for i in (0, 1))
    on_clock, of_processor = (statistics.median(a[i] / b[i] for a, b in pairs) for i in (0, 1))
    return ours, limit, on_clock, of_processor, said


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder with train/ and val/ of class folders")
    parser.add_argument("--network", nargs="+", default=["resnet18", "resnet50", "mobilenet_v3_small"])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--whole-epoch-first", action="store_true", help="begin to measure with the second epoch")
    parser.add_argument("--set", nargs="*", default=[], help="settings, such as precision.dtype=fp32")
    asked = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    print(f"{platform.machine()}, {cores} cores, torch {torch.__version__}, torchvision {torchvision.__version__}")
    misses = 0
    for network in asked.network:
        ours, limit, ratio, of_processor, precision = measure(network, asked)
        bar = BARS.get(network, 0.95)
        misses += ratio < bar
        print(f"{network}, {precision}: end to end {ours:.1f} images/s, compute only {limit:.1f}, "
              f"{ratio:.2f} (bar {bar:.2f}); processor time {of_processor:.2f}", flush=True)  # fmt: skip
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main())
