"""The rates of a run before it starts, from the code that will apply them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from fine_tuner.config.live_changes import EPOCHS, Change, parse_change
from fine_tuner.config.sections import schedules as settings_of
from fine_tuner.config.sections.schedules import ScheduleSettings
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
        settings: Variant of ``config.sections.schedules``.
        group_lrs: Group to its own rate.
        total_steps: Optimizer steps in the run.
        steps_per_epoch: Optimizer steps in one epoch.
        points: Steps, counted from 1 as in the log; see ``preview_steps``.

    Returns:
        One rate per point. For ReduceLROnPlateau those without any drop, the upper bound; ``preview_lowest`` has the
        lower one.
    """
    schedule = _schedule(settings, group_lrs, total_steps, steps_per_epoch)
    return _walk(schedule, points, changes=_changes(settings))


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
    return lowest_from_now(schedule, points, changes=_changes(settings))


def lowest_from_now(
    schedule: Schedule, points: Sequence[int], *, changes: Sequence[Change] = ()
) -> dict[str, list[float]] | None:
    """Rates in the steps ``points`` if the metric never improves any more; None if no metric matters.

    Args:
        schedule: Where it stands now; afterwards it stands there again.
        points: Steps after those done.
        changes: Still to be made.
    """
    if not schedule.follows_metric:
        return None
    before = schedule.state_dict()
    try:
        return _walk(schedule, points, changes=changes, is_worst=True)
    finally:
        schedule.load_state_dict(before)


def final_steps(settings: ScheduleSettings, *, total_steps: int, steps_per_epoch: int) -> int:
    """Steps of the run once its settings' changes are made."""
    epochs = [int(change.value) for change in _changes(settings) if change.setting == EPOCHS.path]
    return epochs[-1] * steps_per_epoch if epochs else total_steps


def _changes(settings: ScheduleSettings) -> list[Change]:
    return sorted(map(parse_change, settings.changes), key=lambda change: change.step)


def _walk(
    schedule: Schedule, points: Sequence[int], *, changes: Sequence[Change], is_worst: bool = False
) -> dict[str, list[float]]:
    """Group to its rate in each of the steps ``points``, with changes made on the way.

    Args:
        schedule: Is moved along.
        points: Steps, counted from 1.
        changes: By the step after which they are made.
        is_worst: Validate after every epoch, and without any gain but in the first.
    """
    rates: dict[str, list[float]] = {name: [0.0] * len(points) for name in schedule.group_names}
    waiting, per_epoch = list(changes), schedule.steps_per_epoch
    epoch = schedule.steps_done // per_epoch
    for i in sorted(range(len(points)), key=points.__getitem__):
        done = points[i] - 1
        while True:  # what happens before this step, in its order: validation, then changes
            ends = (epoch + 1) * per_epoch if is_worst else done + 1
            comes = waiting[0].step if waiting else done + 1
            if min(ends, comes) > done:
                break
            schedule.steps_done = min(ends, comes)
            if ends <= comes:
                epoch += 1
                schedule.end_worst_epoch()
            else:
                schedule.change(*waiting.pop(0)[1:])
        for name, rate in zip(schedule.group_names, schedule.rates_after(done), strict=True):
            rates[name][i] = rate
    return rates


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
        settings: Variant of ``config.sections.schedules``.
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
