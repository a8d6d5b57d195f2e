"""Our command beside the loop of PyTorch's transfer-learning tutorial: time of the whole command, and accuracy.

    python benchmarks/tutorial.py --data FOLDER --network mobilenet_v2 --weights FILE [--trainable head] [--seeds 5]
    python benchmarks/tutorial.py --data FOLDER --network resnet18 --trainable all [--epochs 3]

The loop is the public one (https://docs.pytorch.org/tutorials/beginner/transfer_learning_tutorial.html): SGD at 0.001
with momentum 0.9, StepLR(7, 0.1), batches of 4, RandomResizedCrop and flip, 25 epochs, best weights by validation
accuracy. Both are started by turns, one process each, so that a busy machine treats them alike; beside the wall time
stands the processor time of each command with its loading processes, which other work on the machine changes little.
``--loop-epochs`` times fewer epochs of the loop and counts the others at the median of those, for it takes minutes
where ours takes seconds; its accuracy is then left out. Images per second are those of a whole epoch, training and
validation, as the median epoch has them.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn, optim
from torch.optim import lr_scheduler
from torchvision import datasets, models, transforms

ROOT = Path(__file__).resolve().parents[1]
EPOCHS = 25
BARS = {"head": ("wall", 20.0), "all": ("images_per_second", 2.4)}


def tutorial_loop(data: Path, network: str, weights: Path | None, trainable: str, epochs: int, workers: int) -> None:
    """The tutorial's loop; prints seconds of each epoch and the best accuracy as one line of JSON."""
    crop = [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip()]
    centre = [transforms.Resize(256), transforms.CenterCrop(224)]
    tensor = [transforms.ToTensor(), transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]
    sets = {
        "train": datasets.ImageFolder(data / "train", transforms.Compose([*crop, *tensor])),
        "val": datasets.ImageFolder(data / "val", transforms.Compose([*centre, *tensor])),
    }
    loaders = {
        name: torch.utils.data.DataLoader(part, batch_size=4, shuffle=True, num_workers=workers)
        for name, part in sets.items()
    }
    model = models.get_model(network)
    if weights is not None:
        model.load_state_dict(torch.load(weights, weights_only=True))
    if trainable == "head":
        model.requires_grad_(False)
    if hasattr(model, "fc"):
        model.fc = head = nn.Linear(model.fc.in_features, len(sets["train"].classes))
    else:
        model.classifier[-1] = head = nn.Linear(model.classifier[-1].in_features, len(sets["train"].classes))
    criterion = nn.CrossEntropyLoss()
    trained = head if trainable == "head" else model
    optimizer = optim.SGD(trained.parameters(), lr=0.001, momentum=0.9)
    scheduler = lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.1)
    best, seconds, processor, best_weights = 0.0, [], [], None
    for _ in range(epochs):
        begun, busy = time.perf_counter(), processor_seconds(resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        for phase, loader in loaders.items():
            model.train(phase == "train")
            right = 0
            for images, labels in loader:
                optimizer.zero_grad()
                with torch.set_grad_enabled(phase == "train"):
                    outputs = model(images)
                    loss = criterion(outputs, labels)
                    if phase == "train":
                        loss.backward()
                        optimizer.step()
                right += int((outputs.argmax(1) == labels).sum())
        scheduler.step()
        if right / len(sets["val"]) > best:
            best, best_weights = right / len(sets["val"]), copy.deepcopy(model.state_dict())
        seconds.append(time.perf_counter() - begun)
        processor.append(processor_seconds(resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN) - busy)
    with tempfile.TemporaryFile() as file:
        torch.save(best_weights, file)
    images = sum(map(len, sets.values()))
    print(json.dumps({"seconds": seconds, "processor": processor, "best": best, "images": images}))


def processor_seconds(*whose: int) -> float:
    """Of this process, or of those of its children that have ended."""
    used = [resource.getrusage(who) for who in whose]
    return sum(one.ru_utime + one.ru_stime for one in used)


def timed(command: list[str], environment: dict[str, str]) -> tuple[float, float, str]:
    """Seconds and processor seconds of a whole command, and its standard output."""
    begun, busy = time.perf_counter(), processor_seconds(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    return time.perf_counter() - begun, processor_seconds(resource.RUSAGE_CHILDREN) - busy, done.stdout


def run_loop(asked: argparse.Namespace, seed: int) -> dict[str, float]:
    """The tutorial's command for all epochs."""
    words = [str(Path(__file__).resolve()), "--loop", "--data", str(asked.data), "--network", asked.network]
    words += ["--trainable", asked.trainable, "--seed", str(seed), "--workers", str(asked.workers)]
    words += ["--loop-epochs", str(asked.loop_epochs)] + (["--weights", str(asked.weights)] if asked.weights else [])
    wall, processor, output = timed([sys.executable, *words], dict(os.environ))
    said = json.loads(output.splitlines()[-1])
    each, missing = statistics.median(said["seconds"]), asked.epochs - asked.loop_epochs
    return {
        "wall": wall + missing * each,
        "processor": processor + missing * statistics.median(said["processor"]),
        "images_per_second": said["images"] / each,
        "best": said["best"] if not missing else float("nan"),
    }


def run_ours(asked: argparse.Namespace, seed: int, cache: Path) -> dict[str, float]:
    """Our command for all epochs, with the page's defaults but for what trains."""
    with tempfile.TemporaryDirectory() as runs:
        words = ["train", "default", "task=classification", f"data.path={asked.data}", f"model.name={asked.network}"]
        words += [f"model.weights={asked.weights or 'none'}", f"model.trainable={asked.trainable}", "--json"]
        words += [f"train.epochs={asked.epochs}", f"seed={seed}", "--runs", runs, *asked.set]
        wall, processor, output = timed(
            [sys.executable, "-m", "fine_tuner", *words], os.environ | {"FINE_TUNER_CACHE": str(cache)}
        )
        (log,) = Path(runs).glob("*/events.jsonl")
        events: list[dict[str, Any]] = [json.loads(line) for line in log.read_text().splitlines()]
    facts = next(event["facts"] for event in events if event["kind"] == "run_started")
    ends = [event["time"] for event in events if event["kind"] in ("run_started", "eval_metrics")]
    each = statistics.median(after - before for before, after in pairwise(ends))
    said: dict[str, Any] = json.loads(output.splitlines()[-1])
    return {
        "wall": wall,
        "processor": processor,
        "images_per_second": (facts["train_images"] + facts["val_images"]) / each,
        "best": said["best_value"],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/ and val/ of class folders")
    parser.add_argument("--network", default="mobilenet_v2")
    parser.add_argument("--weights", type=Path, help="file with its ImageNet weights; none: random ones")
    parser.add_argument("--trainable", choices=("head", "all"), default="head")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--loop-epochs", type=int, help="of the loop, if fewer than all")
    parser.add_argument("--workers", type=int, default=4, help="of the loop; the tutorial has 4")
    parser.add_argument("--set", nargs="*", default=[], help="settings of ours, such as train.batch_size=16")
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--loop", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    asked.loop_epochs = min(asked.loop_epochs or asked.epochs, asked.epochs)
    if asked.loop:
        torch.manual_seed(asked.seed)
        tutorial_loop(asked.data, asked.network, asked.weights, asked.trainable, asked.loop_epochs, asked.workers)
        return 0
    print(f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, torch {torch.__version__}, "
          f"torchvision {torchvision.__version__}, {asked.network}, {asked.trainable}, "
          f"{asked.epochs} epochs")  # fmt: skip
    loops, ours = [], []
    with tempfile.TemporaryDirectory() as cache:
        for seed in range(asked.seeds):
            loops.append(run_loop(asked, seed))
            ours.append(run_ours(asked, seed, Path(cache)))
            print(f"seed {seed}: loop {in_words(loops[-1])}; ours {in_words(ours[-1])}", flush=True)
    times = {
        "wall": [loop["wall"] / our["wall"] for loop, our in zip(loops, ours, strict=True)],
        "processor": [loop["processor"] / our["processor"] for loop, our in zip(loops, ours, strict=True)],
        "images_per_second": [
            our["images_per_second"] / loop["images_per_second"] for loop, our in zip(loops, ours, strict=True)
        ],
    }
    found = [100 * one["best"] for one in ours]
    spread = statistics.stdev(found) if len(found) > 1 else 0.0
    key, bar = BARS[asked.trainable]
    medians = {name: statistics.median(ratios) for name, ratios in times.items()}
    print(f"median: {medians['wall']:.1f} times less wall time, {medians['processor']:.1f} times less processor time, "
          f"{medians['images_per_second']:.1f} times the images per second in the median epoch")  # fmt: skip
    print(f"accuracy: ours {statistics.mean(found):.1f} +- {spread:.1f} %, "
          f"loop {100 * statistics.mean(o['best'] for o in loops):.1f} %; bar: {bar:g} times, {key}")  # fmt: skip
    return 0 if medians[key] >= bar else 1


def in_words(one: dict[str, float]) -> str:
    """A command's numbers."""
    return (f"{one['wall']:.1f} s ({one['processor']:.1f} s of processor time, "
            f"{one['images_per_second']:.1f} images/s, best {100 * one['best']:.1f} %)")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
