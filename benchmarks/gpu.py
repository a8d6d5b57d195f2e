"""Everything that needs a GPU, in one command of under ten minutes: one line for each check, with its numbers.

    python benchmarks/gpu.py                     # on the first CUDA device: resnet50, 224 px
    python benchmarks/gpu.py --device cpu        # the same checks at sizes of a toy, to see that they work

Throughput and half precision (compute-only and end to end), memory forecast against the measured peak, recovery from
out-of-memory and from NaN, ``torch.compile``, and resume against an uninterrupted run. Each is a command of the program
in a process of its own. Exit code 1 if a check fails.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torchvision
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parents[1]
NAN_ONCE = """
import torch
from torch.nn import functional as F
calls = 0


def my_loss(output, target):
    global calls
    calls += torch.is_grad_enabled()
    loss = F.cross_entropy(output, target)
    return loss * float("nan") if calls == 5 and torch.is_grad_enabled() else loss
"""


TOO_MUCH = """
import torch
from torch.nn import functional as F


def my_loss(output, target):
    if len(target) > 8 and torch.is_grad_enabled():
        raise torch.OutOfMemoryError("out of memory")
    return F.cross_entropy(output, target)
"""


@dataclass(frozen=True)
class Bench:
    """Where the checks run and how large they are."""

    device: str
    folder: Path
    settings: tuple[str, ...]
    steps: int

    def command(self, *argv: str, before: str = "pass") -> subprocess.CompletedProcess[str]:
        """Run a command of the program, after a statement."""
        code = f"import sys; {before}; from fine_tuner.cli.main import main; sys.exit(main({list(argv)!r}))"
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=300)

    def answer(self, *argv: str) -> dict[str, Any]:
        """What a command prints as JSON."""
        done = self.command(*argv, "--json")
        if done.returncode:
            raise RuntimeError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"{argv[0]} failed")
        return json.loads(done.stdout.splitlines()[-1])

    def train(self, name: str, *overrides: str, before: str = "pass") -> Path:
        """Train on the sample; the run's folder."""
        runs = self.folder / name
        done = self.command("train", "sample", *self.settings, *overrides, "--runs", str(runs), before=before)
        if done.returncode:
            raise RuntimeError((done.stderr.strip() or done.stdout.strip()).splitlines()[-1])
        return next(runs.glob("*/config.yaml")).parent

    def extend(self, run: Path, epochs: int) -> None:
        """Train a run on in another process."""
        done = self.command("extend", str(run), str(epochs), "--runs", str(run.parent))
        if done.returncode:
            raise RuntimeError(done.stderr.strip().splitlines()[-1])


def events(run: Path, kind: str) -> list[dict[str, Any]]:
    lines = (run / "events.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["kind"] == kind]


def losses(run: Path) -> list[float]:
    return [event["metrics"]["train/loss"] for event in events(run, "train_metrics")]


# ------------------------------------------------------------------ the checks
def compute_only(bench: Bench) -> tuple[bool, str]:
    """Each precision's steps on resident batches, and the forecast of each peak."""
    result = bench.answer("compare-precisions", "sample", *bench.settings, "--steps", str(bench.steps))
    rows = {row["variant"]: row["images_per_second"] or 0.0 for row in result["rows"]}
    plain = rows["fp32"] or 1.0
    return all(rows.values()), ", ".join(f"{name} {s:.0f}/s ({s / plain:.2f}x)" for name, s in rows.items())


def end_to_end(bench: Bench) -> tuple[bool, str]:
    """A run as the page sets it, beside the fastest compute-only speed."""
    best = bench.answer("compare-precisions", "sample", *bench.settings, "--steps", str(bench.steps))
    run = bench.train("end-to-end", "precision.dtype=auto", "train.epochs=2")
    steps = [e["metrics"]["train/images_per_second"] for e in events(run, "train_metrics")]
    speed, limit = (
        statistics.median(steps[len(steps) // 2 :]),
        max(row["images_per_second"] or 0 for row in best["rows"]),
    )
    (begun,) = events(run, "run_started")
    return True, f"{speed:.0f}/s in {begun['facts']['precision']}, {speed / limit:.2f} of compute-only {limit:.0f}/s"


def half_precision(bench: Bench) -> tuple[bool, str]:
    """Loss of the same run in each precision."""
    wanted = ("fp32", "bf16", "fp16") if bench.device != "cpu" else ("fp32", "bf16")
    last = {d: statistics.mean(losses(bench.train(d, f"precision.dtype={d}", "train.epochs=1"))[-4:]) for d in wanted}
    spread = max(last.values()) - min(last.values())
    return spread < 0.15, ", ".join(f"{dtype} {loss:.3f}" for dtype, loss in last.items()) + " (mean of last 4 losses)"


def memory_forecast(bench: Bench) -> tuple[bool, str]:
    """Forecast over the measured peak of the tensors; the process is left out on a CPU, where it is most of it."""
    result = bench.answer("compare-precisions", "sample", *bench.settings, "--steps", "2")
    words, ratios = [], []
    for row in result["rows"]:
        if row["is_channels_last"] or not row["peak_mib"]:
            continue
        plan = bench.answer("plan", "sample", *bench.settings, f"precision.dtype={row['dtype']}")
        ratios.append(plan["memory"]["expected_mib"] / row["peak_mib"])
        words.append(f"{row['dtype']} {plan['memory']['expected_mib']:.0f} / {row['peak_mib']:.0f} MiB")
    return all(0.8 < ratio < 1.3 for ratio in ratios), ", ".join(words)


def out_of_memory(bench: Bench) -> tuple[bool, str]:
    """A run on a device with too little memory goes on in smaller parts; on a CPU the loss says that it ran out."""
    if bench.device == "cpu":
        loss = bench.folder / "too_much.py"
        loss.write_text(TOO_MUCH)
        run = bench.train(
            "memory",
            "loss.name=custom",
            f"loss.file={loss}",
            "loss.unchecked=true",
            "train.epochs=1",
            "precision.dtype=fp32",
        )
    else:
        plan = bench.answer("plan", "sample", *bench.settings, "precision.dtype=fp32")
        share = 0.6 * plan["memory"]["expected_mib"] / plan["memory"]["limit_mib"]
        before = f"import torch; torch.cuda.set_per_process_memory_fraction({share:.4f})"
        run = bench.train("memory", "train.epochs=1", "precision.dtype=fp32", before=before)
    shrunk = [e["changes"]["micro_batch"] for e in events(run, "mark") if "micro_batch" in (e.get("changes") or {})]
    return bool(shrunk), f"completed with {shrunk[-1] if shrunk else 'all'} images at a time"


def not_a_number(bench: Bench) -> tuple[bool, str]:
    """A loss that is NaN once: the run goes back and on."""
    loss = bench.folder / "nan_once.py"
    loss.write_text(NAN_ONCE)
    run = bench.train(
        "nan", "loss.name=custom", f"loss.file={loss}", "loss.unchecked=true", "train.epochs=1", "precision.dtype=fp32"
    )
    marks = [e for e in events(run, "mark") if "rollbacks" in (e.get("changes") or {})]
    return len(marks) == 1, f"completed with {len(marks)} way back"


def compiled(bench: Bench) -> tuple[bool, str]:
    """Steps of a compiled network beside those of the plain one; the first steps compile and are left out."""
    speeds = {}
    for switch in ("false", "true"):
        run = bench.train(f"compile-{switch}", f"precision.compile={switch}", "precision.dtype=fp32", "train.epochs=2")
        steps = [e["metrics"]["train/images_per_second"] for e in events(run, "train_metrics")]
        speeds[switch] = statistics.median(steps[len(steps) // 2 :])
    return True, f"{speeds['true']:.0f}/s beside {speeds['false']:.0f}/s ({speeds['true'] / speeds['false']:.2f}x)"


def resumed(bench: Bench) -> tuple[bool, str]:
    """Two epochs at once, and one after the other in two processes: the same numbers."""
    fixed = ("precision.dtype=fp32", "schedule.name=ConstantLR", "train.keep_checkpoints=1")
    whole = bench.train("whole", *fixed, "train.epochs=2")
    parts = bench.train("parts", *fixed, "train.epochs=1")
    bench.extend(parts, 2)
    a, b = (load_file(max(run.glob("checkpoints/step-*")) / "model.safetensors") for run in (whole, parts))
    apart = max(float((a[name].double() - b[name].double()).abs().max()) for name in a)
    limit = 0 if bench.device == "cpu" else 1e-3  # some kernels of a GPU add up in any order
    return apart <= limit, f"largest difference of a weight {apart:.1e}"


CHECKS: Sequence[Callable[[Bench], tuple[bool, str]]] = (
    compute_only, end_to_end, half_precision, memory_forecast, out_of_memory, not_a_number, resumed, compiled,
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--only", nargs="+", metavar="CHECK", help="names of functions above")
    arguments = parser.parse_args()
    is_toy = arguments.device == "cpu"
    name = platform.processor() or "CPU" if is_toy else torch.cuda.get_device_name(arguments.device)
    print(f"{name}, torch {torch.__version__}, torchvision {torchvision.__version__}, {time.strftime('%Y-%m-%d')}")
    size = ("model.name=shufflenet_v2_x0_5", "data.image_size=32", "train.batch_size=32", "data.num_workers=0")
    if not is_toy:
        size = ("model.name=resnet50", "data.image_size=224", "train.batch_size=32")
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        settings = (*size, "model.weights=none", f"devices={arguments.device}")
        bench = Bench(device=arguments.device, folder=Path(folder), settings=settings, steps=2 if is_toy else 30)
        for check in CHECKS:
            if arguments.only and check.__name__ not in arguments.only:
                continue
            begun = time.perf_counter()
            try:
                is_good, words = check(bench)
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                is_good, words = False, str(error)
            failed += not is_good
            print(
                f"{'ok' if is_good else 'FAILED':6} {check.__name__:16} {time.perf_counter() - begun:5.0f} s  {words}",
                flush=True,
            )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
