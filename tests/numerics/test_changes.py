"""Changes of rate and length while a run goes on: applied at their step, marked, and carried by a resume."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from fine_tuner.config.sections.schedules import CosineAnnealingLR
from fine_tuner.runs.log.events import Mark, Message, TrainMetrics
from fine_tuner.schedules import build_schedule, preview

from .conftest import assert_same

LR = 1e-2


class Wishes:
    """Changes at given steps, a checkpoint at one, a stop at another."""

    def __init__(
        self, changes: Mapping[int, Mapping[str, Any]], *, stop_at: int | None = None, save_at: int = -1
    ) -> None:
        self.to_do, self.stop_at, self.save_at = dict(changes), stop_at, save_at
        self.step = 0

    def wanted(self) -> str | None:
        return "stop" if self.stop_at is not None and self.step >= self.stop_at else None

    def changes(self, step: int) -> list[Mapping[str, Any]]:
        self.step = step + 1  # this step is about to be made
        return [self.to_do.pop(step)] if step in self.to_do else []

    def wants_validation(self) -> bool:
        return False

    def wants_checkpoint(self) -> bool:
        return self.step - 1 == self.save_at


def cosine(trainer: Any) -> Any:
    """The trainer with a cosine schedule of ours over its length."""
    learner = trainer.learner
    for group in learner.optimizer.param_groups:
        group["lr"] = LR
    learner.schedule = build_schedule(
        CosineAnnealingLR(), learner.optimizer, total_steps=learner.total_steps, steps_per_epoch=learner.steps_per_epoch
    )
    return trainer


def planned(steps: int) -> list[float]:
    points = list(range(1, steps + 1))
    return preview(CosineAnnealingLR(), {"all": LR}, total_steps=steps, steps_per_epoch=5, points=points)["all"]


def rates(events: list[Any]) -> list[float]:
    return [e.metrics["train/lr/all"] for e in events if isinstance(e, TrainMetrics)]


def test_a_halved_rate_holds_from_its_step_on_and_is_marked(make_trainer: Any) -> None:
    events: list[Any] = []
    cosine(make_trainer(emit=events.append, control=Wishes({7: {"lr_factor": 0.5}}))).train()
    assert rates(events) == [r * (0.5 if i >= 7 else 1.0) for i, r in enumerate(planned(15))]
    (mark,) = [e for e in events if isinstance(e, Mark)]
    assert (mark.step, mark.label, mark.changes) == (7, "rate × 0.5", {"lr_factor": 0.5})


def test_a_new_value_is_the_rate_of_the_next_step(make_trainer: Any) -> None:
    events: list[Any] = []
    cosine(make_trainer(emit=events.append, control=Wishes({4: {"optim.lr": 2e-3}}))).train()
    assert rates(events)[4] == pytest.approx(2e-3, rel=1e-12)


def test_more_epochs_refit_the_schedule_and_lengthen_the_run(make_trainer: Any) -> None:
    events: list[Any] = []
    trainer = cosine(make_trainer(emit=events.append, control=Wishes({5: {"train.epochs": 6}})))
    trainer.train()
    assert trainer.position.step == 30
    assert rates(events) == planned(15)[:5] + planned(30)[5:]


@pytest.mark.parametrize(
    ("wish", "path"),
    [
        ({"train.epochs": 1}, "train.epochs"),
        ({"optim.lr": -1.0}, "optim.lr"),
        ({"lr_factor": float("nan")}, "optim.lr"),
        ({"loss.name": 1.0}, "loss.name"),
    ],
)
def test_a_wish_that_makes_no_sense_warns_and_changes_nothing(
    make_trainer: Any, wish: Mapping[str, Any], path: str
) -> None:
    events: list[Any] = []
    cosine(make_trainer(emit=events.append, control=Wishes({8: wish}))).train()
    assert rates(events) == planned(15)
    (message,) = [e for e in events if isinstance(e, Message)]
    assert (message.level, message.step) == ("warning", 8)
    assert message.text.startswith(f"Not changed. {path}: ")
    assert not [e for e in events if isinstance(e, Mark)]


def test_changes_survive_a_resume_bit_for_bit(make_trainer: Any) -> None:
    changes = {3: {"lr_factor": 2.0}, 6: {"train.epochs": 4}}
    whole = cosine(make_trainer(dropout=0.5, control=Wishes(changes)))
    whole.train()

    first = cosine(make_trainer(dropout=0.5, control=Wishes(changes, stop_at=8)))
    assert first.train() == "stopped"
    state = first.state_dict()  # before another trainer is made, which seeds the generators
    second = cosine(make_trainer(dropout=0.5))
    second.learner.model.load_state_dict(first.learner.model.state_dict())
    second.load_state_dict(state)
    assert second.train() == "completed"
    assert whole.position == second.position
    assert whole.position.step == 20
    assert_same(whole.learner.model, second.learner.model)


def test_a_checkpoint_is_saved_when_asked_for(make_trainer: Any) -> None:
    saved: list[int] = []

    def save(is_best: bool, is_durable: bool) -> str:
        saved.append(trainer.position.step)
        return "x"

    trainer = cosine(make_trainer(control=Wishes({}, save_at=7), save=save))
    trainer.train()
    assert saved == [5, 7, 10, 15]
