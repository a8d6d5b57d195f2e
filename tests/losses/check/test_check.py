"""The check of a user's loss lets right losses pass, and reports what training will meet in numbers."""

from __future__ import annotations

import json
import time
from pathlib import Path
from textwrap import dedent

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fine_tuner.losses.check.batch import CheckBatch, prepare, synthetic
from fine_tuner.losses.check.check import check_loss
from fine_tuner.losses.check.report import describe_report
from fine_tuner.losses.check.spent import Spent, Stopwatch
from fine_tuner.losses.templates import TEMPLATES, Template, templates_for

GOOD = {
    ("cross entropy module", "classification"): """
        from torch import nn
        class MyLoss(nn.CrossEntropyLoss):
            pass
        def my_loss(output, target):
            return _loss(output, target)
        _loss = MyLoss(label_smoothing=0.1)
        """,
    ("focal", "classification"): """
        from torch.nn import functional as F
        def focal(output, target, gamma=2.0):
            nll = F.cross_entropy(output, target, reduction="none")
            return ((1 - (-nll).exp()) ** gamma * nll).mean()
        """,
    ("cross entropy by hand", "classification"): """
        def my_loss(output, target):
            return (output.logsumexp(1) - output.gather(1, target[:, None])[:, 0]).mean()
        """,
    ("margin", "classification"): """
        import torch
        from torch.nn import functional as F
        class Margin(torch.nn.Module):
            def __init__(self, margin=1.0):
                super().__init__()
                self.margin = margin
            def forward(self, output, target):
                return F.multi_margin_loss(output, target, margin=self.margin)
        """,
    ("cross entropy and Dice", "segmentation"): """
        import torch
        from torch.nn import functional as F
        def _dice(output, target, valid):
            probs = output.float().softmax(1) * valid
            truth = F.one_hot(target * valid[:, 0], output.shape[1]).movedim(-1, 1) * valid
            return 1 - ((2 * (probs * truth).sum((0, 2, 3)) + 1) / ((probs + truth).sum((0, 2, 3)) + 1)).mean()
        def my_loss(output, target):
            valid = (target != 255).unsqueeze(1)
            nll = F.cross_entropy(output.float(), target, ignore_index=255, reduction="sum") / valid.sum().clamp(min=1)
            return nll + 0.5 * _dice(output, target, valid)
        """,
    ("binary cross entropy with weights", "multilabel"): """
        import torch
        from torch import nn
        class Weighted(nn.Module):
            def __init__(self):
                super().__init__()
                self.register_buffer("weight", torch.tensor([1.0, 2.0, 3.0]))
            def forward(self, output, target):
                return nn.functional.binary_cross_entropy_with_logits(output, target, pos_weight=self.weight)
        """,
    ("log cosh", "regression"): """
        import math
        from torch.nn import functional as F
        def log_cosh(output, target):
            error = output - target
            return (error + F.softplus(-2 * error) - math.log(2)).mean()
        """,
    ("quantile", "regression"): """
        import torch
        def quantile(output, target):
            error = target - output
            return torch.maximum(0.9 * error, -0.1 * error).mean()
        """,
}


def write(folder: Path, text: str) -> Path:
    file = folder / "my_code.py"
    file.write_text(dedent(text).lstrip("\n"))
    return file


@pytest.mark.parametrize(("name", "task"), GOOD, ids=lambda v: v)
def test_a_right_loss_passes_without_a_word(name: str, task: str, tmp_path: Path) -> None:
    entry = "my_loss" if name == "cross entropy module" else ""
    report = check_loss(write(tmp_path, GOOD[name, task]), entry, prepare(synthetic(task)))
    assert [f["text"] for f in report["findings"]] == []
    assert report["ok"]


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda t: f"{t.task}-{t.label}")
def test_every_template_passes_without_a_word(template: Template, tmp_path: Path) -> None:
    report = check_loss(write(tmp_path, template.text), "", prepare(synthetic(template.task)))
    assert [f["text"] for f in report["findings"]] == []
    assert report["style"] == template.style


def test_each_task_has_both_styles_of_mse_and_dice_where_it_is_offered() -> None:
    assert len(TEMPLATES) == 14
    for task in ("classification", "multilabel", "segmentation"):
        assert [(t.example, t.style) for t in templates_for(task)] == [
            ("mse", "function"), ("mse", "class"), ("dice", "function"), ("dice", "class"),
        ]  # fmt: skip
    assert {t.example for t in templates_for("regression")} == {"mse"}


def test_the_report_has_the_numbers_of_a_hand_made_computation(tmp_path: Path) -> None:
    batch = synthetic("classification", 4)
    text = """
        from torch.nn import functional as F
        def my_loss(output, target):
            return F.cross_entropy(output, target)
        """
    report = check_loss(write(tmp_path, text), "", prepare(batch))
    output = batch.model(batch.images).detach().requires_grad_()
    loss = F.cross_entropy(output, batch.targets)
    loss.backward()
    assert output.grad is not None
    assert report["values"]["fp32"] == {
        "value": pytest.approx(loss.item()),
        "gradient_norm": pytest.approx(output.grad.norm().item()),
    }
    for name in ("bf16", "fp16"):
        assert report["values"][name]["value"] == pytest.approx(loss.item(), rel=0.01)
    assert report["batch"] == {
        "origin": "synthetic data", "images": [8, 3, 32, 32], "output": [8, 4], "targets": [8],
        "targets_dtype": "int64",
    }  # fmt: skip
    assert report["parameters"] == {"trainable": 6, "reached": 6, "unreached": []}
    assert report["cost"]["reference"] == "cross_entropy"
    assert 0.2 < report["cost"]["ratio"] < 5
    assert report["panels"][0]["value"][49] == pytest.approx(0.6931, abs=1e-4)  # -log 0.5
    assert report["entry"] == "my_loss"
    assert len(report["sha256"]) == 64
    assert json.loads(json.dumps(report, allow_nan=False)) == report


class TwoHeads(nn.Module):
    """Two numbers, each from a layer of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(12, 1)
        self.second = nn.Linear(12, 1)

    def forward(self, images: Tensor) -> Tensor:
        flat = images.flatten(1)
        return torch.cat([self.first(flat), self.second(flat)], 1)


def test_parameters_that_no_gradient_reaches_are_named(tmp_path: Path) -> None:
    rng = torch.Generator().manual_seed(0)
    images, targets = torch.randn(5, 3, 2, 2, generator=rng), torch.randn(5, 2, generator=rng)
    batch = CheckBatch(model=TwoHeads(), images=images, targets=targets, task="regression", num_outputs=2)
    text = "def my_loss(output, target):\n    return (output[:, 0] - target[:, 0]).square().mean()\n"
    report = check_loss(write(tmp_path, text), "", prepare(batch))
    assert report["parameters"] == {"trainable": 4, "reached": 2, "unreached": ["second.weight", "second.bias"]}
    (finding,) = [f for f in report["findings"] if f["kind"] == "unreached"]
    assert finding["level"] == "error"
    assert "2 of 4 trainable parameters, such as second.weight" in finding["text"]


def test_frozen_parameters_need_no_gradient(tmp_path: Path) -> None:
    batch = synthetic("regression")
    for parameter in batch.model[0].parameters():
        parameter.requires_grad_(False)
    text = "def my_loss(output, target):\n    return (output - target).square().mean()\n"
    report = check_loss(write(tmp_path, text), "", prepare(batch))
    assert report["findings"] == []
    assert report["parameters"] == {"trainable": 2, "reached": 2, "unreached": []}


@pytest.mark.parametrize(
    ("takes", "limit", "remedy"),
    [
        ("while time.thread_time() < until: pass", {"seconds": 1.5}, "Make the loss faster"),
        ("time.sleep(0.1)", {"passed_seconds": 1.5}, "Remove what waits"),
    ],
)
def test_a_slow_loss_is_told_what_was_left_out(
    takes: str, limit: dict[str, float], remedy: str, tmp_path: Path
) -> None:
    text = f"""
        import time
        def my_loss(output, target):
            until = time.thread_time() + 0.1
            {takes}
            return (output - target).square().mean()
        """
    report = check_loss(write(tmp_path, text), "", prepare(synthetic("regression")), **limit)
    (finding,) = [f for f in report["findings"] if f["kind"] == "slow"]
    assert "edge cases" in finding["text"]
    assert "its curve" in finding["text"]
    assert report["ok"]


def test_time_that_others_took_of_a_busy_machine_counts_as_little() -> None:
    limit = Spent(20.0, 120.0)
    assert Spent.of(processor=0.001, passed=0.1).times(70).fits(limit)
    assert not Spent.of(processor=0.3, passed=0.3).times(70).fits(limit)
    assert not Spent.of(processor=0.0, passed=2.0).times(70).fits(limit)  # code that sleeps
    assert Spent.of(processor=8.0, passed=1.0) == Spent(1.0, 1.0)  # eight threads at work
    assert Spent(1.0, 2.0) + Spent(3.0, 4.0) == Spent(4.0, 6.0)


def test_the_watch_does_not_count_waiting_as_work() -> None:
    watch = Stopwatch()
    time.sleep(0.05)
    waited = watch.spent()
    until = time.thread_time() + 0.05
    while time.thread_time() < until:
        pass
    worked = watch.spent()
    assert waited.working < waited.passed >= 0.05
    assert worked.working - waited.working >= 0.05 * 0.99


def test_the_report_reads_as_text(tmp_path: Path) -> None:
    text = "import torch\ndef my_loss(output, target):\n    return (torch.ones(1) * (output - target)).abs().mean()\n"
    report = check_loss(write(tmp_path, text), "", prepare(synthetic("regression")))
    lines = describe_report(report).splitlines()
    assert lines[0] == "my_loss passed the check for regression, with 1 warning(s)."
    assert lines[1] == "on synthetic data, output 8 x 1"
    assert lines[2].startswith("The code is given predicted and true numbers")
    right, half, wrong = (f"{report['answers'][name]:.6g}" for name in ("right", "half", "wrong"))
    assert lines[3] == f"  all right {right}, half right {half}, all wrong {wrong}"
    assert [line.split()[0] for line in lines[4:7]] == ["fp32", "bf16", "fp16"]
    assert lines[7] == "  reaches 6 of 6 parameters"
    assert lines[-1].startswith("warning: my_code.py, line 3 ")
    failed = check_loss(write(tmp_path, "x = 1"), "", prepare(synthetic("regression")))
    assert describe_report(failed).splitlines()[0].endswith("my_code.py failed the check for regression.")
