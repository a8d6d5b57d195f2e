"""Changes that the settings ask for are in the preview as in the run; a plateau's lower bound outlives them."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from fine_tuner.config.io import CHOICES
from fine_tuner.config.live_changes import Change, changes_of, parse_change, wishes_of
from fine_tuner.schedules import build_schedule, lowest_from_now, preview, preview_lowest
from fine_tuner.schedules.curves import StandIn
from fine_tuner.schedules.rates import plan_rates

VARIANTS = CHOICES["schedule"].variants
LRS = {"head": 0.1, "backbone": 0.01}
RUN = {"total_steps": 60, "steps_per_epoch": 6}
MADE = [(7, {"lr_factor": 0.5}), (19, {"optim.lr": 0.02}), (31, {"train.epochs": 14})]
TEXTS = ("7:lr_factor=0.5", "19:optim.lr=0.02", "31:train.epochs=14")


def make(settings: Any) -> Any:
    return build_schedule(settings, StandIn(list(LRS.values()), list(LRS)), higher_is_better=True, **RUN)


def test_texts_and_changes_are_inverse() -> None:
    assert tuple(map(str, changes_of(MADE))) == TEXTS
    assert wishes_of(map(parse_change, reversed(TEXTS))) == [(s, {k: float(v) for k, v in w.items()}) for s, w in MADE]
    assert parse_change(" 5 : optim.lr = 1e-4 ") == Change(5, "optim.lr", 1e-4)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_plan_with_changes_is_what_a_run_with_them_applies(name: str) -> None:
    settings = VARIANTS[name](warmup_steps=4, changes=TEXTS)
    schedule, applied, wishes = make(settings), [], dict(MADE)
    for step in range(14 * 6):
        for setting, value in wishes.pop(step, {}).items():
            schedule.change(setting, value)
        applied.append(schedule.rates_after(schedule.steps_done))
        schedule.step()
    plan = plan_rates(settings, LRS, **RUN)
    assert plan["steps"] == list(range(1, 14 * 6 + 1))
    assert [list(row) for row in zip(*plan["groups"].values(), strict=True)] == applied


def test_the_worst_case_with_changes_is_a_run_that_never_gains() -> None:
    settings = VARIANTS["ReduceLROnPlateau"](patience=0, changes=TEXTS)
    schedule, applied, wishes = make(settings), [], dict(MADE)
    for step in range(14 * 6):
        for setting, value in wishes.pop(step, {}).items():
            schedule.change(setting, value)
        applied.append(schedule.rates_after(schedule.steps_done)[0])
        schedule.step()
        if (step + 1) % 6 == 0:
            schedule.end_epoch(0.5)
    assert plan_rates(settings, LRS, **RUN)["lowest"]["head"] == applied


@pytest.mark.parametrize("metrics", [[], [0.4], [0.4, 0.5, 0.5], [-3.0, -3.5]])
def test_from_where_a_plateau_stands_both_bounds_are_told_and_nothing_moves(metrics: list[float]) -> None:
    settings = VARIANTS["ReduceLROnPlateau"](patience=1)
    schedule = make(settings)
    for metric in metrics:
        schedule.steps_done += 6
        schedule.end_epoch(metric)
    schedule.rescale(0.5)
    before = schedule.state_dict()
    points = list(range(schedule.steps_done + 1, 61))
    lowest, highest = lowest_from_now(schedule, points), schedule.plan(points)
    assert schedule.state_dict() == before

    worst = []
    for step in points:
        worst.append(schedule.rates_after(step - 1)[0])
        schedule.step()
        if step % 6 == 0:
            schedule.end_epoch(-1e9 if metrics else 0.0)
    assert lowest["head"] == worst
    assert all(low <= high for low, high in zip(lowest["head"], highest["head"], strict=True))
    assert lowest["head"][-1] < highest["head"][-1]


def test_only_a_metric_has_a_worst_case_and_without_changes_all_is_as_it_was() -> None:
    assert lowest_from_now(make(VARIANTS["StepLR"]()), [1, 2]) is None
    settings = VARIANTS["ReduceLROnPlateau"]()
    points = list(range(1, 61))
    assert preview(settings, LRS, points=points, **RUN) == make(settings).plan(points)
    longer = dataclasses.replace(settings, changes=("60:lr_factor=0.5",))
    assert preview_lowest(longer, LRS, points=points, **RUN) == preview_lowest(settings, LRS, points=points, **RUN)
