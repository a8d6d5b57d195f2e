"""Tiny data of every task, and runs on it in this process."""

from __future__ import annotations

import ast
import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from fine_tuner.cli.main import main
from fine_tuner.config.tasks import TASK_SPECS
from fine_tuner.predict import Predictor
from fine_tuner.runs import control
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.log.events import EvalMetrics, TrainMetrics, read_events
from fine_tuner.training.run.control import RunControl

TINY = (
    "model.name=shufflenet_v2_x0_5",
    "model.weights=none",
    "data.image_size=32",
    "data.num_workers=0",
    "devices=cpu",
    "train.epochs=2",
    "train.batch_size=8",
)


def picture(number: int, channel: int) -> Image.Image:
    """32 px with a gradient and a colour of its own."""
    image = Image.new("RGB", (32, 32))
    for x in range(32):
        colour = [10 * number, 4 * x, 12 * number]
        colour[channel] = 200
        image.paste(tuple(colour), (x, 0, x + 1, 32))
    return image


@pytest.fixture(scope="session")
def classes_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes, of 9 and 13 pictures: a last batch that is not full."""
    root = tmp_path_factory.mktemp("classes")
    for name, channel, count in (("red", 0, 9), ("blue", 2, 13)):
        (root / name).mkdir()
        for number in range(count):
            picture(number, channel).save(root / name / f"{number}.png")
    return root


@pytest.fixture(scope="session")
def numbers_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table with two numbers per picture."""
    return table(tmp_path_factory.mktemp("numbers"), "brightness,width", lambda n: f"{100 + 3.5 * n},{n % 5 + 0.5}")


@pytest.fixture(scope="session")
def labels_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table with two labels per picture."""
    return table(tmp_path_factory.mktemp("labels"), "dark,wide", lambda n: f"{n % 2},{int(n % 3 > 0)}")


def table(root: Path, columns: str, row: Callable[[int], str]) -> Path:
    for number in range(14):
        picture(number, number % 3).save(root / f"{number}.png")
    lines = [f"image,{columns}", *(f"{number}.png,{row(number)}" for number in range(14))]
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture(scope="session")
def masks_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten pictures with masks of 0 and 255, wider than high."""
    root = tmp_path_factory.mktemp("masks")
    for name in ("images", "masks"):
        (root / name).mkdir()
    for number in range(10):
        picture(number, 1).resize((48, 32)).save(root / "images" / f"{number}.png")
        mask = Image.new("L", (48, 32), 0)
        mask.paste(255, (number, 4, number + 20, 24))
        mask.save(root / "masks" / f"{number}.png")
    return root


@pytest.fixture
def train(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., RunFolder]:
    """Trains with these settings."""

    def begin(*settings: str) -> RunFolder:
        code = main(["train", "default", *TINY, *settings, "--runs", str(tmp_path / "runs")])
        output = capsys.readouterr()
        assert code == 0, output.err
        (line,) = [line for line in output.out.splitlines() if line.startswith("run: ")]
        return RunFolder(Path(line.removeprefix("run: ")))

    return begin


PIN = ("precision.dtype=fp32", "precision.channels_last=off", "train.epochs=1")


class TaskRuns(dict[str, RunFolder]):
    """A run of every task, trained for one epoch when it is first asked for."""

    def __init__(self, root: Path, **folders: Path) -> None:
        self.root, self.folders = root, folders

    def __missing__(self, task: str) -> RunFolder:
        chosen = [f"task={task}", f"loss.name={TASK_SPECS[task].default_loss}", f"data.path={self.folders[task]}"]
        if task == "segmentation":
            chosen += ["model.name=lraspp_mobilenet_v3_large", "train.batch_size=4"]
        assert main(["train", "default", *TINY, *PIN, *chosen, "--runs", str(self.root / task)]) == 0
        (path,) = (self.root / task).glob("2*")
        self[task] = RunFolder(path)
        return self[task]


@pytest.fixture(scope="session")
def task_runs(
    tmp_path_factory: pytest.TempPathFactory,
    classes_folder: Path,
    labels_folder: Path,
    numbers_folder: Path,
    masks_folder: Path,
) -> TaskRuns:
    """Run by task."""
    return TaskRuns(
        tmp_path_factory.mktemp("runs"), classification=classes_folder, multilabel=labels_folder,
        regression=numbers_folder, segmentation=masks_folder,
    )  # fmt: skip


def answer_of(run: RunFolder, picture: Path) -> dict[str, float]:
    """What ``predict`` says, by name of the output."""
    answer = Predictor.of_run(run).predict(picture)
    return answer.get("probabilities") or answer.get("shares") or answer["numbers"]


def numbers_of(text: str) -> dict[str, float]:
    """What a snippet printed: ``name: value`` on each line."""
    return {name: float(value) for name, value in (line.rsplit(": ", 1) for line in text.splitlines())}


def logged(run: RunFolder) -> tuple[dict[int, tuple[float, dict[str, float]]], dict[int, dict[str, float]]]:
    """Step to loss and rates, epoch to validation, as the run logged them."""
    steps, epochs = {}, {}
    for event in read_events(run.events)[0]:
        match event.payload:
            case TrainMetrics(step=step, metrics=found):
                rates = {k.removeprefix("train/lr/"): v for k, v in found.items() if k.startswith("train/lr/")}
                steps[step] = (found["train/loss"], rates)
            case EvalMetrics(epoch=epoch, metrics=found):
                epochs[epoch] = {key.removeprefix("val/"): value for key, value in found.items()}
    return steps, epochs


def run_script(script: Path, *options: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a script here, as ``python script`` would."""
    monkeypatch.setattr(sys, "argv", [str(script), *options])
    runpy.run_path(str(script), run_name="__main__")


def ask_at_steps(asked: dict[int, dict[str, Any] | str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Drop a request into the run's control folder when it has done so many steps, as ``set`` and ``stop`` do."""
    changes = RunControl.changes

    def with_requests(self: RunControl, step: int) -> list:
        if step in asked:
            wish = asked.pop(step)
            control.request(self._run, wish) if isinstance(wish, str) else control.request(self._run, "set", **wish)
        return changes(self, step)

    monkeypatch.setattr(RunControl, "changes", with_requests)


@pytest.fixture
def repeat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[RunFolder], Path]:
    """Exports a run's script, runs it here, and holds what it logs and saves to what the run did."""

    def equal(run: RunFolder) -> Path:
        script = tmp_path / "again.py"
        assert main(["export", str(run.path), "--format", "script", "--output", str(script)]) == 0
        tree = ast.parse(script.read_text())
        imported = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        imported |= {str(n.module) for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        assert not any(name.startswith("fine_tuner") for name in imported)
        log, weights = tmp_path / "log.jsonl", tmp_path / "again.pt"
        run_script(script, "--log", str(log), "--weights", str(weights), monkeypatch=monkeypatch)
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        steps, epochs = logged(run)
        assert {line["step"]: (line["loss"], line["lr"]) for line in lines if "step" in line} == steps
        found = {line.pop("epoch"): line for line in lines if "step" not in line}
        assert found == epochs
        ours, theirs = torch.load(weights, weights_only=True), load_file(run.best_weights)
        assert ours.keys() == theirs.keys()
        for name, tensor in theirs.items():
            torch.testing.assert_close(ours[name], tensor, rtol=0, atol=0)
        return script

    return equal
