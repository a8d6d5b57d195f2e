"""A whole run on a device that takes no tensor of the CPU by mistake: a stand-in here, with ``-m gpu`` the real one.

Train, validate, check point, run out of memory, meet a NaN and go back, stop and resume, find a rate, measure batches
and precisions, evaluate, predict, explain and export. The device's own numbers are those of the CPU, so a run on it
is the CPU's run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fine_tuner.cli.main import main
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.log.events import EvalMetrics, Mark, TrainMetrics, read_events

ROOT = Path(__file__).parents[2]
PROGRAM = str(ROOT / "tests" / "numerics" / "stand_in_device.py")
STAND_IN = ("standin:0", PROGRAM, "stand-in")
DEVICES = [
    pytest.param(STAND_IN, id="stand-in"),
    pytest.param(
        ("cuda", PROGRAM, "real"),
        id="cuda",
        marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")],
    ),
]
TINY = (
    "model.name=shufflenet_v2_x0_5", "model.weights=none", "data.image_size=32", "data.num_workers=0",
    "precision.dtype=fp32", "precision.channels_last=off", "precision.tf32=false", "optim.name=SGD",
    "train.epochs=2", "train.batch_size=8",
)  # fmt: skip
OWN = """\
import os
import signal
from pathlib import Path

import torch
from torch.nn import functional as F

calls = 0


def mine(output, target):
    global calls
    calls += 1
    if len(output) > 4:
        raise torch.OutOfMemoryError("out of memory")
    if output.requires_grad and calls > 9 and not Path("was_nan").exists():
        Path("was_nan").touch()
        return output.sum() * float("nan")
    if output.requires_grad and calls > 14 and not Path("was_stopped").exists():
        Path("was_stopped").touch()
        os.kill(os.getpid(), signal.SIGTERM)
    return F.cross_entropy(output, target)
"""
LARGE = """\
from torch.nn import functional as F


def mine(output, target):
    return F.cross_entropy(output, target) + 0 * output.new_zeros(len(output), 2**18).sum()
"""
STOPPED = """\
import os
import signal
from pathlib import Path

from torch.nn import functional as F

calls = 0


def mine(output, target):
    global calls
    calls += output.requires_grad and output.device.type != "cpu"  # where it trains, not where its form is found
    if calls == 5 and Path("stop").exists():
        Path("stop").unlink()
        os.kill(os.getpid(), signal.SIGTERM)
    return F.cross_entropy(output, target)
"""
Ask = Callable[..., str]


@pytest.fixture
def classes_folder(tmp_path: Path) -> Path:
    """Two classes of 11 pictures."""
    noise = np.random.default_rng(0)
    for name, channel in (("red", 0), ("blue", 2)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(11):
            pixels = noise.integers(0, 256, (32, 32, 3), np.uint8)
            pixels[..., channel] = 200
            Image.fromarray(pixels).save(tmp_path / "data" / name / f"{number}.png")
    return tmp_path / "data"


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """Runs our command where a device is, and tells what it printed."""

    def answer(device: tuple[str, ...], *words: str, code: int = 0, mib: float = 1024) -> str:
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "STAND_IN_MIB": str(mib)}
        done = subprocess.run(
            [sys.executable, *device[1:], *words], cwd=tmp_path, env=environment, capture_output=True, text=True,
            timeout=600,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    return answer


def _run_of(printed: str) -> RunFolder:
    (line,) = [line for line in printed.splitlines() if line.startswith("run: ")]
    return RunFolder(Path(line.removeprefix("run: ")))


def _numbers(run: RunFolder) -> list[float]:
    """Losses of all steps and validations."""
    found = [e.payload.metrics for e in read_events(run.events)[0] if isinstance(e.payload, TrainMetrics | EvalMetrics)]
    return [metrics.get("train/loss", metrics.get("val/loss")) for metrics in found]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(
            ("train.accumulate=2", "train.ema_decay=0.9", "loss.class_weights=balanced", "model.trainable=gradual"),
            marks=pytest.mark.slow,
        ),
        ("augment.mix=both", "loss.name=focal", "optim.clip_norm=1"),
        pytest.param(("precision.dtype=bf16", "optim.name=AdamW"), marks=pytest.mark.slow),
        pytest.param(("precision.dtype=fp16", "precision.channels_last=on"), marks=pytest.mark.slow),
    ],
    ids=["accumulated", "mixed", "bf16", "fp16"],
)
def test_a_run_on_the_device_is_the_cpu_s(
    device: tuple[str, ...],
    settings: tuple[str, ...],
    ask: Ask,
    train_here: Callable[..., Path],
    classes_folder: Path,
) -> None:
    words = (*TINY, *settings, f"data.path={classes_folder}")
    there = _numbers(_run_of(ask(device, "train", "default", *words, f"devices={device[0]}", "--runs", "there")))
    here = _numbers(RunFolder(train_here(*words, "devices=cpu")))
    assert len(there) >= 4
    tolerance = 1e-5 if device == STAND_IN else 1e-2  # the CPU's optimizer is one fused kernel, a GPU sums otherwise
    assert there == pytest.approx(here, rel=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
def test_the_rates_tried_on_the_device_are_the_cpu_s(
    device: tuple[str, ...], ask: Ask, classes_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("find-lr", "default", *TINY, f"data.path={classes_folder}", "--steps", "8", "--json")
    assert main([*words, "devices=cpu"]) == 0
    here = json.loads(capsys.readouterr().out.splitlines()[-1])
    there = json.loads(ask(device, *words, f"devices={device[0]}").splitlines()[-1])
    assert there["lrs"] == here["lrs"]
    tolerance = 1e-5 if device == STAND_IN else 1e-2
    assert there["losses"][:5] == pytest.approx(here["losses"][:5], rel=tolerance), "before the rates are large"


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
def test_the_batch_that_fits_and_the_precisions_are_measured_on_the_device(
    device: tuple[str, ...], ask: Ask, classes_folder: Path
) -> None:
    words = ("default", *TINY, f"data.path={classes_folder}", f"devices={device[0]}", "--json")
    told = ask(device, "find-batch", *words, "+", "compare-precisions", *words, "--steps", "1", mib=7)
    found, compared = (json.loads(line) for line in told.splitlines() if line.startswith('{"network"'))
    tried = {row["batch_size"]: row["fits"] for row in found["tried"]}
    assert tried[found["largest_batch_size"]]
    if device == STAND_IN:  # whose memory is little: one more image was too much
        assert found["limit_mib"] == 6
        assert not tried[found["largest_batch_size"] + 1]
    assert {"fp32", "bf16", "bf16 channels-last"} <= {row["variant"] for row in compared["rows"]}
    assert all(row["problem"] is None and row["peak_mib"] > 0 for row in compared["rows"])
    assert compared["suggestion"] is not None


@pytest.mark.slow
def test_where_memory_runs_out_on_the_device_the_step_is_made_in_smaller_parts(
    ask: Ask, classes_folder: Path, tmp_path: Path
) -> None:
    """A loss that takes 1 MiB for each image, which no forecast knows. Of a real GPU's memory that is nothing."""
    (tmp_path / "mine.py").write_text(LARGE)
    own = ("loss.name=custom", f"loss.file={tmp_path / 'mine.py'}", "loss.unchecked=true", "devices=standin:0")
    words = ("train", "default", *TINY, *own, f"data.path={classes_folder}", "--runs", "runs")
    events = read_events(_run_of(ask(STAND_IN, *words, mib=11)).events)[0]
    changes = [e.payload.changes for e in events if isinstance(e.payload, Mark)]
    assert [change["micro_batch"] for change in changes if "micro_batch" in change] == [4]
    readings = [e.payload.metrics for e in events if isinstance(e.payload, TrainMetrics)]
    allocated = [m["memory/allocated_mib"] for m in readings if "memory/allocated_mib" in m]
    assert 4 < max(allocated) < 14, "the step that did not fit counts, too"


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
def test_a_network_with_dropout_draws_the_same_after_a_stop_on_the_device(
    device: tuple[str, ...], ask: Ask, classes_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(STOPPED)
    own = ("loss.name=custom", f"loss.file={tmp_path / 'mine.py'}", "loss.unchecked=true", "model.name=squeezenet1_1")
    words = ("train", "default", *TINY, *own, f"data.path={classes_folder}", f"devices={device[0]}", "--runs", "runs")
    whole = _numbers(_run_of(ask(device, *words)))
    (tmp_path / "stop").touch()
    stopped = _run_of(ask(device, *words, code=130))
    assert not (tmp_path / "stop").exists()
    ask(device, "resume", str(stopped.path))
    resumed = _numbers(stopped)
    assert resumed == (whole if device == STAND_IN else pytest.approx(whole, rel=1e-3))


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
def test_what_trained_on_the_device_answers_alike_wherever_it_is_asked(
    device: tuple[str, ...], ask: Ask, classes_folder: Path, tmp_path: Path
) -> None:
    pictures = [str(p) for p in sorted(classes_folder.rglob("*.png"))[:3]]
    words = (
        "train", "default", *TINY, "optim.lr=0.001", f"data.path={classes_folder}", f"devices={device[0]}",
        "--runs", "runs",
    )  # fmt: skip
    run = _run_of(ask(device, *words))
    path = str(run.path)
    told = ask(
        device, "evaluate", path, "--json", "+", "predict", path, *pictures, "--json", "+", "suspects", path, "+",
        "answer", path, "+", "explain", path, pictures[0], "--out", "seen", "+",
        "export", path, "--format", "script", "--output", "again.py", "+",
        "export", path, "--format", "onnx", "--output", "network.onnx",
    )  # fmt: skip
    evaluated, predicted = (json.loads(line) for line in told.splitlines() if line.startswith("{"))
    validated = [e.payload.metrics for e in read_events(run.events)[0] if isinstance(e.payload, EvalMetrics)]
    best = max(validated, key=lambda metrics: metrics["val/accuracy"])
    assert evaluated["metrics"]["val/loss"] == pytest.approx(best["val/loss"], rel=1e-5)
    here = json.loads(ask(("cpu", PROGRAM, "real"), "predict", path, *pictures, "--json").splitlines()[-1])
    for there, one in zip(predicted["predictions"], here["predictions"], strict=True):
        assert there["probabilities"] == pytest.approx(one["probabilities"], rel=1e-4)
    assert (tmp_path / "seen" / "heat.png").is_file()
    assert (tmp_path / "network.onnx").is_file()
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    script = [sys.executable, "again.py", "--device", "cpu"]
    done = subprocess.run(script, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
def test_memory_a_nan_a_stop_and_a_resume_are_survived_on_the_device(
    device: tuple[str, ...], ask: Ask, classes_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    own = ("loss.name=custom", f"loss.file={tmp_path / 'mine.py'}", "loss.unchecked=true", f"devices={device[0]}")
    settings = (*TINY, *own, f"data.path={classes_folder}", "train.on_nonfinite=lower", "train.epochs=4")
    run = _run_of(ask(device, "train", "default", *settings, "--runs", "runs", code=130))
    ask(device, "resume", str(run.path))
    marks = [e.payload for e in read_events(run.events)[0] if isinstance(e.payload, Mark)]
    changed = {path for mark in marks for path in mark.changes}
    assert {"micro_batch", "rollbacks"} <= changed
    assert list(run.path.rglob("batch.safetensors"))
    assert run.best_weights.is_file()
    metrics = ask(device, "evaluate", str(run.path))
    assert "val/accuracy" in metrics
    picture = next((classes_folder / "red").iterdir())
    assert "red" in ask(device, "predict", str(run.path), str(picture))
