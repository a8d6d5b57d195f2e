"""A tiny folder of class folders, and runs of the real command line on it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
TINY = (
    "model.name=shufflenet_v2_x0_5",
    "model.weights=none",
    "data.image_size=32",
    "data.num_workers=0",
    "devices=cpu",
)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of ten 32 px pictures: reddish and bluish, with a gradient so that no two are equal."""
    root = tmp_path_factory.mktemp("tiny")
    for name, channel in (("red", 0), ("blue", 2)):
        (root / name).mkdir()
        for number in range(10):
            picture = Image.new("RGB", (32, 32))
            for x in range(32):
                colour = [10 * number, 4 * x, 10 * number]
                colour[channel] = 200
                picture.paste(tuple(colour), (x, 0, x + 1, 32))
            picture.save(root / name / f"{number}.png")
    return root


@pytest.fixture(scope="session")
def tiny_settings(tiny_folder: Path) -> tuple[str, ...]:
    """Overrides of the preset ``default`` that train on the tiny folder in seconds."""
    return (f"data.path={tiny_folder}", *TINY, "train.batch_size=8", "train.epochs=2")


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "fine_tuner", *words]


def environment(**more: str) -> dict[str, str]:
    """One thread each: many small processes share the cores, and sums are in one order."""
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)} | more


def fine_tuner(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return subprocess.run(
        command(*words), capture_output=True, text=True, timeout=240, env=environment(), cwd=ROOT, **options
    )


def run_folder(output: str) -> Path:
    """The folder that ``train`` named on its last line of text."""
    (line,) = [line for line in output.splitlines() if line.startswith("run: ")]
    return Path(line.removeprefix("run: "))
