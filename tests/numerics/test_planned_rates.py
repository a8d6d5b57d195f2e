"""For every schedule: a short real run logs exactly the rates that were planned, at every step and in every group."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import nn

from fine_tuner.config.io import CHOICES
from fine_tuner.runs.log.events import TrainMetrics
from fine_tuner.schedules import build_schedule
from fine_tuner.schedules.rates import plan_rates

LRS = {"head": 0.02, "backbone": 0.002}
EPOCHS = 4


@pytest.mark.parametrize("warmup", [0, 3])
@pytest.mark.parametrize("name", CHOICES["schedule"].variants)
def test_a_run_logs_the_planned_rates(make_trainer: Any, name: str, warmup: int) -> None:
    settings = CHOICES["schedule"].variants[name](warmup_steps=warmup)
    network = nn.Sequential(nn.Flatten(), nn.Linear(48, 8), nn.Linear(8, 3))
    groups = [
        {"params": list(part.parameters()), "name": group, "lr": LRS[group]}
        for group, part in (("head", network[2]), ("backbone", network[1]))
    ]
    events: list[Any] = []
    better = itertools.count(1)  # no drop of ReduceLROnPlateau while the metric improves
    trainer = make_trainer(
        model=network, epochs=EPOCHS, emit=events.append, evaluate=lambda: {"accuracy": next(better) / 10},
        optimizer=lambda _: torch.optim.SGD(groups, lr=1.0, momentum=0.9),
    )  # fmt: skip
    trainer.validation.best.key, trainer.validation.best.higher_is_better = "val/accuracy", True
    for group in trainer.learner.optimizer.param_groups:
        group["lr"] = LRS[group["name"]]
        group.pop("initial_lr", None)
    length = {"total_steps": trainer.learner.total_steps, "steps_per_epoch": trainer.learner.steps_per_epoch}
    trainer.learner.schedule = build_schedule(settings, trainer.learner.optimizer, higher_is_better=True, **length)
    trainer.train()
    logged = [e for e in events if isinstance(e, TrainMetrics)]
    plan = plan_rates(settings, LRS, **length)
    assert plan["steps"] == [e.step for e in logged] == list(range(1, 21))
    assert plan["groups"] == {g: [e.metrics[f"train/lr/{g}"] for e in logged] for g in LRS}
