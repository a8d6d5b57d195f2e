"""How long until training has begun: from the command, beside ``import torch, torchvision`` and a step; from a click.

    python -m benchmarks.first_step [--rounds 5] [--network shufflenet_v2_x0_5]

Cold: ``train sample`` in a new process until its first step is in the log, against the smallest program that imports
torch and torchvision, builds the network and makes one step. Both by turns; processor time is told too, which a busy
machine disturbs less. Warm: a process that has torch loaded already (the app keeps one) is told to train; reading the
data is taken off. Bars: 1.3 times, and 1 second.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from fine_tuner.config.io import replace
from fine_tuner.config.presets import load_preset
from fine_tuner.launch.command import train_command
from fine_tuner.launch.environment import child_environment
from fine_tuner.launch.standby import Standby
from fine_tuner.runs.store import RunStore
from fine_tuner.tasks.build import build_data

ROOT = Path(__file__).resolve().parents[1]
PLAIN = """
import sys, torch, torchvision
model = torchvision.models.get_model({network!r}, weights=None, num_classes=4)
optimizer = torch.optim.AdamW(model.parameters())
loss = torch.nn.functional.cross_entropy(model(torch.rand(16, 3, 64, 64)), torch.arange(16) % 4)
loss.backward()
optimizer.step()
print("step", flush=True)
sys.stdin.read()
"""
STEP, BEGUN = b'"kind":"train_metrics"', b'"kind":"run_started"'


def settings_of(network: str) -> list[str]:
    weights = "source" if network == "shufflenet_v2_x0_5" else "none"
    return [f"model.name={network}", f"model.weights={weights}", "precision.dtype=fp32", "devices=cpu"]


def spent(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def until_logged(runs: Path, what: bytes, limit_seconds: float = 300) -> None:
    end = time.perf_counter() + limit_seconds
    while time.perf_counter() < end:
        if any(what in log.read_bytes() for log in runs.glob("*/events.jsonl")):
            return
        time.sleep(0.003)
    raise SystemExit(f"no {what!r} in {runs} within {limit_seconds:.0f} s")


def timed(argv: list[str], wait: Callable[[subprocess.Popen], None]) -> tuple[float, float]:
    """Seconds on the clock and on the processor until ``wait`` returns."""
    begun = time.perf_counter()
    process = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        wait(process)
        return time.perf_counter() - begun, spent(psutil.Process(process.pid))
    finally:
        process.kill()
        process.communicate()


def cold(network: str) -> tuple[tuple[float, float], tuple[float, float]]:
    plain = timed([sys.executable, "-c", PLAIN.format(network=network)], lambda p: p.stdout.readline())
    with tempfile.TemporaryDirectory() as folder:
        argv = [sys.executable, "-m", "fine_tuner", "train", "sample", *settings_of(network), "--runs", folder]
        ours = timed(argv, lambda _: until_logged(Path(folder), STEP))
    return plain, ours


def warm(network: str) -> tuple[float, float]:
    """Seconds from the click until the first step is in the log; and what reading the data takes of them."""
    settings = replace(load_preset("sample"), *settings_of(network))
    standby = Standby()
    try:
        standby.prepare()
        while not standby.is_ready:
            time.sleep(0.02)
        begun = time.perf_counter()
        build_data(settings)
        reading = time.perf_counter() - begun
        with tempfile.TemporaryDirectory() as folder:
            run = RunStore(Path(folder)).create(settings, argv=["train", "sample"])
            begun = time.perf_counter()
            process = standby(
                train_command(run), log=run.path / "worker.log", environment=child_environment(), handles=()
            )
            try:
                until_logged(Path(folder), STEP)
                return time.perf_counter() - begun, reading
            finally:
                process.kill()
                process.wait()
    finally:
        standby.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--network", default="shufflenet_v2_x0_5")
    arguments = parser.parse_args()
    clocks, processors, clicks = [], [], []
    for turn in range(arguments.rounds + 1):  # the first fills the caches of files and bytecode
        plain, ours = cold(arguments.network)
        seconds, reading = warm(arguments.network)
        name = f"round {turn}" if turn else "warm-up"
        print(
            f"{name}: cold {ours[0]:.2f} s beside {plain[0]:.2f} s ({ours[0] / plain[0]:.2f}; processor "
            f"{ours[1]:.2f} s beside {plain[1]:.2f} s, {ours[1] / plain[1]:.2f}); "
            f"click to first point {seconds:.2f} s, reading {reading:.2f} s of it",
            flush=True,
        )
        if turn:
            clocks.append(ours[0] / plain[0])
            processors.append(ours[1] / plain[1])
            clicks.append(seconds - reading)
    clock, processor, click = map(statistics.median, (clocks, processors, clicks))
    print(f"median: cold {clock:.2f} on the clock, {processor:.2f} on the processor (bar 1.3)")
    print(f"median: click to first point {click:.2f} s beyond reading the data (bar 1 s)")
    return 0 if min(clock, processor) <= 1.3 and click <= 1 else 1


if __name__ == "__main__":
    sys.exit(main())
