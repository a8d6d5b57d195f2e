"""What every trainer owes: it is the plain loop, resumes exactly, accumulates exactly, and refuses bad numbers."""

from __future__ import annotations

import copy
import io
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fine_tuner.base.errors import NonFiniteError
from fine_tuner.export.script.replay import is_better
from fine_tuner.runs.log.events import EvalMetrics, Message, TrainMetrics
from fine_tuner.runs.log.series import best_point
from fine_tuner.training.loop.validation import BestTracker

from .conftest import CLASSES, TensorBatches, assert_same, make_data, make_network


class StopAt:
    """The wish to stop once a number of steps is done."""

    def __init__(self, steps: int, wish: str = "stop") -> None:
        self.trainer: Any = None
        self.steps, self.wish = steps, wish

    def wanted(self) -> str | None:
        return self.wish if self.trainer.position.step >= self.steps else None

    def changes(self, step: int) -> list[dict]:
        return []

    def wants_validation(self) -> bool:
        return False

    def wants_checkpoint(self) -> bool:
        return False


def test_trainer_equals_a_plain_loop_bit_for_bit(make_trainer: Any) -> None:
    ours = make_trainer(epochs=3)
    model = copy.deepcopy(ours.learner.model)
    ours.train()

    images, targets = make_data()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.97)
    model.train()
    for epoch in range(3):
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(7 + epoch))
        for chunk in order.split(8):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[chunk]), targets[chunk]).backward()
            optimizer.step()
            scheduler.step()
    assert_same(ours.learner.model, model)


@pytest.mark.parametrize("stop_at", [3, 5, 7, 10], ids=["mid-epoch", "epoch-end", "second-epoch", "second-epoch-end"])
def test_resumed_equals_uninterrupted_bit_for_bit(make_trainer: Any, stop_at: int) -> None:
    parts = {"dropout": 0.5, "evaluate": lambda: {"accuracy": 0.5}}
    whole = make_trainer(**parts)
    whole.train()

    first = make_trainer(**parts, control=(stop := StopAt(stop_at)))
    stop.trainer = first
    assert first.train() == "stopped"
    assert first.position.step == stop_at
    buffer = io.BytesIO()
    torch.save({"model": first.learner.model.state_dict(), "rest": first.state_dict()}, buffer)

    torch.manual_seed(999)  # another process has other random state
    buffer.seek(0)
    saved = torch.load(buffer, weights_only=True)
    second = make_trainer(**parts)
    second.learner.model.load_state_dict(saved["model"])
    torch.manual_seed(12345)
    second.load_state_dict(saved["rest"])
    assert second.train() == "completed"
    assert_same(whole.learner.model, second.learner.model)
    assert whole.position == second.position


@pytest.mark.parametrize("count", [40, 37], ids=["even", "last-batch-smaller"])
def test_accumulated_equals_large_batch(make_trainer: Any, count: int) -> None:
    def sgd(groups: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD(groups, lr=0.1, momentum=0.9)

    def plain_network() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(48, 16), nn.Tanh(), nn.Linear(16, CLASSES))  # no batch statistics

    large = make_trainer(batch_size=8, optimizer=sgd, model=plain_network(), count=count)
    small = make_trainer(batch_size=2, accumulate=4, optimizer=sgd, model=plain_network(), count=count)
    large.train()
    small.train()
    assert large.position.step == small.position.step == 15
    assert_same(
        large.learner.model, small.learner.model, rtol=1e-5, atol=1e-6, because="only the order of float32 sums differs"
    )


def test_overfits_one_batch(make_trainer: Any) -> None:
    losses: list[float] = []

    def keep(event: Any) -> None:
        if isinstance(event, TrainMetrics):
            losses.append(event.metrics["train/loss"])

    make_trainer(batch_size=40, epochs=150, emit=keep).train()
    assert len(losses) == 150
    assert losses[-1] < 0.02 * losses[0]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_non_finite_loss_stops_before_the_update(make_trainer: Any, value: float) -> None:
    calls = []

    def loss_fn(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return nn.functional.cross_entropy(logits, targets) * (value if len(calls) == 4 else 1.0)

    weights: list[dict] = []

    def keep(event: Any) -> None:
        if isinstance(event, TrainMetrics):
            weights.append({k: v.clone() for k, v in trainer.learner.model.named_parameters()})

    trainer = make_trainer(loss_fn=loss_fn, emit=keep)
    with pytest.raises(NonFiniteError, match=rf"loss is {value} at step 4 .*learning rate all 0\.00913.*not updated"):
        trainer.train()
    assert len(weights) == 3
    torch.testing.assert_close(dict(trainer.learner.model.named_parameters()), weights[-1], rtol=0, atol=0)


def test_logged_loss_is_the_mean_over_the_images_of_the_step(make_trainer: Any) -> None:
    events: list[Any] = []
    trainer = make_trainer(batch_size=16, accumulate=3, epochs=1, emit=events.append)  # 16 + 16 + 8 images, one step
    model = copy.deepcopy(trainer.learner.model)
    images, targets = make_data()
    order = torch.randperm(40, generator=torch.Generator().manual_seed(7))
    model.train()
    sums = [
        nn.functional.cross_entropy(model(images[c]), targets[c], reduction="sum") for c in order.split(16)
    ]  # statistics per micro-batch, as the trainer sees them
    trainer.train()
    (event,) = [e for e in events if isinstance(e, TrainMetrics)]
    assert event.metrics["train/loss"] == pytest.approx(torch.stack(sums).sum().item() / 40, rel=1e-6)


def test_rates_logged_are_the_rates_applied(make_trainer: Any) -> None:
    events: list[Any] = []
    make_trainer(epochs=2, emit=events.append).train()
    logged = [e.metrics["train/lr/all"] for e in events if isinstance(e, TrainMetrics)]
    assert logged == pytest.approx([1e-2 * 0.97**step for step in range(10)], rel=1e-12)


def test_gradient_norm_is_logged_before_clipping(make_trainer: Any) -> None:
    free, clipped = [], []
    make_trainer(epochs=1, emit=free.append).train()
    make_trainer(epochs=1, emit=clipped.append, clip_norm=1e-3).train()
    assert free[0].metrics["train/grad_norm"] == clipped[0].metrics["train/grad_norm"] > 1e-3


def test_best_is_never_a_non_finite_value_and_follows_the_direction() -> None:
    best = BestTracker(key="val/loss", higher_is_better=False)
    assert [best.update(v, e) for e, v in enumerate([float("nan"), 2.0, 3.0, float("-inf"), 1.0])] == [
        False, True, False, False, True,
    ]  # fmt: skip
    assert (best.value, best.epoch) == (1.0, 4)


def test_the_best_has_a_finite_loss_where_any_has_one() -> None:
    """The accuracy of answers that are NaN is a number: that of the first class."""
    best = BestTracker(key="val/accuracy")
    told = [(0.4, False), (0.5, False), (0.3, True), (0.6, False), (0.4, True)]
    taken = [best.update(value, epoch, has_finite_loss=finite) for epoch, (value, finite) in enumerate(told)]
    assert taken == [True, True, True, False, True]
    values, losses = np.array([v for v, _ in told]), np.array([0.0 if finite else np.nan for _, finite in told])
    assert best_point(values, higher=True, losses=losses) == best.epoch == 4
    choice, chosen = None, []
    for value, finite in told:
        loss = 1.0 if finite else float("nan")
        chosen.append(is_better(value, loss, choice, higher_is_better=True))
        choice = (value, finite) if chosen[-1] else choice
    assert chosen == taken, "an exported script chooses the same"


def test_a_validation_loss_that_is_not_finite_is_said(make_trainer: Any) -> None:
    values = iter([{"loss": float("nan"), "accuracy": 0.5}, {"loss": 1.0, "accuracy": 0.4}])
    events: list[Any] = []
    make_trainer(epochs=2, evaluate=lambda: next(values), emit=events.append).train()
    (warning,) = (e for e in events if isinstance(e, Message))
    assert warning.level == "warning"
    assert "The validation loss of epoch 1 is nan" in warning.text
    assert [e.is_best for e in events if isinstance(e, EvalMetrics)] == [True, True]


def test_every_epoch_is_validated_once_and_best_is_saved(make_trainer: Any) -> None:
    values = iter([0.5, 0.8, 0.7])
    events: list[Any] = []
    saved: list[tuple[int, bool, bool]] = []

    def save(is_best: bool, is_durable: bool) -> str:
        saved.append((trainer.position.epoch, is_best, is_durable))
        return "checkpoints/x"

    trainer = make_trainer(evaluate=lambda: {"accuracy": next(values)}, emit=events.append, save=save)
    trainer.train()
    evaluated = [e for e in events if isinstance(e, EvalMetrics)]
    assert [(e.epoch, e.step, e.metrics, e.is_best) for e in evaluated] == [
        (1, 5, {"val/accuracy": 0.5}, True),
        (2, 10, {"val/accuracy": 0.8}, True),
        (3, 15, {"val/accuracy": 0.7}, False),
    ]
    assert [(epoch, is_best) for epoch, is_best, is_durable in saved if is_durable] == [
        (1, True), (2, True), (3, False),
    ]  # fmt: skip
    before_validation = [(epoch, is_best) for epoch, is_best, is_durable in saved if not is_durable]
    assert before_validation == [(1, True), (2, False), (3, False)]


def test_an_interrupted_validation_is_made_up_on_resume(make_trainer: Any) -> None:
    stop = StopAt(10)
    answers = iter([{"accuracy": 0.5}, None])
    first = make_trainer(evaluate=lambda: next(answers), control=stop)
    stop.trainer = first
    assert first.train() == "stopped"
    assert (first.position.epoch, first.position.validated_epochs) == (2, 1)

    events: list[Any] = []
    second = make_trainer(evaluate=lambda: {"accuracy": 0.6}, emit=events.append)
    second.learner.model.load_state_dict(first.learner.model.state_dict())
    second.load_state_dict(first.state_dict())
    second.train()
    assert [e.epoch for e in events if isinstance(e, EvalMetrics)] == [2, 3]


def test_stop_before_the_first_epoch_keeps_the_weights_as_best(make_trainer: Any) -> None:
    saved: list[bool] = []
    stop = StopAt(2, wish="pause")
    trainer = make_trainer(
        control=stop, save=lambda is_best, _: saved.append(is_best) or "x", evaluate=lambda: {"accuracy": 1.0}
    )
    stop.trainer = trainer
    assert trainer.train() == "paused"
    assert saved == [True]


def test_a_step_never_crosses_an_epoch(make_trainer: Any) -> None:
    events: list[Any] = []
    trainer = make_trainer(accumulate=2, emit=events.append, evaluate=lambda: {"accuracy": 0.0})
    assert isinstance(trainer.learner.batches, TensorBatches)
    assert (trainer.learner.batches.per_epoch, trainer.learner.steps_per_epoch) == (5, 3)
    trainer.train()
    assert [e.step for e in events if isinstance(e, EvalMetrics)] == [3, 6, 9]
    assert trainer.position.images_seen == 3 * 40


def test_a_network_without_parts_in_train_mode_is_put_there(make_trainer: Any) -> None:
    trainer = make_trainer(model=make_network().eval(), epochs=1)
    trainer.train()
    assert trainer.learner.model.training
