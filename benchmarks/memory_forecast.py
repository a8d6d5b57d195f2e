"""The forecast of a step's memory beside what a real step on the CPU keeps for backward, and beside a real peak.

    python -m benchmarks.memory_forecast [--networks resnet18 ...] [--batches 4 8] [--json FILE]

For each network, precision and batch size: bytes saved for backward by a real forward pass with its loss (each storage
once, weights not counted), the same as forecast, and their ratio; and the seconds that the forecast took. Saved bytes
are what a GPU would hold too; what its libraries take besides is not measured here.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from fine_tuner.memory.step_memory import Situation, step_memory
from fine_tuner.models.build import BuiltModel, build_model
from fine_tuner.models.outputs import loss_of_outputs
from fine_tuner.precision import Precision

MIB = 2**20
NETWORKS = (
    *("resnet18", "alexnet", "vgg16", "squeezenet1_0", "densenet161", "inception_v3", "googlenet"),
    *("shufflenet_v2_x1_0", "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small", "resnext50_32x4d"),
    *("wide_resnet50_2", "mnasnet1_0"),
)


class CrossEntropy(nn.Module):
    """The default loss, without settings."""

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Scalar."""
        return F.cross_entropy(logits.float(), targets)


def measured_mib(built: BuiltModel, dtype: str, batch_size: int) -> float:
    """What a real forward pass keeps for backward, MiB."""
    size = built.preprocessing.image_size
    images, targets = torch.randn(batch_size, 3, size, size), torch.arange(batch_size) % built.num_outputs
    model = built.model.train()
    known = {t.untyped_storage().data_ptr() for t in (images, targets, *model.parameters(), *model.buffers())}
    kept: dict[int, torch.Tensor] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in known:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        with Precision(dtype, torch.device("cpu")).autocast():
            output = model(images)
        loss_of_outputs(output, targets, CrossEntropy())
    return sum(t.untyped_storage().nbytes() for t in kept.values()) / MIB


def compare(name: str, batches: list[int]) -> list[dict[str, float | str]]:
    """The rows of one network."""
    built = build_model(name, task="classification", num_outputs=10, weights="none")
    rows = []
    for dtype in ("fp32", "bf16"):
        about = Situation(
            name=name, num_outputs=10, options=tuple(sorted(built.options.items())), stages=tuple(built.stages),
            image_size=built.preprocessing.image_size, task="classification", trainable="all", dtype=dtype,
        )  # fmt: skip
        begun, cpu_begun = time.perf_counter(), time.process_time()
        memory = step_memory(about, CrossEntropy())
        seconds, cpu_seconds = time.perf_counter() - begun, time.process_time() - cpu_begun
        for batch_size in batches:
            forecast = (batch_size * (memory.kept_per_image - memory.image) + memory.kept) / MIB
            measured = measured_mib(built, dtype, batch_size)
            gc.collect()
            ratio = forecast / measured
            row = {"network": name, "dtype": dtype, "batch": batch_size, "forecast_mib": round(forecast, 1)}
            row |= {"measured_mib": round(measured, 1), "ratio": round(ratio, 4), "seconds": round(seconds, 2)}
            rows.append(row | {"cpu_seconds": round(cpu_seconds, 2)})
            sys.stdout.write("".join(f"{value!s:>{20 if key == 'network' else 10}}" for key, value in rows[-1].items()))
            sys.stdout.write("\n")
            sys.stdout.flush()
    return rows


def main() -> None:
    """Measure, and name the worst case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--batches", nargs="+", type=int, default=[4, 8])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = [row for name in arguments.networks for row in compare(name, arguments.batches)]
    worst = max(rows, key=lambda row: abs(row["ratio"] - 1))
    slowest = max(rows, key=lambda row: row["seconds"])
    sys.stdout.write(f"worst: {worst}\nslowest forecast: {slowest['network']} {slowest['seconds']} s\n")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
