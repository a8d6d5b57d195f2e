"""Validation numbers are those of the whole split, whatever the batches; each metric is its formula."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fine_tuner.config.tasks import TargetKind
from fine_tuner.metrics import (
    classification_metrics,
    multilabel_metrics,
    regression_metrics,
    segmentation_metrics,
)
from fine_tuner.precision import Precision
from fine_tuner.tasks import TASKS
from fine_tuner.training.loop.validation import evaluate

CPU = torch.device("cpu")


def run(model: nn.Module, images: torch.Tensor, targets: torch.Tensor, batch_size: int, **parts: object) -> dict | None:
    batches = list(zip(images.split(batch_size), targets.split(batch_size), strict=True))
    loss_fn = parts.pop("loss_fn", nn.CrossEntropyLoss())
    return evaluate(
        model, batches, loss_fn=loss_fn, metrics=parts.pop("metrics", classification_metrics(3)),
        precision=Precision("fp32", CPU), **parts,
    )  # fmt: skip


def data(count: int = 23) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 3, generator=generator), torch.randint(0, 3, (count,), generator=generator)


def test_uneven_batches_give_the_numbers_of_one_batch() -> None:
    images, targets = data()
    whole, uneven = (run(nn.Identity(), images, targets, size) for size in (23, 5))
    assert whole == pytest.approx(uneven, rel=1e-6)
    assert whole["loss"] == pytest.approx(nn.functional.cross_entropy(images, targets).item(), rel=1e-6)
    assert whole["accuracy"] == pytest.approx((images.argmax(1) == targets).double().mean().item(), rel=1e-6)


def test_two_validations_do_not_mix() -> None:
    images, targets = data()
    metrics = classification_metrics(3)
    first = run(nn.Identity(), images, targets, 8, metrics=metrics)
    run(nn.Identity(), -images, targets, 8, metrics=metrics)
    assert run(nn.Identity(), images, targets, 8, metrics=metrics) == first


def test_the_network_is_in_evaluation_mode_and_keeps_no_gradient() -> None:
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.9))
    before = model[0].running_mean.clone()
    images, targets = data()
    assert run(model, images, targets, 8) == run(model, images, targets, 8)
    assert not model.training
    torch.testing.assert_close(model[0].running_mean, before, rtol=0, atol=0)


def test_a_wish_to_stop_ends_validation_without_numbers() -> None:
    images, targets = data()
    asked: list[int] = []

    def should_stop() -> bool:
        asked.append(1)
        return len(asked) == 2

    assert run(nn.Identity(), images, targets, 5, should_stop=should_stop) is None
    assert len(asked) == 2


def test_no_images_give_no_numbers() -> None:
    assert evaluate(
        nn.Identity(), [], loss_fn=nn.CrossEntropyLoss(), metrics=classification_metrics(3),
        precision=Precision("fp32", CPU),
    ) == {}  # fmt: skip


def test_macro_f1_is_the_mean_of_the_classes_f1() -> None:
    logits = torch.eye(3)[torch.tensor([0, 0, 1, 2, 2, 2])]
    targets = torch.tensor([0, 1, 1, 2, 2, 0])
    metrics = classification_metrics(3)
    metrics.update(logits, targets)
    # class 0: TP 1 FP 1 FN 1; class 1: TP 1 FP 0 FN 1; class 2: TP 2 FP 1 FN 0
    f1 = [2 * tp / (2 * tp + fp + fn) for tp, fp, fn in [(1, 1, 1), (1, 0, 1), (2, 1, 0)]]
    assert metrics.compute()["f1"].item() == pytest.approx(sum(f1) / 3)


def test_top5_appears_above_five_classes_only() -> None:
    assert set(classification_metrics(5)) == {"accuracy", "f1"}
    metrics = classification_metrics(6)
    metrics.update(torch.tensor([[6.0, 5, 4, 3, 2, 1]] * 2), torch.tensor([4, 5]))
    assert metrics.compute()["top5"].item() == 0.5


def test_overlap_metrics_are_their_formulas_and_leave_out_ignored_pixels() -> None:
    predicted = torch.tensor([[[0, 0, 1], [1, 1, 0]]])
    targets = torch.tensor([[[0, 1, 1], [1, 0, 255]]])
    logits = nn.functional.one_hot(predicted, 3).permute(0, 3, 1, 2).float()
    metrics = segmentation_metrics(3, ignore_index=255)  # class 2 is in neither, so it is left out of the means
    metrics.update(logits, targets)
    # counted pixels: (0,0) (0,1) (1,1) (1,1) (1,0): class 0: hit 1 of 2 and 2; class 1: hit 2 of 3 and 3
    got = {k: v.item() for k, v in metrics.compute().items()}
    assert got == pytest.approx({"mean_iou": (1 / 3 + 2 / 4) / 2, "dice": (2 / 4 + 4 / 6) / 2, "pixel_accuracy": 3 / 5})


@pytest.mark.parametrize("width", [1, 2])
def test_regression_metrics_are_their_formulas(width: int) -> None:
    generator = torch.Generator().manual_seed(0)
    outputs, targets = torch.randn(12, width, generator=generator), torch.randn(12, width, generator=generator)
    metrics = regression_metrics(width)
    for o, t in zip(outputs.split(5), targets.split(5), strict=True):
        metrics.update(o, t)
    error = outputs - targets
    explained = 1 - error.square().sum(0) / (targets - targets.mean(0)).square().sum(0)
    got = {k: v.item() for k, v in metrics.compute().items()}
    expected = {
        "mae": error.abs().mean().item(),
        "rmse": error.square().mean(0).sqrt().mean().item(),
        "r2": explained.mean().item(),
    }
    assert got == pytest.approx(expected, rel=1e-5)


def test_average_precision_is_one_for_a_perfect_ranking() -> None:
    targets = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
    metrics = multilabel_metrics(2)
    metrics.update(targets * 6 - 3, targets)
    assert {k: v.item() for k, v in metrics.compute().items()} == {"map": 1.0, "f1": 1.0}


def test_every_task_s_metrics_are_those_its_specs_describe() -> None:
    examples = {
        TargetKind.CLASS: (torch.eye(6), torch.arange(6)),
        TargetKind.LABELS: (torch.randn(6, 6), torch.eye(6)),
        TargetKind.NUMBERS: (torch.randn(6, 6), torch.randn(6, 6)),
        TargetKind.MASK: (torch.randn(2, 6, 4, 4), torch.randint(0, 6, (2, 4, 4))),
    }
    assert {task.spec.target for task in TASKS.values()} == set(examples)
    for task in TASKS.values():
        names = tuple("abcdef")
        metrics = task.build_metrics(6, **task.arguments_of_metrics(names))
        metrics.update(*examples[task.spec.target])
        assert {f"val/{key}" for key in metrics.compute()} == task.spec.measured(names).keys() - {"val/loss"}
