"""A script that repeats a run: losses, rates and validation to the last bit, without this package."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torchvision.models import get_model, get_model_weights, get_weight, list_models

from fine_tuner.cli.main import main
from fine_tuner.runs.layout import RunFolder

from .conftest import PIN, ask_at_steps, logged, picture, run_script

Train = Callable[..., RunFolder]
Repeat = Callable[..., Path]
OWN = """\
import torch
from torch.nn import functional as F

WEIGHT = 0.25  # not the script's


class Mine(torch.nn.Module):
    def forward(self, output, target):
        return F.cross_entropy(output, target) + WEIGHT * output.square().mean()
"""


def slow(*settings: str) -> object:
    return pytest.param(settings, marks=pytest.mark.slow)


def slow_form(*values: str) -> object:
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    "settings",
    [
        (
            "loss.class_weights=balanced",
            "loss.label_smoothing=0.1",
            "augment.name=strong",
            "train.accumulate=2",
            "model.trainable=gradual",
            "schedule.name=StepLR",
            "schedule.warmup_steps=1",
            "data.sampling=balanced",
        ),
        (
            "loss.name=focal",
            "augment.mix=both",
            "precision.dtype=bf16",
            "optim.name=SGD",
            "optim.clip_norm=1",
            "model.trainable=2",
            "optim.stage_decay=0.5",
            "schedule.name=CyclicLR",
        ),
        (
            "loss.name=mse",
            "second_loss.name=dice",
            "second_loss.weight=0.3",
            "schedule.name=LambdaLR",
            "schedule.formula=max(0.1, cos(step / total_steps)) ** 2",
            "schedule.changes=['2:lr_factor=0.5']",
        ),
        pytest.param(
            ("schedule.name=ReduceLROnPlateau", "optim.name=Adagrad", "train.epochs=6"), marks=pytest.mark.slow
        ),
        slow("schedule.name=CosineAnnealingWarmRestarts", "optim.name=RMSprop"),
        slow("model.name=mobilenet_v3_small", "data.image_size=64"),
        slow("model.name=googlenet", "train.epochs=1", "data.image_size=64"),
        slow("precision.channels_last=on", "precision.dtype=bf16", "train.epochs=1"),
        slow("model.name=vit_b_16", "train.epochs=1"),
        pytest.param(
            ("model.name=squeezenet1_1", "precision.dtype=fp16", "data.image_size=64"), marks=pytest.mark.slow
        ),
    ],
    ids=lambda settings: settings[0].split("=")[1],
)
def test_the_script_of_a_classification_makes_every_step_again(
    settings: tuple[str, ...], train: Train, repeat: Repeat, classes_folder: Path
) -> None:
    repeat(train(f"data.path={classes_folder}", *settings))


def test_the_script_of_a_run_whose_frozen_part_ran_once_repeats_its_views(
    train: Train, classes_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("model.trainable=gradual", "model.head_epochs=3", "train.epochs=4", "train.views=2", "optim.name=SGD")
    run = train(f"data.path={classes_folder}", *words)
    script, log = tmp_path / "again.py", tmp_path / "log.jsonl"
    assert main(["export", str(run.path), "--format", "script", "--output", str(script)]) == 0
    assert "VIEWS = 2" in script.read_text()
    assert "runs in every epoch" in script.read_text().split('"""')[1].replace("\n", " ")
    run_script(script, "--log", str(log), "--weights", str(tmp_path / "again.pt"), monkeypatch=monkeypatch)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    steps, _ = logged(run)
    assert len(steps) == 8
    for line in lines:
        if "step" in line:
            loss, rates = steps[line["step"]]
            assert (line["loss"], line["lr"]) == (pytest.approx(loss, rel=1e-3), rates)


def test_the_script_of_a_regression_makes_every_step_again(train: Train, repeat: Repeat, numbers_folder: Path) -> None:
    columns = "data.label_columns=brightness,width"
    repeat(train(f"data.path={numbers_folder}", "task=regression", "loss.name=huber", "loss.delta=0.5", columns))


def run_in_a_plain_process(script: Path, tmp_path: Path) -> str:
    """What it prints in its first epoch, where this package cannot be found and a warning is an error."""
    (tmp_path / "empty").mkdir()
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script), "--epochs", "1"],
        cwd=tmp_path / "empty", env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "fine_tuner" not in done.stderr + script.read_text()
    return done.stdout


def test_the_script_of_labels_makes_every_step_again_and_needs_none_of_this_package(
    train: Train, repeat: Repeat, labels_folder: Path, tmp_path: Path
) -> None:
    loss = ("loss.name=binary_cross_entropy", "loss.positive_weight=2")
    script = repeat(train(f"data.path={labels_folder}", "task=multilabel", *loss))
    assert "epoch 1/2" in run_in_a_plain_process(script, tmp_path)


def test_a_script_starts_from_the_weights_of_a_file_with_a_new_head(
    train: Train, repeat: Repeat, classes_folder: Path, tmp_path: Path
) -> None:
    first = train(f"data.path={classes_folder}", "train.epochs=1")
    three = tmp_path / "three"
    for name in ("a", "b", "c"):
        (three / name).mkdir(parents=True)
        for path in sorted((classes_folder / "red").iterdir()):
            (three / name / path.name).write_bytes(path.read_bytes())
    begun = (f"model.weights={first.best_weights}", "data.on_contradiction=keep", "train.epochs=1")
    script = repeat(train(f"data.path={three}", *begun))
    assert "model.fc.reset_parameters()" in script.read_text()


@pytest.mark.parametrize(
    ("network", "source", "weights", "task"),
    [
        ("shufflenet_v2_x0_5", "ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1", "default", "classification"),
        ("lraspp_mobilenet_v3_large", "MobileNet_V3_Large_Weights.IMAGENET1K_V1", "backbone", "segmentation"),
    ],
)
def test_a_script_starts_from_torchvision_s_weights(
    network: str, source: str, weights: str, task: str, train: Train, repeat: Repeat, classes_folder: Path,
    masks_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    entry = get_weight(source)
    torch.manual_seed(1)
    origin = next(name for name in list_models() if entry in get_model_weights(name))
    file = tmp_path / "hub" / "checkpoints" / entry.url.rpartition("/")[2]  # where a download is kept
    file.parent.mkdir(parents=True)
    torch.save(get_model(origin, weights=None).state_dict(), file)
    data = masks_folder if task == "segmentation" else classes_folder
    sizes = ("train.epochs=1", "train.batch_size=4" if task == "segmentation" else "train.batch_size=8")
    script = repeat(
        train(f"data.path={data}", f"task={task}", f"model.name={network}", f"model.weights={weights}", *sizes)
    )
    assert source in script.read_text()


# ------------------------------------------------------------- the user's own
def test_the_user_s_loss_stands_in_the_script_verbatim_with_its_hash(
    train: Train, repeat: Repeat, classes_folder: Path, tmp_path: Path
) -> None:
    code = tmp_path / "mine.py"
    code.write_text(OWN)
    run = train(f"data.path={classes_folder}", "loss.name=custom", f"loss.file={code}", "loss.unchecked=true")
    code.write_text("broken")  # the run's own copy counts
    text = repeat(run).read_text()
    assert f"mine.py, SHA-256 {hashlib.sha256(OWN.encode()).hexdigest()}" in text
    _, _, rest = text.partition("# >>> loss\n")
    assert rest.partition("# <<< loss")[0] == OWN


def test_a_loss_whose_names_meet_the_script_s_is_kept_apart(
    train: Train, repeat: Repeat, classes_folder: Path, tmp_path: Path
) -> None:
    mean, code = tmp_path / "mean.py", tmp_path / "mine.py"
    mean.write_text(OWN)
    code.write_text(OWN.replace("WEIGHT", "EPOCHS").replace("class Mine", "class main"))
    losses = ("loss.name=custom", f"loss.file={code}", "loss.unchecked=true")
    losses += ("second_loss.name=custom", f"second_loss.file={mean}", "second_loss.unchecked=true")
    text = repeat(train(f"data.path={classes_folder}", *losses, "train.epochs=1")).read_text()
    assert "class main(torch.nn.Module)" in text
    assert text.count("SHA-256") >= 2


DICE = """\
import torch
import torch.nn as nn
import torch.nn.functional as F


class DiceLoss(nn.Module):
    def __init__(self, weight=None, size_average=True):
        super(DiceLoss, self).__init__()

    def forward(self, inputs, targets, smooth=1):
        inputs = F.sigmoid(inputs)
        inputs = inputs.view(-1)
        targets = targets.view(-1)
        overlap = (inputs * targets).sum()
        return 1 - (2.0 * overlap + smooth) / (inputs.sum() + targets.sum() + smooth)
"""
LEARNS = """\
import torch
from torch import nn
from torch.nn import functional as F


class Tempered(nn.Module):
    def __init__(self, start=1.0):
        super().__init__()
        self.temperature = nn.Parameter(torch.tensor(float(start)))

    def forward(self, logits, targets):
        return F.cross_entropy(logits * self.temperature, targets, reduction="none")
"""


MSE = "def mse(output, target): return torch.mean((output - target) ** 2)\n"
SOFT = """\
class Soft:
    def __call__(self, output, target):
        return -(target * F.log_softmax(output, 1)).sum(1).mean()
"""
UNSQUEEZED = """import torch.nn.functional as F
def unsqueezed(output, mask):
    return F.binary_cross_entropy_with_logits(output, mask.unsqueeze(1).float())
"""
SMOOTHED = "criterion = nn.CrossEntropyLoss(label_smoothing=0.1, ignore_index=255)\n"


@pytest.mark.parametrize(
    ("task", "classes", "form", "second", "second_form"),
    [
        ("classification", 2, "foreground_logit", MSE, "foreground_prob"),
        ("segmentation", 2, "foreground_logit", SOFT, "logits_one_hot"),
        pytest.param("classification", 3, "margins_one_hot", MSE, "probs_one_hot", marks=pytest.mark.slow),
        pytest.param("segmentation", 2, "foreground_logit", SMOOTHED, "as_is", marks=pytest.mark.slow),
        pytest.param(
            "segmentation", 2, "foreground_logit", UNSQUEEZED, "foreground_logit_squeezed", marks=pytest.mark.slow
        ),
    ],
)
def test_losses_that_were_given_another_form_are_given_it_again(
    task: str, classes: int, form: str, second: str, second_form: str, train: Train, repeat: Repeat,
    classes_folder: Path, masks_folder: Path, tmp_path: Path,
) -> None:  # fmt: skip
    files = {"loss": tmp_path / "mine.py", "second_loss": tmp_path / "second.py"}
    files["loss"].write_text(DICE)
    files["second_loss"].write_text(second)
    data = {"classification": classes_folder, "segmentation": masks_folder}[task]
    if classes == 3:
        data = shutil.copytree(data, tmp_path / "three")
        (data / "green").mkdir()
        for number in range(9):
            picture(number, 1).save(data / "green" / f"{number}.png")
    about = (f"data.path={data}", f"task={task}", "train.epochs=1", "loss.arguments=smooth=0.5")
    about += () if task == "classification" else ("model.name=lraspp_mobilenet_v3_large",)
    for section, file in files.items():
        about += (f"{section}.name=custom", f"{section}.file={file}", f"{section}.unchecked=true")
    if second_form == "foreground_prob":  # auto would take probabilities of both classes
        about += (f"second_loss.inputs={second_form}",)
    text = repeat(train(*about)).read_text()
    for name, used in (("DiceLoss of mine.py", form), ("second.py", second_form)):
        assert f"{name}: gets {used.replace('_', ' ')} in float32" in text
    for used in {form, second_form} - {"as_is"}:
        assert f"output, target = {used}(output, target)" in text
    assert "output, target = leave_out(output, target, 255)" in text or task == "classification"
    assert "_loss_itself(output.contiguous(), target.contiguous(), smooth=0.5)" in text
    assert ("def logits_one_hot" in text) == (
        not {form, second_form} <= {"foreground_logit", "foreground_prob", "foreground_logit_squeezed", "as_is"}
    )


FORMS = [
    ("regression", "squeezed", "F.mse_loss(output, target.unsqueeze(1))"),
    slow_form("regression", "both_squeezed", "torch.dot(output - target, output - target) / len(output)"),
    slow_form("multilabel", "two_classes", "-output.log_softmax(1).gather(1, target.unsqueeze(1)).mean()"),
    slow_form("multilabel", "two_classes_one_hot", "-(target * F.log_softmax(output, dim=1)).sum(1).mean()"),
    slow_form("segmentation", "foreground_prob_squeezed", "((output - target.unsqueeze(1).float()) ** 2).mean()"),
    slow_form("segmentation", "as_is_unsqueezed", "F.cross_entropy(output, target[:, 0])"),
    slow_form("segmentation", "pixels", "-(F.one_hot(target, 2) * output.log_softmax(-1)).sum(-1).mean()"),
    slow_form(
        "segmentation", "foreground_prob_both_squeezed", "(torch.einsum('bij->b', (output - target) ** 2)).mean()"
    ),
]


@pytest.mark.parametrize(("task", "form", "formula"), FORMS, ids=lambda value: value if "(" not in value else "")
def test_a_form_is_given_again_in_a_plain_process(
    task: str, form: str, formula: str, train: Train, repeat: Repeat, masks_folder: Path, numbers_folder: Path,
    labels_folder: Path, tmp_path: Path,
) -> None:  # fmt: skip
    code = tmp_path / "mine.py"
    code.write_text(
        f"import torch\nfrom torch.nn import functional as F\n\n\n"
        f"def mine(output, target, scale=1.0):\n    return scale * {formula}\n"
    )
    data = {"regression": numbers_folder, "multilabel": labels_folder, "segmentation": masks_folder}[task]
    about = (f"data.path={data}", f"task={task}", "train.epochs=1", "loss.name=custom", f"loss.file={code}")
    about += ("model.name=lraspp_mobilenet_v3_large",) if task == "segmentation" else ()
    about += ("data.label_columns=brightness",) if task == "regression" else ()
    script = repeat(train(*about, "loss.arguments=scale=0.5", "loss.unchecked=true"))
    assert f"output, target = {form}(output, target)" in script.read_text()
    run_in_a_plain_process(script, tmp_path)


def test_a_loss_that_learns_is_repeated_with_its_parameters(
    train: Train, repeat: Repeat, classes_folder: Path, tmp_path: Path
) -> None:
    code = tmp_path / "mine.py"
    code.write_text(LEARNS)
    loss = ("loss.name=custom", f"loss.file={code}", "loss.arguments=start=2", "loss.unchecked=true")
    run = train(f"data.path={classes_folder}", *loss)
    steps, _ = logged(run)
    assert all("loss" in rates for _, rates in steps.values())
    state = torch.load(sorted(run.checkpoints.glob("step-*/state.pt"))[-1], weights_only=True)
    assert set(state["loss"]) == {"loss.temperature"}
    assert state["loss"]["loss.temperature"] != 2
    assert "_loss_itself = Tempered(start=2)" in repeat(run).read_text()


# ------------------------------------------------------------------- changes
def made_again(run: RunFolder, place: Path) -> Iterator[RunFolder]:
    """The runs that the exported settings and the exported command make."""
    files = {kind: place / f"again.{kind}" for kind in ("yaml", "command")}
    for kind, path in files.items():
        assert main(["export", str(run.path), "--format", kind, "--output", str(path)]) == 0
    (line,) = [line for line in files["command"].read_text().splitlines() if not line.startswith("#")]
    for config in ([str(files["yaml"])], shlex.split(line)[4:]):
        assert main(["train", *config, "--runs", str(place / "again")]) == 0
        (again,) = (place / "again").glob("2*")
        yield RunFolder(again)
        shutil.rmtree(again)


def test_a_change_made_while_training_is_made_by_every_export(
    train: Train, repeat: Repeat, classes_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {2: {"lr_factor": 0.5}, 3: {"train.epochs": 3}, 5: {"optim.lr": 0.002}}
    ask_at_steps(asked, monkeypatch)
    run = train(f"data.path={classes_folder}", "schedule.name=CosineAnnealingLR")
    monkeypatch.undo()
    steps, epochs = logged(run)
    assert max(epochs) == 3

    assert all(logged(again) == (steps, epochs) for again in made_again(run, tmp_path))
    repeat(run)


def test_a_completed_run_that_was_extended_is_repeated_whole(
    train: Train, repeat: Repeat, classes_folder: Path, tmp_path: Path
) -> None:
    run = train(f"data.path={classes_folder}", "train.epochs=1", "schedule.name=CosineAnnealingLR", *PIN[:2])
    for epochs in ("2", "3"):
        assert main(["extend", str(run.path), epochs]) == 0
    steps, epochs = logged(run)
    assert (list(steps), list(epochs)) == (list(range(1, 7)), [1, 2, 3])
    assert all(logged(again) == (steps, epochs) for again in made_again(run, tmp_path))
    repeat(run)


NAMED = 'a\nATTACK()\n"""\nATTACK()\n"""\\'  # ends a comment, a docstring, and the line after an escape


@pytest.mark.parametrize("kind", ["script", "yaml", "command"])
def test_the_name_of_a_folder_that_somebody_brought_is_text_in_what_is_exported(task_runs, tmp_path, kind):
    brought = RunFolder(tmp_path / NAMED)
    shutil.copytree(task_runs["classification"].path, brought.path)
    made = tmp_path / "made"
    assert main(["export", str(brought.path), "--format", kind, "--output", str(made)]) == 0
    text = made.read_text()
    assert "ATTACK()" in text
    if kind == "script":
        tree = ast.parse(text)
        called = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
        assert "ATTACK" not in [name.id for name in called if isinstance(name, ast.Name)]
        assert NAMED in ast.get_docstring(tree, clean=False)
    else:
        assert [line for line in text.splitlines() if line.startswith("ATTACK")] == []
