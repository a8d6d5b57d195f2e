"""Answers of the command line as the page gets them, without torch: for tests of what the page does with them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image

from fine_tuner.data.readers.recognise import look_into
from fine_tuner.launch.assistant import Reply

T = TypeVar("T")
NETWORKS = [
    {
        "name": name, "family": family, "parameters": parameters, "gflops": gflops, "size_mib": size, "top1": top1,
        "miou": None, "image_size": 224, "min_size": 32,
        "weights": [
            {"name": "IMAGENET1K_V1", "file_name": f"{name}-1234abcd.pth", "size_mib": size, "top1": top1, "miou": None,
             "is_default": True, "is_cached": False}
        ],
    }
    for name, family, parameters, gflops, size, top1 in (
        ("resnet18", "resnet", 11_689_512, 1.814, 44.661, 69.758),
        ("resnet50", "resnet", 25_557_032, 4.089, 97.79, 80.858),
        ("mobilenet_v2", "mobilenetv2", 3_504_872, 0.301, 13.555, 72.154),
        ("shufflenet_v2_x0_5", "shufflenetv2", 1_366_792, 0.04, 5.282, 60.552),
    )
]  # fmt: skip
PLAN = {
    "task": "classification", "device": "CPU", "device_type": "cpu", "precision": "fp32", "weights": "none",
    "model": "shufflenet_v2_x0_5",
    "parameters": 345_892, "trainable_parameters": 345_892, "image_size": 64, "data": "made-up pictures",
    "classes": ["flower", "leaf"], "train_images": 512, "val_images": 128, "global_batch_size": 32, "notices": [],
    "groups": ["head", "backbone"], "epochs": 10, "steps_per_epoch": 16, "total_steps": 160,
    "schedule": {"steps": [1, 80, 160], "groups": {"head": [1e-4, 3e-3, 0.0], "backbone": [1e-5, 3e-4, 0.0]}},
    "precision_reason": "as set", "precision_support": "This processor has instructions for bf16.",
    "stages": [{"name": "stem", "parameters": 696, "lr": None}, {"name": "head", "parameters": 4100, "lr": 3e-3}],
}  # fmt: skip

_PARTS = {
    "weights": 1.4,
    "gradients": 0.3,
    "optimizer": 2.6,
    "activations": 300.0,
    "workspace": 40.0,
    "evaluation": 0.0,
}
MEMORY = {
    "dtype": "fp32", "parts": _PARTS | {"total": 344.3}, "base_mib": 650.0, "total_mib": 994.3, "fits": True,
    "largest_batch_size": 512, "limit_mib": 24_000, "used_mib": 3000, "expected_mib": 994, "device": "CPU",
    "words": "Fits. At most 512 images at a time.", "compared": "bf16 takes 160 MiB less than fp32.",
    "other": {
        "dtype": "bf16", "parts": _PARTS | {"activations": 140.0, "total": 184.3}, "base_mib": 650.0,
        "total_mib": 834.3, "fits": True, "largest_batch_size": 512,
    },
}  # fmt: skip
COMPARED = {
    "rows": [
        {"variant": "fp32", "images_per_second": 100.0, "peak_mib": 900, "problem": None},
        {"variant": "bf16 channels-last", "images_per_second": 150.0, "peak_mib": 700, "problem": None},
        {"variant": "fp16", "images_per_second": None, "peak_mib": None, "problem": "out of memory"},
    ],
    "fastest": "bf16 channels-last", "words": "bf16 channels-last is the fastest: 150.0 images/s, 1.50 times fp32.",
    "suggestion": {"precision.dtype": "bf16", "precision.channels_last": "on"},
}  # fmt: skip


FORMS = [
    {"inputs": "as_is", "name": "logits and class numbers", "output": "(4, 2) float32: 0.1, -0.2",
     "target": "(4) int64: 1"},
    {"inputs": "probs_one_hot", "name": "probabilities and one-hot targets", "output": "(4, 2) float32: 0.57, 0.43",
     "target": "(4, 2) float32: 0, 1"},
]  # fmt: skip


def in_a_loop(make: Callable[[], T]) -> T:
    """Result of ``make()`` called inside an event loop: where none runs, Gradio makes one that nobody closes."""

    async def call() -> T:
        return make()

    with ThreadPoolExecutor(1) as thread:  # of its own: the browser's tests have a loop in theirs
        return thread.submit(lambda: asyncio.run(call())).result()


class Canned:
    """The command line's answers; ``asked`` holds what was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def __call__(self, argv: Sequence[str]) -> Reply:
        """Answer as ``python -m fine_tuner ARGV --json`` would."""
        self.asked.append(list(argv))
        match argv[0]:
            case "plan":
                return _plan(argv)
            case "compare-precisions":
                return printed(COMPARED)
            case "list":
                return printed({"models": NETWORKS})
            case "recognise":
                task, layout = ("segmentation", "masks") if "masks" in argv[1] else ("classification", "classes")
                known = {"words": "pictures", "notices": [], "findings": [], "can_train": True}
                return printed({"path": argv[1], "task": task, "tasks": [task], "layout": layout, **known})
            case "loss-curve":
                return printed(_curve(argv))
            case "loss-inputs":
                return printed({"task": "classification", "forms": FORMS})
            case "preview-data" | "explain" | "predict":
                return printed(_pictures(argv))
        return Reply(1, "", f"Traceback\nnothing canned for {argv[0]}")


def _plan(argv: Sequence[str]) -> Reply:
    """The same of whatever data, but for folders and batches that are refused by name."""
    place = next((word.partition("=")[2] for word in argv if word.startswith("data.path=")), "")
    if "one-class" in place:
        return refused("DataError", "one-class has one class only. Add a folder for each other class.")
    if place.endswith("/videos"):
        return refused("DataError", str(look_into(Path(place)).nothing()))
    if any("batch_size=9999" in word for word in argv):
        words = "Does not fit. 9999 images would take about 40.0 GiB, and CPU has 23.4. Choose at most 512."
        return printed(PLAN | {"memory": MEMORY | {"fits": False, "words": words, "total_mib": 40_000.0}})
    devices = [f"CUDA card {index}" for index in range(3)] if "seed=22" in argv else []
    return printed(PLAN | {"memory": MEMORY, "devices": devices})


def _curve(argv: Sequence[str]) -> dict[str, Any]:
    """A straight line for whatever loss is named."""
    name = next((word.partition("=")[2] for word in argv if word.startswith("loss.name=")), "cross_entropy")
    height = float(next((word.partition("=")[2] for word in argv if word.startswith("loss.gamma=")), "1"))
    panel = {
        "key": "probability", "x_label": "Probability of the right answer", "x": [0.1, 0.5, 0.9],
        "value_label": "Loss", "value": [0.9 * height, 0.5 * height, 0.1 * height],
        "gradient_label": "Gradient by its logit", "gradient": [-1.0, -1.0, -1.0],
    }  # fmt: skip
    source = "Somebody 1999, https://example.org/paper"
    return {"name": name, "task": "classification", "formula": f"{name} of p", "source": source, "panels": [panel]}


def printed(value: Any) -> Reply:
    return Reply(0, json.dumps(value) + "\n", "")


def refused(kind: str, message: str) -> Reply:
    return Reply(2, json.dumps({"error": {"kind": kind, "message": message, "fields": {}}}) + "\n", message + "\n")


def _pictures(argv: Sequence[str]) -> dict[str, Any]:
    if argv[0] == "predict":
        prediction = {"image": argv[2], "label": "ants", "probabilities": {"ants": 0.75, "bees": 0.25}}
        return {"run": argv[1], "weights": {"epoch": 3}, "predictions": [prediction]}
    folder = Path(argv[argv.index("--out") + 1])
    if argv[0] == "preview-data":
        return {"images": [_picture(folder)]}
    files = {name: _picture(folder, f"{name}.png")["file"] for name in ("heat", "seen")}
    return {"name": "ants", "names": ["ants", "bees", "wasps"], **files}


def _picture(folder: Path, name: str = "00.png") -> dict[str, str]:
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), "teal").save(folder / name)
    return {"file": str(folder / name), "label": "leaf"}
