"""Changes while running are replayed by a resume; momentum, plateaus and restarts are torch's."""

from __future__ import annotations

import random

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from fine_tuner.base.errors import ConfigError, TrainingError
from fine_tuner.config.io import CHOICES
from fine_tuner.config.sections import schedules as settings_of
from fine_tuner.config.sections.schedules import ScheduleSettings
from fine_tuner.schedules import Schedule, build_schedule, preview, preview_lowest

VARIANTS = CHOICES["schedule"].variants
EVERY = pytest.mark.parametrize("name", VARIANTS)
LRS = {"head": 0.1, "backbone": 0.01}
RUN = {"total_steps": 40, "steps_per_epoch": 4}


def make_optimizer(kind: type[torch.optim.Optimizer] = torch.optim.SGD, **arguments: float) -> torch.optim.Optimizer:
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": lr, "name": name} for name, lr in LRS.items()]
    return kind(groups, lr=1.0, **arguments)


def start(
    settings: ScheduleSettings, *, higher_is_better: bool = True, **run: int
) -> tuple[Schedule, torch.optim.Optimizer]:
    optimizer = make_optimizer()
    return build_schedule(settings, optimizer, higher_is_better=higher_is_better, **RUN | run), optimizer


def rates(optimizer: torch.optim.Optimizer) -> list[float]:
    return [group["lr"] for group in optimizer.param_groups]


def advance(
    schedule: Schedule, optimizer: torch.optim.Optimizer, steps: int, *, metric: float = 0.5
) -> list[list[float]]:
    rows = []
    for _ in range(steps):
        rows.append(rates(optimizer))
        schedule.step()
        if schedule.steps_done % schedule.steps_per_epoch == 0:
            schedule.end_epoch(metric)
    return rows


def end_epoch(schedule: Schedule, metric: float | None) -> None:
    """Take the steps of one epoch and end it."""
    for _ in range(schedule.steps_per_epoch):
        schedule.step()
    schedule.end_epoch(metric)


# ------------------------------------------------------ changes while it runs
@EVERY
def test_rescaling_multiplies_this_and_all_later_rates(name: str) -> None:
    schedule, optimizer = start(VARIANTS[name](warmup_steps=3))
    expected, reference = start(VARIANTS[name](warmup_steps=3))
    advance(schedule, optimizer, 10)
    advance(expected, reference, 10)
    schedule.rescale(0.5)
    halves = [[rate * 0.5 for rate in row] for row in advance(expected, reference, 30)]
    assert advance(schedule, optimizer, 30) == halves


@EVERY
def test_a_new_value_is_the_head_s_next_rate_and_the_rest_keeps_its_proportion(name: str) -> None:
    schedule, optimizer = start(VARIANTS[name]())
    advance(schedule, optimizer, 6)
    head, backbone = rates(optimizer)
    schedule.set_lr(0.02)
    assert rates(optimizer) == pytest.approx([0.02, 0.02 * backbone / head], rel=1e-12)


@EVERY
@pytest.mark.parametrize("total_steps", [24, 80])
def test_a_run_made_longer_or_shorter_goes_on_as_a_run_of_that_length(name: str, total_steps: int) -> None:
    schedule, optimizer = start(VARIANTS[name](warmup_steps=3))
    fresh, reference = start(VARIANTS[name](warmup_steps=3), total_steps=total_steps)
    advance(schedule, optimizer, 8)
    advance(fresh, reference, 8)
    schedule.refit(total_steps)
    if name != "ReduceLROnPlateau":  # another patience, had it been so from the start
        assert advance(schedule, optimizer, total_steps - 8) == advance(fresh, reference, total_steps - 8)
    assert schedule.total_steps == total_steps


@EVERY
def test_a_resume_replays_every_change(name: str) -> None:
    settings = VARIANTS[name](warmup_steps=3)
    schedule, optimizer = start(settings)
    advance(schedule, optimizer, 7)
    schedule.rescale(2)
    advance(schedule, optimizer, 5)
    schedule.set_lr(0.037)
    schedule.refit(60)
    state = schedule.state_dict()
    resumed, other = start(settings)
    resumed.load_state_dict(state)
    assert rates(other) == rates(optimizer)
    assert advance(resumed, other, 48) == advance(schedule, optimizer, 48)
    assert resumed.state_dict() == schedule.state_dict()


def test_a_plateau_s_decisions_survive_a_longer_run() -> None:
    schedule, optimizer = start(settings_of.ReduceLROnPlateau(patience=1))
    advance(schedule, optimizer, 16)  # four equal metrics: one drop
    assert rates(optimizer) == pytest.approx([0.01, 0.001])
    schedule.refit(80)
    assert rates(optimizer) == pytest.approx([0.01, 0.001])


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan"), float("inf")])
def test_no_change_but_a_positive_number_is_taken(factor: float) -> None:
    schedule, optimizer = start(settings_of.ConstantLR())
    for change in (schedule.rescale, schedule.set_lr):
        with pytest.raises(ConfigError, match=r"optim.lr: .*Give a (factor|number) > 0"):
            change(factor)
    assert rates(optimizer) == [0.1, 0.01]


def test_a_rate_of_zero_cannot_be_set_by_a_factor() -> None:
    schedule, _ = start(settings_of.LambdaLR(formula="0"))
    with pytest.raises(ConfigError, match=r"optim.lr: the schedule LambdaLR is at 0 now"):
        schedule.set_lr(0.1)


def test_a_run_cannot_be_made_shorter_than_what_is_done() -> None:
    schedule, optimizer = start(settings_of.CosineAnnealingLR())
    advance(schedule, optimizer, 10)
    before = schedule.state_dict()
    with pytest.raises(ConfigError, match=r"train.epochs: 9 steps are fewer than the 10 that are done"):
        schedule.refit(9)
    assert schedule.state_dict() == before


# ------------------------------------------------------------------- momentum
@pytest.mark.parametrize("name", ["OneCycleLR", "CyclicLR"])
@pytest.mark.parametrize(("kind", "arguments"), [(torch.optim.SGD, {"momentum": 0.9}), (torch.optim.AdamW, {})])
def test_momentum_cycles_as_torch_s(name: str, kind: type[torch.optim.Optimizer], arguments: dict) -> None:
    plain = make_optimizer(kind, **arguments)
    if name == "OneCycleLR":
        scheduler = lr_scheduler.OneCycleLR(plain, max_lr=[0.1, 0.01], total_steps=40)
    else:
        scheduler = lr_scheduler.CyclicLR(plain, base_lr=[0.025, 0.0025], max_lr=[0.1, 0.01], step_size_up=7)
    ours = make_optimizer(kind, **arguments)
    schedule = build_schedule(VARIANTS[name](), ours, **RUN)
    seen = set()
    for _ in range(40):
        for a, b in zip(ours.param_groups, plain.param_groups, strict=True):
            assert (a.get("betas"), a.get("momentum")) == (b.get("betas"), b.get("momentum"))
            seen.add(a.get("momentum") or a["betas"][0])
        plain.step()
        scheduler.step()
        schedule.step()
    assert len(seen) >= 10


@pytest.mark.parametrize(
    ("kind", "arguments"), [(torch.optim.SGD, {"momentum": 0.0}), (torch.optim.RMSprop, {}), (torch.optim.Adagrad, {})]
)
def test_an_optimizer_without_momentum_gets_none(kind: type[torch.optim.Optimizer], arguments: dict) -> None:
    optimizer = make_optimizer(kind, **arguments)
    schedule = build_schedule(settings_of.OneCycleLR(), optimizer, **RUN)
    schedule.step()
    assert all(group.get("momentum", 0) == 0 for group in optimizer.param_groups)


def test_momentum_is_left_alone_if_it_does_not_cycle() -> None:
    optimizer = make_optimizer(torch.optim.AdamW)
    schedule = build_schedule(settings_of.OneCycleLR(cycle_momentum=False), optimizer, **RUN)
    schedule.step()
    assert optimizer.param_groups[0]["betas"] == (0.9, 0.999)


# -------------------------------------------------------------------- plateau
@pytest.mark.parametrize("higher_is_better", [True, False])
def test_a_plateau_is_judged_in_the_metric_s_direction(higher_is_better: bool) -> None:
    sign = 1 if higher_is_better else -1
    better, optimizer = start(settings_of.ReduceLROnPlateau(patience=0), higher_is_better=higher_is_better)
    worse, other = start(settings_of.ReduceLROnPlateau(patience=0), higher_is_better=higher_is_better)
    for epoch in range(1, 4):
        end_epoch(better, sign * epoch)
        end_epoch(worse, -sign * epoch)
    assert rates(optimizer) == [0.1, 0.01]
    assert rates(other) == pytest.approx([0.001, 0.0001])


def test_a_plateau_without_a_direction_is_an_error() -> None:
    with pytest.raises(ValueError, match="needs higher_is_better"):
        build_schedule(settings_of.ReduceLROnPlateau(), make_optimizer(), **RUN)


def test_epochs_without_validation_and_those_of_the_warm_up_are_not_counted() -> None:
    schedule, optimizer = start(settings_of.ReduceLROnPlateau(patience=0, warmup_steps=8))
    for metric in (0.9, 0.5):  # the first two epochs are the warm-up
        end_epoch(schedule, metric)
    for metric in (0.1, None, None, 0.2):
        end_epoch(schedule, metric)
    assert rates(optimizer) == [0.1, 0.01]


def test_nan_is_no_improvement() -> None:
    schedule, optimizer = start(settings_of.ReduceLROnPlateau(patience=0))
    end_epoch(schedule, 0.5)
    end_epoch(schedule, float("nan"))
    assert rates(optimizer) == pytest.approx([0.01, 0.001])


def test_any_metrics_keep_a_plateau_between_its_bounds_and_both_bounds_are_reached() -> None:
    settings = settings_of.ReduceLROnPlateau(patience=1, cooldown=1, min_lr=1e-4, factor=0.5, warmup_steps=5)
    highest = preview(settings, LRS, **RUN, points=range(1, 41))
    lowest = preview_lowest(settings, LRS, **RUN, points=range(1, 41))
    assert lowest is not None
    reached = set()
    for seed in range(40):
        metrics = random.Random(seed)
        schedule, optimizer = start(settings)
        rows = []
        for step in range(40):
            rows.append(rates(optimizer))
            schedule.step()
            if (step + 1) % 4 == 0:
                schedule.end_epoch({0: float(step), 1: -float(step)}.get(seed, metrics.random()))
        for i, group in enumerate(LRS):
            column = [row[i] for row in rows]
            assert all(low <= r <= high for low, r, high in zip(lowest[group], column, highest[group], strict=True))
            reached |= {"highest"} if column == highest[group] else {"lowest"} if column == lowest[group] else set()
    assert reached == {"highest", "lowest"}


def test_only_a_schedule_that_follows_a_metric_has_a_lower_bound() -> None:
    assert [n for n in VARIANTS if preview_lowest(VARIANTS[n](), LRS, **RUN, points=[1]) is not None] == [
        "ReduceLROnPlateau"
    ]


# ------------------------------------------------------------------- details
@pytest.mark.parametrize(("T_0", "T_mult"), [(1, 3), (3, 2), (7, 1), (1, 10)])
def test_warm_restarts_begin_each_cycle_where_torch_s_steps_do(T_0: int, T_mult: int) -> None:
    """Not where torch's ``step(epoch)`` does, whose logarithm misses step 121 of (1, 3) and step 1111 of (1, 10)."""
    plain = make_optimizer()
    scheduler = lr_scheduler.CosineAnnealingWarmRestarts(plain, T_0=T_0, T_mult=T_mult)
    schedule, optimizer = start(settings_of.CosineAnnealingWarmRestarts(T_0=T_0, T_mult=T_mult), total_steps=1200)
    for _ in range(1200):
        assert rates(optimizer) == rates(plain)
        plain.step()
        scheduler.step()
        schedule.step()


def test_the_rate_after_the_last_step_stays() -> None:
    for variant in VARIANTS.values():
        schedule, optimizer = start(variant())
        last = advance(schedule, optimizer, 40, metric=0.5)[-1]
        if variant is not settings_of.ReduceLROnPlateau:
            assert rates(optimizer) == last


def test_cyclic_bounds_are_the_head_s_and_the_others_follow_in_proportion() -> None:
    plan = preview(settings_of.CyclicLR(base_lr=0.02, max_lr=0.3), LRS, **RUN, points=range(1, 41))
    assert (min(plan["head"]), max(plan["head"])) == (0.02, 0.3)
    assert plan["backbone"] == pytest.approx([rate / 10 for rate in plan["head"]])


def test_a_formula_that_fails_while_training_names_the_step() -> None:
    with pytest.raises(TrainingError, match=r"schedule.formula: .*at step=3, .*The weights are those after step 3"):
        advance(*start(settings_of.LambdaLR(formula="1 / (3 - step)")), 10)


def test_the_real_optimizer_is_not_patched() -> None:
    """torch's schedulers wrap ``step``; ours never touch more than rates and momenta."""
    optimizer = make_optimizer()
    build_schedule(settings_of.CosineAnnealingLR(), optimizer, **RUN)
    assert "step" not in vars(optimizer)
    assert set(optimizer.param_groups[0]) == set(make_optimizer().param_groups[0])
