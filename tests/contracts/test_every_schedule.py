"""Every schedule on offer applies what its preview shows, and what torch's class does in a plain loop."""

from __future__ import annotations

import inspect
import io
import math
import time
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from fine_tuner.config.io import CHOICES
from fine_tuner.config.sections.schedules import ScheduleSettings
from fine_tuner.schedules import Schedule, build_schedule, check_schedule, preview, preview_lowest, preview_steps
from fine_tuner.schedules.curves import own_fields

VARIANTS = CHOICES["schedule"].variants
EVERY = pytest.mark.parametrize("name", VARIANTS)
LRS = {"head": 0.1, "stage 2": 0.03, "backbone": 0.001}
STEPS_PER_EPOCH, EPOCHS = 6, 10
TOTAL = STEPS_PER_EPOCH * EPOCHS
METRICS = (0.5, 0.6, 0.6, 0.55, 0.6, 0.7, 0.7, 0.7, 0.7, 0.7)  # accuracy after each epoch

# what torch's loop is, with the parameters a run of TOTAL steps should get, worked out by hand
PLAIN: dict[str, Callable[[torch.optim.Optimizer], lr_scheduler.LRScheduler]] = {
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, max_lr=list(LRS.values()), total_steps=60),
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=60),
    "CosineAnnealingWarmRestarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, T_0=20),
    "LinearLR": lambda o: lr_scheduler.LinearLR(o, start_factor=1.0, end_factor=0.0, total_iters=60),
    "PolynomialLR": lambda o: lr_scheduler.PolynomialLR(o, total_iters=60),
    "StepLR": lambda o: lr_scheduler.StepLR(o, step_size=4),
    "MultiStepLR": lambda o: lr_scheduler.MultiStepLR(o, milestones=[5, 7]),
    "ExponentialLR": lambda o: lr_scheduler.ExponentialLR(o, gamma=0.01 ** (1 / 9)),
    "CyclicLR": lambda o: lr_scheduler.CyclicLR(
        o, base_lr=[lr / 4 for lr in LRS.values()], max_lr=list(LRS.values()), step_size_up=10
    ),
    "ReduceLROnPlateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, mode="max", patience=1),
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda step: 0.5 * (1 + math.cos(math.pi * step / 60))),
    "ConstantLR": lambda o: lr_scheduler.ConstantLR(o, factor=1.0, total_iters=0),
}
# torch computes these rates each from the one before, and gathers rounding that its own closed form has not
RECURSIVE = {"CosineAnnealingLR", "LinearLR", "PolynomialLR", "StepLR", "MultiStepLR", "ExponentialLR"}
FALLING = set(VARIANTS) - {"OneCycleLR", "CosineAnnealingWarmRestarts", "CyclicLR"}


def make_optimizer(lrs: dict[str, float] = LRS) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        [{"params": [nn.Parameter(torch.zeros(1))], "lr": lr, "name": name} for name, lr in lrs.items()], momentum=0.9
    )


def make_schedule(settings: ScheduleSettings, optimizer: torch.optim.Optimizer | None = None, **run: int) -> Schedule:
    run = {"total_steps": TOTAL, "steps_per_epoch": STEPS_PER_EPOCH} | run
    return build_schedule(settings, optimizer or make_optimizer(), higher_is_better=True, **run)


def applied(schedule: Schedule, optimizer: torch.optim.Optimizer, steps: int) -> list[list[float]]:
    """Rates that the next ``steps`` steps apply, one row a step, epochs ended on the way."""
    rows = []
    for _ in range(steps):
        rows.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
        if schedule.steps_done % schedule.steps_per_epoch == 0:
            schedule.end_epoch(METRICS[(schedule.steps_done // schedule.steps_per_epoch - 1) % len(METRICS)])
    return rows


def columns(plan: dict[str, list[float]]) -> list[list[float]]:
    return [list(row) for row in zip(*plan.values(), strict=True)]


def assert_close(ours: list[list[float]], expected: list[list[float]]) -> None:
    for row, other in zip(ours, expected, strict=True):
        assert row == pytest.approx(other, rel=1e-12, abs=1e-16), "equal but for the rounding that torch's loop gathers"


def test_at_least_twelve_schedules_are_offered_and_compared() -> None:
    assert len(VARIANTS) >= 12
    assert set(PLAIN) == set(VARIANTS)


@EVERY
def test_its_fields_are_the_torch_class_s_parameters(name: str) -> None:
    ours = set(own_fields(VARIANTS[name]())) - {"formula"}
    torch_names = set(inspect.signature(getattr(lr_scheduler, name).__init__).parameters) - {"self", "optimizer"}
    from_the_run = {
        "OneCycleLR": {"max_lr", "epochs", "steps_per_epoch"},
        "CyclicLR": {"scale_fn", "scale_mode"},
        "LambdaLR": {"lr_lambda"},
        "ReduceLROnPlateau": {"mode"},
    }
    assert ours == torch_names - {"last_epoch"} - from_the_run.get(name, set())


@EVERY
def test_it_equals_a_plain_loop_with_the_torch_class(name: str) -> None:
    plain_optimizer, optimizer = make_optimizer(), make_optimizer()
    scheduler, schedule = PLAIN[name](plain_optimizer), make_schedule(VARIANTS[name](), optimizer)
    expected = []
    for step in range(TOTAL):
        expected.append([group["lr"] for group in plain_optimizer.param_groups])
        plain_optimizer.step()
        ends_epoch = (step + 1) % STEPS_PER_EPOCH == 0
        if name == "ReduceLROnPlateau":
            if ends_epoch:
                scheduler.step(METRICS[step // STEPS_PER_EPOCH])
        elif VARIANTS[name].interval == "step" or ends_epoch:
            scheduler.step()
    ours = applied(schedule, optimizer, TOTAL)
    if name in RECURSIVE:
        assert_close(ours, expected)
    else:
        assert ours == expected
    assert len({row[0] for row in expected}) > 1 or name == "ConstantLR"


@EVERY
@pytest.mark.parametrize("warmup_steps", [0, 4, 15])
def test_the_preview_is_what_every_step_and_group_gets(name: str, warmup_steps: int) -> None:
    settings = VARIANTS[name](warmup_steps=warmup_steps)
    optimizer = make_optimizer()
    rows = applied(make_schedule(settings, optimizer), optimizer, TOTAL)
    run = {"total_steps": TOTAL, "steps_per_epoch": STEPS_PER_EPOCH, "points": range(1, TOTAL + 1)}
    highest = columns(preview(settings, LRS, **run))
    if name != "ReduceLROnPlateau":
        assert rows == highest
        return
    lowest = columns(preview_lowest(settings, LRS, **run) or {})
    assert all(
        low <= rate <= high
        for *bounds, row in zip(lowest, highest, rows, strict=True)
        for low, high, rate in zip(*bounds, row, strict=True)
    )


@EVERY
def test_a_preview_of_some_steps_is_that_of_all_at_these_steps(name: str) -> None:
    run = {"total_steps": TOTAL, "steps_per_epoch": STEPS_PER_EPOCH}
    every = preview(VARIANTS[name](), LRS, **run, points=range(1, TOTAL + 1))
    some = preview(VARIANTS[name](), LRS, **run, points=[60, 1, 31, 7])
    assert some == {group: [rates[i] for i in (59, 0, 30, 6)] for group, rates in every.items()}


@EVERY
@pytest.mark.parametrize("warmup_steps", [4, 15])
def test_warm_up_rises_by_equal_parts_to_the_first_rate(name: str, warmup_steps: int) -> None:
    rates = make_schedule(VARIANTS[name](warmup_steps=warmup_steps)).plan(range(1, TOTAL + 1))
    for group in LRS:
        full = rates[group][warmup_steps]
        expected = [full * (step + 1) / (warmup_steps + 1) for step in range(warmup_steps)]
        assert rates[group][:warmup_steps] == pytest.approx(expected, rel=1e-12)


@EVERY
def test_after_a_warm_up_comes_the_whole_schedule(name: str) -> None:
    """A run with warm-up is the warm-up, then the run that has only the steps or epochs that are left."""
    warmup_steps = 15 if VARIANTS[name].interval == "step" else 2 * STEPS_PER_EPOCH
    settings = VARIANTS[name](warmup_steps=warmup_steps)
    left = TOTAL - warmup_steps
    alone = make_schedule(VARIANTS[name](), total_steps=left).plan(range(1, left + 1))
    assert make_schedule(settings).plan(range(warmup_steps + 1, TOTAL + 1)) == alone


@pytest.mark.parametrize("name", ["CosineAnnealingLR", "LinearLR", "PolynomialLR", "LambdaLR", "ConstantLR"])
def test_warm_up_equals_torch_s_sequential_scheduler(name: str) -> None:
    """Where torch's SequentialLR can be asked: not with schedulers that overwrite initial_lr, nor by metric."""
    after = {
        "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=50),
        "LinearLR": lambda o: lr_scheduler.LinearLR(o, start_factor=1.0, end_factor=0.0, total_iters=50),
        "PolynomialLR": lambda o: lr_scheduler.PolynomialLR(o, total_iters=50),
        "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda step: 0.5 * (1 + math.cos(math.pi * step / 50))),
        "ConstantLR": lambda o: lr_scheduler.ConstantLR(o, factor=1.0, total_iters=0),
    }
    optimizer = make_optimizer()
    warmup = lr_scheduler.LinearLR(optimizer, start_factor=1 / 11, total_iters=10)
    scheduler = lr_scheduler.SequentialLR(optimizer, [warmup, after[name](optimizer)], milestones=[10])
    expected = []
    for _ in range(TOTAL):
        expected.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    ours = columns(make_schedule(VARIANTS[name](warmup_steps=10)).plan(range(1, TOTAL + 1)))
    assert_close(ours, expected)


@EVERY
@pytest.mark.parametrize("cut", [1, 5, 6, 17, 36, 59])
def test_interrupted_and_resumed_equals_uninterrupted(name: str, cut: int) -> None:
    settings = VARIANTS[name](warmup_steps=5)
    optimizer = make_optimizer()
    whole = applied(make_schedule(settings, optimizer), optimizer, TOTAL)

    first = make_optimizer()
    schedule = make_schedule(settings, first)
    before = applied(schedule, first, cut)
    file = io.BytesIO()
    torch.save({"schedule": schedule.state_dict(), "optimizer": first.state_dict()}, file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    second = make_optimizer()
    resumed = make_schedule(settings, second)
    second.load_state_dict(state["optimizer"])
    resumed.load_state_dict(state["schedule"])
    assert before + applied(resumed, second, TOTAL - cut) == whole


@EVERY
def test_its_ends_are_where_its_formula_puts_them(name: str) -> None:
    rates = make_schedule(VARIANTS[name]()).plan([1, TOTAL])
    last = {
        "OneCycleLR": 1 / 25 / 1e4,
        "CosineAnnealingLR": (1 + math.cos(math.pi * 59 / 60)) / 2,
        "CosineAnnealingWarmRestarts": (1 + math.cos(math.pi * 19 / 20)) / 2,
        "LinearLR": 1 / 60,
        "PolynomialLR": 1 / 60,
        "StepLR": 0.1**2,
        "MultiStepLR": 0.1**2,
        "ExponentialLR": 0.01,
        "CyclicLR": 0.25 + 0.75 / 10,
        "ReduceLROnPlateau": 1,
        "LambdaLR": (1 + math.cos(math.pi * 59 / 60)) / 2,
        "ConstantLR": 1,
    }
    first = {"OneCycleLR": 1 / 25, "CyclicLR": 1 / 4}
    for group, lr in LRS.items():
        expected = [lr * first.get(name, 1), lr * last[name]]
        assert rates[group] == pytest.approx(expected, rel=1e-9)


@EVERY
def test_it_falls_where_it_should_and_stays_within_its_bounds(name: str) -> None:
    for group, rates in make_schedule(VARIANTS[name]()).plan(range(1, TOTAL + 1)).items():
        assert all(0 <= rate <= LRS[group] * (1 + 1e-12) for rate in rates)
        falls = [later <= earlier for earlier, later in pairwise(rates)]
        if name in FALLING:
            assert all(falls)
        elif name == "OneCycleLR":  # its peak is pct_start * total - 1 steps in
            assert falls == [False] * 17 + [True] * 42
            assert rates[17] == LRS[group]
        elif name == "CosineAnnealingWarmRestarts":
            assert [i + 1 for i, fell in enumerate(falls) if not fell] == [20, 40]
        else:
            assert falls == (([False] * 10 + [True] * 10) * 3)[:59]


@EVERY
def test_the_shortest_runs_have_finite_rates(name: str) -> None:
    for total_steps in range(1, 15):
        for steps_per_epoch in {1, 2, total_steps}:
            run = {"total_steps": total_steps, "steps_per_epoch": steps_per_epoch}
            rates = make_schedule(VARIANTS[name](), **run).plan(range(1, total_steps + 2))
            assert all(math.isfinite(rate) and rate >= 0 for row in rates.values() for rate in row)
            check_schedule(VARIANTS[name](), epochs=-(-total_steps // steps_per_epoch), group_lrs=LRS, **run)


@EVERY
def test_a_hundred_thousand_steps_are_previewed_in_a_tenth_of_a_second(name: str) -> None:
    run = {"total_steps": 100_000, "steps_per_epoch": 1000}
    seconds = []  # of the processor, so that a busy machine changes nothing
    for _ in range(3):
        begun = time.process_time()
        check_schedule(VARIANTS[name](warmup_steps=500), epochs=100, group_lrs=LRS, **run)
        points = preview_steps(VARIANTS[name](warmup_steps=500), **run)
        preview(VARIANTS[name](warmup_steps=500), LRS, **run, points=points)
        preview_lowest(VARIANTS[name](warmup_steps=500), LRS, **run, points=points)
        seconds.append(time.process_time() - begun)
    assert min(seconds) < 0.1


@EVERY
def test_a_line_through_the_points_is_the_curve(name: str) -> None:
    """Off by 1 % of the peak at most, in every step between the points, for a run of many times as many steps."""
    run = {"total_steps": 4000, "steps_per_epoch": 100}
    settings = VARIANTS[name](warmup_steps=130)
    points = preview_steps(settings, **run, count=200)
    assert 200 <= len(points) <= 200 + 100
    rates = preview(settings, {"head": 1.0}, **run, points=range(1, 4001))["head"]
    for left, right in pairwise(points):
        for step in range(left, right):
            line = rates[left - 1] + (rates[right - 1] - rates[left - 1]) * (step - left) / (right - left)
            assert line == pytest.approx(rates[step - 1], abs=0.01)
    assert (points[0], points[-1]) == (1, 4000)
