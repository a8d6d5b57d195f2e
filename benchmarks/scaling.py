"""Images per second of one process with two cores, one with one, two with one each; and, on paper, of many GPUs.

    python benchmarks/scaling.py [--rounds 3] [--network resnet18] [--paper]

Measured: the command line trains the sample with the same images in a step, by turns; medians, and ratios to one
process with two cores. On paper: a ring all-reduce of ``b`` bytes over ``n`` devices sends ``2 (n - 1) / n * b`` over
each link (Patarasuk and Yuan 2009), and DistributedDataParallel hides all but the last bucket behind the backward pass
(Li et al. 2020, https://arxiv.org/abs/2006.15704). What the table rests on is below; put in your own numbers.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from fine_tuner.runs.log.events import TrainMetrics, read_events

ROOT = Path(__file__).resolve().parents[1]
WAYS = {
    "1 process, 2 cores": ("cpu", 32, 2),
    "1 process, 1 core": ("cpu", 32, 1),
    "2 processes, 1 core each": ("cpu:2", 16, 1),
}
SKIPPED = 4  # first steps: buckets are arranged, memory is taken

# resnet50: 25.6 million parameters (torchvision). 2,500 images/s is what an H100 trains in bf16 (NVIDIA's published
# ResNet-50 results are of that order); a backward pass takes two thirds of a step.
PARAMETERS, IMAGES_PER_SECOND, BATCH, BACKWARD = 25.6e6, 2500.0, 256, 2 / 3
# Bytes a second and direction, and seconds for each hop: NVLink 4 (450 GB/s), InfiniBand NDR (50 GB/s a GPU), 25 GbE.
LINKS = {"NVLink 4": (450e9, 3e-6), "InfiniBand NDR": (50e9, 5e-6), "25 Gbit Ethernet": (3.1e9, 3e-5)}


def measured(way: str, network: str) -> float:
    devices, batch_size, cores = WAYS[way]
    every = sorted(os.sched_getaffinity(0))[:2]
    with tempfile.TemporaryDirectory() as runs:
        subprocess.run(
            [
                *("taskset", "-c", ",".join(map(str, every[: 1 if way == "1 process, 1 core" else 2]))),
                *(sys.executable, "-m", "fine_tuner", "train", "sample-random", f"devices={devices}", "--runs", runs),
                *(f"model.name={network}", "train.epochs=1", f"train.batch_size={batch_size}", "data.num_workers=0"),
                *("precision.dtype=fp32", "precision.channels_last=off"),
            ],
            check=True,
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            env=os.environ | {"OMP_NUM_THREADS": str(cores)},
        )
        (log,) = Path(runs).glob("*/events.jsonl")
        steps = [e.payload for e in read_events(log)[0] if isinstance(e.payload, TrainMetrics)]
    return statistics.median(s.metrics["train/images_per_second"] for s in steps[SKIPPED:])


def efficiency(devices: int, link: str, *, bytes_each: int, bucket_mib: float) -> float:
    """Share of a step that computes."""
    bandwidth, latency = LINKS[link]
    step, total = BATCH / IMAGES_PER_SECOND, PARAMETERS * bytes_each
    buckets = max(1.0, total / (bucket_mib * 2**20))
    ring = 2 * (devices - 1) / devices * total / bandwidth + buckets * 2 * (devices - 1) * latency
    last = ring / buckets
    hidden = step * BACKWARD * (1 - 1 / buckets)  # the first bucket is ready only when its gradients are
    return step / (step + max(last, ring - hidden))


def paper() -> None:
    print(f"resnet50, {BATCH} images a GPU at {IMAGES_PER_SECOND:.0f} images/s; efficiency at 8, 64 and 512 GPUs")
    print(f"{'link':20}{'gradients':12}{'bucket MiB':>12}{'8':>8}{'64':>8}{'512':>8}")
    for link in LINKS:
        for name, size in {"fp32": 4, "bf16 hook": 2}.items():
            for bucket in (1, 25, 100):
                shares = [efficiency(n, link, bytes_each=size, bucket_mib=bucket) for n in (8, 64, 512)]
                print(f"{link:20}{name:12}{bucket:>12}" + "".join(f"{share:>8.1%}" for share in shares))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--network", default="resnet18")
    parser.add_argument("--paper", action="store_true", help="the table on paper alone")
    arguments = parser.parse_args()
    if not arguments.paper:
        found: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(arguments.rounds):
            for way in WAYS:
                found[way].append(measured(way, arguments.network))
        medians = {way: statistics.median(values) for way, values in found.items()}
        base = next(iter(medians.values()))
        for way, value in medians.items():
            print(f"{way:28}{value:8.1f} images/s {value / base:6.2f}")
    paper()


if __name__ == "__main__":
    main()
