"""Make the source network that is shipped: draw pictures, learn to tell their kinds apart, keep the weights in fp16.

Run ``python tools/pretrain_source.py``: half an hour on one core. It trains with this project's own command; the run
stays in ``--work`` for a look at its curves. The result differs a little from machine to machine, as sums do.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from source_pictures import KINDS, draw_picture

ROOT = Path(__file__).resolve().parents[1]
NETWORK = "shufflenet_v2_x0_5"
TARGET = ROOT / "fine_tuner" / "models" / "source" / f"{NETWORK}.safetensors"
SEED = 16
SETTINGS = (
    f"model.name={NETWORK}",
    "model.weights=none",
    "model.trainable=all",
    "data.image_size=64",
    "data.val_fraction=0.05",
    "data.num_workers=0",
    "augment.name=light",
    "optim.name=AdamW",
    "optim.lr=0.006",
    "optim.weight_decay=0.02",
    "optim.backbone_multiplier=1",
    "schedule.name=OneCycleLR",
    "train.batch_size=64",
    "precision.dtype=fp32",
    "devices=cpu",
    f"seed={SEED}",
)


def draw(folder: Path, per_kind: int) -> None:
    """Class folders of drawn pictures."""
    for number, kind in enumerate(KINDS):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for index in range(per_kind):
            rng = np.random.default_rng([SEED, number, index])
            Image.fromarray(draw_picture(kind, rng)).save(folder / kind / f"{index:04d}.jpg", quality=92)


def train(pictures: Path, runs: Path, epochs: int) -> Path:
    """Train; returns the file of the best weights."""
    argv = ["train", "default", f"data.path={pictures}", *SETTINGS, f"train.epochs={epochs}", "--runs", str(runs)]
    subprocess.run([sys.executable, "-m", "fine_tuner", *argv], cwd=ROOT, check=True)
    newest = max(runs.glob("*/config.yaml"), key=lambda path: path.stat().st_mtime)
    return newest.parent / "checkpoints" / "best" / "model.safetensors"


def ship(weights: Path, target: Path) -> None:
    """The weights in fp16 with what was written beside them; counters of batches stay whole numbers."""
    from safetensors import safe_open

    with safe_open(weights, framework="pt") as file:
        about = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    half = {name: t.half() if t.is_floating_point() else t for name, t in tensors.items()}
    if not all(torch.isfinite(t).all() for t in half.values()):
        raise SystemExit("a weight does not fit into fp16")
    target.parent.mkdir(exist_ok=True)
    save_file(half, target, metadata=about)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for pictures and the run")
    parser.add_argument("--per-kind", type=int, default=400)
    parser.add_argument("--epochs", type=int, default=9)
    arguments = parser.parse_args()
    begun = time.perf_counter()
    draw(arguments.work / "pictures", arguments.per_kind)
    print(f"{len(KINDS)} kinds, {arguments.per_kind} pictures each: {time.perf_counter() - begun:.0f} s", flush=True)
    ship(train(arguments.work / "pictures", arguments.work / "runs", arguments.epochs), TARGET)
    print(f"{TARGET.relative_to(ROOT)}: {TARGET.stat().st_size / 1e6:.2f} MB, {time.perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    main()
