"""Our command beside the loop of PyTorch's transfer-learning tutorial: wall time of the whole command, and accuracy.

    python benchmarks/tutorial.py --data FOLDER --network mobilenet_v2 --weights FILE [--trainable head] [--seeds 5]

The loop is the public one (https://docs.pytorch.org/tutorials/beginner/transfer_learning_tutorial.html): SGD at 0.001
with momentum 0.9, StepLR(7, 0.1), batches of 4, RandomResizedCrop and flip, 25 epochs, best weights by validation
accuracy. Both are started by turns, one process each, so that a busy machine treats them alike. ``--loop-epochs`` times
fewer epochs of the loop and counts the others at the median of those, for it takes minutes where ours takes seconds;
its accuracy is then left out.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn, optim
from torch.optim import lr_scheduler
from torchvision import datasets, models, transforms

ROOT = Path(__file__).resolve().parents[1]
EPOCHS = 25


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
    best, seconds, best_weights = 0.0, [], None
    for _ in range(epochs):
        begun = time.perf_counter()
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
    with tempfile.TemporaryFile() as file:
        torch.save(best_weights, file)
    print(json.dumps({"seconds": seconds, "best": best, "images": sum(map(len, sets.values()))}))


def timed(command: list[str], environment: dict[str, str]) -> tuple[float, str]:
    """Seconds of a whole command, and its standard output."""
    begun = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    return time.perf_counter() - begun, done.stdout


def run_loop(asked: argparse.Namespace, seed: int) -> dict[str, float]:
    """The tutorial's command for 25 epochs."""
    words = [str(Path(__file__).resolve()), "--loop", "--data", str(asked.data), "--network", asked.network]
    words += ["--trainable", asked.trainable, "--seed", str(seed), "--workers", str(asked.workers)]
    words += ["--loop-epochs", str(asked.loop_epochs)] + (["--weights", str(asked.weights)] if asked.weights else [])
    wall, output = timed([sys.executable, *words], dict(os.environ))
    said = json.loads(output.splitlines()[-1])
    each = statistics.median(said["seconds"])
    return {
        "wall": wall + (EPOCHS - asked.loop_epochs) * each,
        "images_per_second": said["images"] / each,
        "best": said["best"] if asked.loop_epochs == EPOCHS else float("nan"),
    }


def run_ours(asked: argparse.Namespace, seed: int, cache: Path, *, is_first: bool) -> dict[str, float]:
    """Our command for 25 epochs, with the page's defaults but for what trains."""
    with tempfile.TemporaryDirectory() as runs:
        words = ["train", "default", "task=classification", f"data.path={asked.data}", f"model.name={asked.network}"]
        words += [f"model.weights={asked.weights or 'none'}", f"model.trainable={asked.trainable}", "--json"]
        words += [f"train.epochs={EPOCHS}", f"seed={seed}", "--runs", runs, *asked.set]
        wall, output = timed(
            [sys.executable, "-m", "fine_tuner", *words], os.environ | {"FINE_TUNER_CACHE": str(cache)}
        )
    said: dict[str, Any] = json.loads(output.splitlines()[-1])
    return {"wall": wall, "best": said["best"]["value"], "is_first": float(is_first)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/ and val/ of class folders")
    parser.add_argument("--network", default="mobilenet_v2")
    parser.add_argument("--weights", type=Path, help="file with its ImageNet weights; none: random ones")
    parser.add_argument("--trainable", choices=("head", "all"), default="head")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--loop-epochs", type=int, default=EPOCHS)
    parser.add_argument("--workers", type=int, default=4, help="of the loop; the tutorial has 4")
    parser.add_argument("--set", nargs="*", default=[], help="settings of ours, such as train.batch_size=16")
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--loop", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.loop:
        torch.manual_seed(asked.seed)
        tutorial_loop(asked.data, asked.network, asked.weights, asked.trainable, asked.loop_epochs, asked.workers)
        return 0
    print(f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, torch {torch.__version__}, "
          f"torchvision {torchvision.__version__}, {asked.network}, {asked.trainable}, {EPOCHS} epochs")  # fmt: skip
    ratios, loops, ours = [], [], []
    with tempfile.TemporaryDirectory() as cache:
        for seed in range(asked.seeds):
            loops.append(run_loop(asked, seed))
            ours.append(run_ours(asked, seed, Path(cache), is_first=seed == 0))
            ratios.append(loops[-1]["wall"] / ours[-1]["wall"])
            print(f"seed {seed}: loop {loops[-1]['wall']:.1f} s ({loops[-1]['images_per_second']:.1f} images/s), "
                  f"ours {ours[-1]['wall']:.1f} s, {ratios[-1]:.1f} times; best {100 * loops[-1]['best']:.1f} and "
                  f"{100 * ours[-1]['best']:.1f} %", flush=True)  # fmt: skip
    found = [100 * one["best"] for one in ours]
    spread = statistics.stdev(found) if len(found) > 1 else 0.0
    print(f"median {statistics.median(ratios):.1f} times; ours {statistics.median(o['wall'] for o in ours):.1f} s, "
          f"{statistics.mean(found):.1f} +- {spread:.1f} %; loop {statistics.median(o['wall'] for o in loops):.1f} s, "
          f"{100 * statistics.mean(o['best'] for o in loops):.1f} %")  # fmt: skip
    return 0 if statistics.median(ratios) >= (20 if asked.trainable == "head" else 1) else 1


if __name__ == "__main__":
    sys.exit(main())
