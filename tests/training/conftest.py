"""A tiny folder of class folders, and runs of the real command line on it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from fine_tuner.cli.main import main
from fine_tuner.runs.log.events import read_events
from fine_tuner.training.recovery.checkpoint import CheckpointStore

ROOT = Path(__file__).resolve().parents[2]
TINY = (
    "model.name=shufflenet_v2_x0_5",
    "model.weights=none",
    "data.image_size=32",
    "data.num_workers=0",
    "devices=cpu",
    "precision.dtype=fp32",  # not what was measured on this machine: runs are compared bit for bit
    "precision.channels_last=off",
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


@pytest.fixture
def train_here(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Trains in this process, ``default`` with overrides or a run's folder; returns the run's folder.

    The worker takes signals for the time of the test, and has one thread as those in processes of their own.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}

    def train(*words: str, resume: Path | None = None, runs: str = "runs", code: int = 0) -> Path:
        command = ["resume", str(resume)] if resume else ["train", "default", *words]
        known = set((tmp_path / runs).glob("2*"))
        assert main([*command, "--runs", str(tmp_path / runs)]) == code
        return resume or next(iter(set((tmp_path / runs).glob("2*")) - known))

    yield train
    torch.set_num_threads(threads)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def own_loss(tmp_path: Path) -> Callable[[str], tuple[str, ...]]:
    """Settings that train with a loss of the user's own: cross entropy, with code that may use ``step`` first.

    ``step`` counts calls while training; ``RUN`` is the newest run's folder.
    """

    def settings(body: str = "") -> tuple[str, ...]:
        path = tmp_path / f"loss{len(list(tmp_path.glob('loss*.py')))}.py"
        path.write_text(
            "import math\nfrom pathlib import Path\nimport torch\nfrom torch.nn import functional as F\n"
            f"RUNS = Path({str(tmp_path)!r})\nstep = 0\n\n\n"
            "def my_loss(output, target):\n    global step\n    step += torch.is_grad_enabled()\n"
            "    loss = F.cross_entropy(output, target)\n"
            + "".join(f"    {line}\n" for line in body.splitlines())
            + "    return loss\n"
        )
        return ("loss.name=custom", f"loss.file={path}", "loss.unchecked=true")

    return settings


def payloads(run: Path, kind: type) -> list:
    """Events of one kind, as logged."""
    return [e.payload for e in read_events(run / "events.jsonl")[0] if isinstance(e.payload, kind)]


def last_weights(run: Path) -> dict[str, torch.Tensor]:
    """Of the newest checkpoint."""
    newest = CheckpointStore(folder=run / "checkpoints").newest()
    assert newest is not None
    return load_file(newest / "model.safetensors")
