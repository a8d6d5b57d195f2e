"""Numbers that are NaN or infinite: the run goes back, changes what the user chose, and nothing bad is kept."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fine_tuner.base.errors import NonFiniteError
from fine_tuner.runs.log.events import EvalMetrics, Mark, Message, TrainMetrics
from fine_tuner.training.loop.trainer import Trainer
from fine_tuner.training.recovery.evidence import Evidence
from fine_tuner.training.recovery.nonfinite import NonFiniteRecovery

from .conftest import assert_same, make_data, make_network
from .test_changes import cosine
from .test_out_of_memory import Tell

# torch's own schedulers, which these tests use, warn where the first step is passed over
pytestmark = pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
POISON = 17  # of the forty images


class Way:
    """A recovery that goes back to the state in memory since the last checkpoint, as a run does to its folder."""

    def __init__(self, trainer: Trainer, choice: str, limit: int = 3) -> None:
        self.trainer, self.evidence = trainer, []
        self.remember()
        trainer.recovery = NonFiniteRecovery(choice=choice, limit=limit, restore=self.restore, keep=self.keep)

    def remember(self) -> None:
        self.saved = copy.deepcopy((self.trainer.learner.model.state_dict(), self.trainer.state_dict()))

    def restore(self) -> None:
        model, rest = copy.deepcopy(self.saved)
        self.trainer.learner.model.load_state_dict(model)
        self.trainer.load_state_dict(rest)

    def keep(self, evidence: Evidence) -> str:
        self.evidence.append(evidence)
        return "evidence/step"


def way_of(make_trainer: Any, choice: str, *, limit: int = 3, **parts: Any) -> tuple[Trainer, Way, list[Any]]:
    """A trainer that saves at each epoch's end, its way back and its events."""
    events: list[Any] = []
    way: list[Way] = []

    def save(is_best: bool, is_durable: bool) -> str:
        assert all(t.isfinite().all() for t in trainer.learner.model.state_dict().values())
        way[0].remember()
        return "checkpoints/x"

    trainer = make_trainer(emit=events.append, save=save, evaluate=lambda: {"accuracy": 0.5}, **parts)
    way.append(Way(trainer, choice, limit))
    return trainer, way[0], events


def poisoned(make_trainer: Any, choice: str, **parts: Any) -> tuple[Trainer, Way, list[Any]]:
    """A trainer one of whose images is NaN."""
    trainer, way, events = way_of(make_trainer, choice, **parts)
    trainer.learner.batches.images[POISON] = math.nan
    return trainer, way, events


def steps_of(events: list[Any]) -> list[int]:
    """Steps as a chart shows them: those after a mark that goes back are dropped."""
    steps: list[int] = []
    for event in events:
        if isinstance(event, Mark) and event.rewind_to is not None:
            steps = [s for s in steps if s <= event.rewind_to]
        if isinstance(event, TrainMetrics):
            steps.append(event.step)
    return steps


def loss_that_fails(at: set[int], trainer_of: Callable[[], Trainer]) -> Callable[[Tensor, Tensor], Tensor]:
    """Cross entropy that is infinite in these steps, once each."""
    left = set(at)

    def loss_fn(logits: Tensor, targets: Tensor) -> Tensor:
        loss = nn.functional.cross_entropy(logits, targets)
        step = trainer_of().position.step + 1
        if step in left and trainer_of().learner.model.training and len(targets) > 1:
            left.discard(step)
            return loss * math.inf
        return loss

    return loss_fn


@pytest.mark.parametrize("at", [1, 3, 8], ids=["step-0", "first-epoch", "mid-epoch"])
def test_the_run_goes_back_and_is_the_one_that_never_had_the_step(make_trainer: Any, at: int) -> None:
    box: list[Trainer] = []
    trainer, _, events = way_of(make_trainer, "pass_over", dropout=0.3, loss_fn=loss_that_fails({at}, lambda: box[0]))
    box.append(trainer)
    torch.manual_seed(5)
    Way.remember(trainer.recovery.restore.__self__)
    assert trainer.train() == "completed"
    without = make_trainer(dropout=0.3, passed_over=frozenset({at}), evaluate=lambda: {"accuracy": 0.5})
    torch.manual_seed(5)
    without.train()
    assert_same(trainer.learner.model, without.learner.model)
    assert steps_of(events) == [s for s in range(1, 16) if s != at]
    (mark,) = [e for e in events if isinstance(e, Mark)]
    assert (mark.rewind_to, mark.changes) == (5 * (at > 5), {"rollbacks": 1, "pass_over": [at]})
    (message,) = [e for e in events if isinstance(e, Message)]
    assert f"loss is inf at step {at} " in message.text
    assert f"goes on passing over step {at}" in message.text


def test_it_ends_at_the_third_and_the_weights_are_the_last_good_ones(make_trainer: Any) -> None:
    box: list[Trainer] = []
    trainer, way, _ = way_of(make_trainer, "pass_over", loss_fn=loss_that_fails({2, 3, 4}, lambda: box[0]))
    box.append(trainer)
    start = copy.deepcopy(trainer.learner.model)
    with pytest.raises(NonFiniteError, match=r"step 4 .*number 3, the last that train\.nonfinite_limit allows"):
        trainer.train()
    assert_same(trainer.learner.model, start)
    assert len(way.evidence) == 3


def test_skip_leaves_out_the_image_that_is_to_blame_and_no_other(make_trainer: Any) -> None:
    trainer, way, events = poisoned(make_trainer, "skip")
    assert trainer.train() == "completed"
    assert steps_of(events) == list(range(1, 16))
    (evidence,) = way.evidence
    assert evidence.blamed == [POISON]
    assert trainer.learner.batches.left_out == {POISON}
    assert evidence.about["non_finite_images"] == [evidence.indices.index(POISON)]
    bad = evidence.batch["images"].isnan().flatten(1).any(1).nonzero().flatten().tolist()
    assert bad == evidence.about["non_finite_images"]
    clean = make_trainer(evaluate=lambda: {"accuracy": 0.5})
    clean.learner.batches.leave_out([POISON])
    clean.train()
    assert_same(trainer.learner.model, clean.learner.model)


def test_lower_halves_the_rate_from_the_place_it_went_back_to(make_trainer: Any) -> None:
    box: list[Trainer] = []
    trainer, _, events = way_of(make_trainer, "lower", loss_fn=loss_that_fails({8}, lambda: box[0]))
    box.append(cosine(trainer))
    trainer.recovery.restore.__self__.remember()
    trainer.train()
    rates = {e.step: e.metrics["train/lr/all"] for e in events if isinstance(e, TrainMetrics)}
    plain: list[Any] = []
    cosine(make_trainer(emit=plain.append)).train()
    planned = {e.step: e.metrics["train/lr/all"] for e in plain if isinstance(e, TrainMetrics)}
    assert rates == {step: rate * (0.5 if step > 5 else 1) for step, rate in planned.items()}


def test_bf16_is_what_an_fp16_run_goes_on_in(make_trainer: Any) -> None:
    box: list[Trainer] = []
    trainer, _, events = way_of(make_trainer, "bf16", dtype="fp16", loss_fn=loss_that_fails({3}, lambda: box[0]))
    box.append(trainer)
    assert trainer.train() == "completed"
    assert trainer.learner.precision.dtype == "bf16"
    (mark,) = [e for e in events if isinstance(e, Mark)]
    assert mark.changes == {"rollbacks": 1, "precision.dtype": "bf16"}
    assert [e.step for e in events if isinstance(e, TrainMetrics) and "train/loss_scale" in e.metrics] == [1, 2]


class BadGradient(torch.autograd.Function):
    """The identity, with a gradient that is not finite."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient * math.inf


def test_a_gradient_that_is_not_finite_beside_a_finite_loss_is_found(make_trainer: Any) -> None:
    bad = {7}

    def loss_fn(logits: Tensor, targets: Tensor) -> Tensor:
        loss = nn.functional.cross_entropy(logits, targets)
        return BadGradient.apply(loss) if trainer.position.step + 1 in bad and trainer.position.step >= 5 else loss

    trainer, way, events = way_of(make_trainer, "pass_over", loss_fn=loss_fn)
    assert trainer.train() == "completed"
    assert steps_of(events) == [s for s in range(1, 16) if s != 7]
    (message,) = [e for e in events if isinstance(e, Message)]
    assert "The gradient is not finite" in message.text
    assert all(t.isfinite().all() for t in trainer.learner.model.state_dict().values())
    assert way.evidence[0].about["what"] == "gradient"


def test_the_first_layer_with_a_bad_output_is_named(make_trainer: Any) -> None:
    class Overflowing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * (math.inf if trainer.position.step == 2 and self.training else 1.0)

    model = make_network()
    model.insert(2, Overflowing())
    trainer, way, _ = way_of(make_trainer, "pass_over", model=model)
    trainer.train()
    assert way.evidence[0].about["first_layer"] == "2 (Overflowing)"
    assert "first layer with an output that is not finite is 2 (Overflowing)" in way.evidence[0].sentence


def test_weights_that_went_bad_unseen_are_never_saved(make_trainer: Any) -> None:
    def spoil(epochs_done: int) -> None:
        if epochs_done == 1 and not spoilt:
            spoilt.append(1)
            with torch.no_grad():
                trainer.learner.model[1].running_var.fill_(math.nan)  # training does not look at it

    spoilt: list[int] = []
    trainer, _, events = way_of(make_trainer, "pass_over", before_epoch=spoil)
    assert trainer.train() == "completed"
    assert steps_of(events) == list(range(1, 16))
    assert [e.epoch for e in events if isinstance(e, EvalMetrics)] == [1, 2, 3]
    (message,) = [e for e in events if isinstance(e, Message)]
    assert "The weights are not finite" in message.text


def test_a_change_by_the_user_after_the_checkpoint_is_made_again(make_trainer: Any) -> None:
    """The run's log would give it back; here the control does."""
    box: list[Trainer] = []
    control = Tell({6: {"lr_factor": 0.5}})
    trainer, way, events = way_of(
        make_trainer, "pass_over", control=control, loss_fn=loss_that_fails({9}, lambda: box[0])
    )
    box.append(cosine(trainer))
    way.remember()
    restore = way.restore

    def restore_and_repeat() -> None:
        restore()
        control.to_do = {6: {"lr_factor": 0.5}}

    trainer.recovery.restore = restore_and_repeat
    trainer.train()
    rates = {e.step: e.metrics["train/lr/all"] for e in events if isinstance(e, TrainMetrics)}
    plain: list[Any] = []
    cosine(make_trainer(emit=plain.append)).train()
    planned = {e.step: e.metrics["train/lr/all"] for e in plain if isinstance(e, TrainMetrics)}
    assert rates == {s: r * (0.5 if s > 6 else 1) for s, r in planned.items() if s != 9}


def test_the_images_of_the_evidence_are_those_of_the_step(make_trainer: Any) -> None:
    trainer, way, _ = poisoned(make_trainer, "skip", accumulate=2)
    trainer.train()
    (evidence,) = way.evidence
    images, targets = make_data()
    assert evidence.batch["targets"].tolist() == targets[evidence.indices].tolist()
    clean = [i for i in range(len(evidence.indices)) if evidence.indices[i] != POISON]
    torch.testing.assert_close(
        evidence.batch["images"][clean], images[[evidence.indices[i] for i in clean]], rtol=0, atol=0
    )


@pytest.mark.parametrize("choice", ["skip", "pass_over"])
def test_what_was_left_out_stays_out_after_a_resume(make_trainer: Any, choice: str) -> None:
    whole, _, _ = poisoned(make_trainer, choice, limit=9, dropout=0.3)
    whole.train()
    first, _, _ = poisoned(make_trainer, choice, limit=9, dropout=0.3, control=Tell(stop_at=8))
    assert first.train() == "stopped"
    model, rest = copy.deepcopy((first.learner.model.state_dict(), first.state_dict()))
    second, way, events = poisoned(make_trainer, choice, limit=9, dropout=0.3)
    second.learner.model.load_state_dict(model)
    second.load_state_dict(rest)
    way.remember()
    second.train()
    assert_same(second.learner.model, whole.learner.model)
    assert second.position.rollbacks == whole.position.rollbacks
    assert [e for e in events if isinstance(e, Message)] == [] or choice == "pass_over"
