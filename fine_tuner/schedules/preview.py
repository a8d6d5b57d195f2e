"""The rates of a run before it starts, from the code that will apply them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from fine_tuner.config import schedules as settings_of
from fine_tuner.config.schedules import ScheduleSettings
from fine_tuner.schedules.curves import StandIn
from fine_tuner.schedules.schedule import Schedule, build_schedule


def preview(
    settings: ScheduleSettings,
    group_lrs: Mapping[str, float],
    *,
    total_steps: int,
    steps_per_epoch: int,
    points: Sequence[int],
) -> dict[str, list[float]]:
    """Group to its rate in each of the steps ``points``: exactly what a run of these settings applies.

    Args:
        settings: Variant of ``config.schedules``.
        group_lrs: Group to its own rate.
        total_steps: Optimizer steps in the run.
        steps_per_epoch: Optimizer steps in one epoch.
        points: Steps, counted from 1 as in the log; see ``preview_steps``.

    Returns:
        One rate per point. For ReduceLROnPlateau those without any drop, the upper bound; ``preview_lowest`` has the
        lower one.
    """
    return _schedule(settings, group_lrs, total_steps, steps_per_epoch).plan(points)


def preview_lowest(
    settings: ScheduleSettings,
    group_lrs: Mapping[str, float],
    *,
    total_steps: int,
    steps_per_epoch: int,
    points: Sequence[int],
) -> dict[str, list[float]] | None:
    """As ``preview``, if the metric never improves after the first epoch; None if no metric matters."""
    schedule = _schedule(settings, group_lrs, total_steps, steps_per_epoch)
    if not schedule.follows_metric:
        return None
    lowest: dict[str, list[float]] = {name: [0.0] * len(points) for name in schedule.group_names}
    epoch = 0
    for i in sorted(range(len(points)), key=points.__getitem__):
        while (epoch + 1) * steps_per_epoch <= points[i] - 1:
            epoch += 1
            schedule.steps_done = epoch * steps_per_epoch
            schedule.end_epoch(0.0)
        for name, rate in zip(schedule.group_names, schedule.rates_after(points[i] - 1), strict=True):
            lowest[name][i] = rate
    return lowest


def _schedule(
    settings: ScheduleSettings, group_lrs: Mapping[str, float], total_steps: int, steps_per_epoch: int
) -> Schedule:
    return build_schedule(
        settings,
        StandIn(list(group_lrs.values()), list(group_lrs)),
        total_steps=total_steps,
        steps_per_epoch=steps_per_epoch,
        higher_is_better=True,
    )


def preview_steps(settings: ScheduleSettings, *, total_steps: int, steps_per_epoch: int, count: int = 400) -> list[int]:
    """Steps, counted from 1, at which a line shows the curve as it is: evenly spaced, and both sides of each corner.

    Args:
        settings: Variant of ``config.schedules``.
        total_steps: Optimizer steps in the run.
        steps_per_epoch: Optimizer steps in one epoch.
        count: About how many evenly spaced steps; all of them if the run has no more. Corners come on top, and are
            left out where there are more than these.
    """
    if total_steps <= count:
        return list(range(1, total_steps + 1))
    period = steps_per_epoch if settings.interval == "epoch" else 1
    ticks = settings.ticks(total_steps, steps_per_epoch)
    corners = [tick for tick in _corners(settings.fitted(ticks=ticks, lr=1.0), ticks) if 0 < tick < ticks]
    firsts = [settings.warmup_steps]  # steps done at each corner
    if len(corners) <= count:
        firsts += [(tick + settings.warmup_steps // period) * period for tick in corners]
    even = {1 + round(i * (total_steps - 1) / (count - 1)) for i in range(count)}
    return sorted(even | {step for first in firsts for step in (first, first + 1) if 1 <= step <= total_steps})


def _corners(fitted: ScheduleSettings, ticks: int) -> Iterable[int]:
    """Ticks at which the curve jumps or bends."""
    match fitted:
        case settings_of.StepLR(step_size=step_size):
            return range(step_size, ticks, step_size)
        case settings_of.MultiStepLR(milestones=milestones):
            return milestones
        case settings_of.ExponentialLR() | settings_of.ReduceLROnPlateau():
            return range(1, ticks)
        case settings_of.ConstantLR() | settings_of.LinearLR() | settings_of.PolynomialLR():
            return (fitted.total_iters,)
        case settings_of.CosineAnnealingLR(T_max=T_max):
            return range(T_max, ticks, T_max)
        case settings_of.OneCycleLR(pct_start=pct_start, total_steps=total_steps):
            return (round(pct_start * total_steps) - 1, round(2 * pct_start * total_steps) - 2)
        case settings_of.CyclicLR(step_size_up=up, step_size_down=down):
            cycle = up + (down or up)
            return (tick for start in range(0, ticks, cycle) for tick in (start, start + up))
        case settings_of.CosineAnnealingWarmRestarts(T_0=T_0, T_mult=T_mult):
            if T_mult == 1:
                return range(T_0, ticks, T_0)
            cycles = math.ceil(math.log(ticks / T_0 * (T_mult - 1) + 1, T_mult)) + 1
            return (T_0 * (T_mult**n - 1) // (T_mult - 1) for n in range(1, cycles))
        case _:
            return ()
