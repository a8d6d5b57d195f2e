"""Parameters of a schedule against each other and the run they are for; their own bounds were checked when parsed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from fine_tuner.base.errors import ConfigError
from fine_tuner.config.sections import schedules as settings_of
from fine_tuner.config.sections.formula import ScheduleFactor
from fine_tuner.config.sections.schedules import ScheduleSettings

_FORMULA_SAMPLES = 10_000


def check_schedule(
    settings: ScheduleSettings,
    *,
    total_steps: int,
    steps_per_epoch: int,
    epochs: int,
    group_lrs: Mapping[str, float] | None = None,
) -> None:
    """Check that ``settings`` make sense in a run of this length.

    Args:
        settings: Variant of ``config.sections.schedules``.
        total_steps: Optimizer steps in the run.
        steps_per_epoch: Optimizer steps in one epoch.
        epochs: Epochs of the run.
        group_lrs: Group to its own rate; without it rates are not compared.

    Raises:
        ConfigError: At the dotted path of every parameter to change, with the range allowed.
    """
    run = _Run(total_steps, steps_per_epoch, epochs, dict(group_lrs or {}))
    if settings.warmup_steps >= total_steps:
        run.problems["warmup_steps"] = (
            f"{settings.warmup_steps} steps leave nothing of the run, which has {total_steps}. "
            f"Choose 0 to {total_steps - 1}."
        )
    else:
        _check_variant(settings, run)
    if run.problems:
        raise ConfigError({f"schedule.{name}": message for name, message in run.problems.items()})


@dataclass
class _Run:
    """What a schedule is checked against, and what was found; ``problems`` is keyed by parameter."""

    total_steps: int
    steps_per_epoch: int
    epochs: int
    group_lrs: dict[str, float]
    problems: dict[str, str] = field(default_factory=dict)


def _check_variant(settings: ScheduleSettings, run: _Run) -> None:
    match settings:
        case settings_of.MultiStepLR():
            _check_milestones(settings, run)
        case settings_of.OneCycleLR():
            _check_one_cycle(settings, run)
            _check_momenta(settings, run)
        case settings_of.CyclicLR():
            _check_bounds(settings, run)
            _check_momenta(settings, run)
        case settings_of.CosineAnnealingLR() | settings_of.CosineAnnealingWarmRestarts():
            _check_lowest(settings.eta_min, run)
        case settings_of.LambdaLR():
            _check_formula(settings, run)


def _check_milestones(settings: settings_of.MultiStepLR, run: _Run) -> None:
    milestones = settings.milestones or ()
    last = settings.ticks(run.total_steps, run.steps_per_epoch) - 1
    listed = ", ".join(map(str, milestones))
    if any(b <= a for a, b in pairwise(milestones)):
        run.problems["milestones"] = f"{listed} are not in ascending order. List each epoch once, smallest first."
    elif milestones and milestones[-1] > last:
        after = f" after {settings.warmup_steps} steps of warm-up" if last < run.epochs - 1 else ""
        run.problems["milestones"] = f"{milestones[-1]} is past the end: the run has {run.epochs} epochs{after}. " + (
            f"Choose epochs from 1 to {last}." if last else "A run of one epoch has none; choose another schedule."
        )


def _check_one_cycle(settings: settings_of.OneCycleLR, run: _Run) -> None:
    ticks = settings.ticks(run.total_steps, run.steps_per_epoch)
    if settings.total_steps is not None and settings.total_steps < ticks:
        run.problems["total_steps"] = (
            f"{settings.total_steps} is less than the {ticks} steps of the run after its warm-up. "
            f"Choose at least {ticks}, or leave it empty."
        )
    if settings.three_phase and settings.pct_start > 0.5:
        run.problems["pct_start"] = (
            f"{settings.pct_start:g} leaves no room for the third phase. Choose at most 0.5, or turn three_phase off."
        )


def _check_momenta(settings: settings_of.OneCycleLR | settings_of.CyclicLR, run: _Run) -> None:
    if settings.cycle_momentum and settings.base_momentum > settings.max_momentum:
        run.problems["base_momentum"] = (
            f"{settings.base_momentum:g} is above max_momentum {settings.max_momentum:g}. "
            f"Choose 0 to {settings.max_momentum:g}."
        )


def _check_bounds(settings: settings_of.CyclicLR, run: _Run) -> None:
    if settings.base_lr is None or not (settings.max_lr or run.group_lrs):
        return
    highest = settings.max_lr or max(run.group_lrs.values())
    if highest >= settings.base_lr:
        return
    if settings.max_lr is not None:
        run.problems["max_lr"] = (
            f"{highest:g} is below base_lr {settings.base_lr:g}. "
            f"Choose at least {settings.base_lr:g}, or leave it empty."
        )
    else:
        run.problems["base_lr"] = (
            f"{settings.base_lr:g} is above the learning rate {highest:g}, which is the highest while max_lr is empty. "
            f"Choose at most {highest:g}, or set max_lr."
        )


def _check_lowest(eta_min: float, run: _Run) -> None:
    below = {name: lr for name, lr in run.group_lrs.items() if lr < eta_min}
    if below:
        name = min(below, key=below.__getitem__)
        run.problems["eta_min"] = (
            f"{eta_min:g} is above the rate {below[name]:g} of {name}, which would rise instead of fall. "
            f"Choose at most {below[name]:g}."
        )


def _check_formula(settings: settings_of.LambdaLR, run: _Run) -> None:
    """Compute the factor of every step, or of 10,000 spread over a longer run."""
    ticks = settings.ticks(run.total_steps, run.steps_per_epoch)
    try:
        factor = ScheduleFactor(
            settings.formula,
            ticks=ticks,
            steps_per_epoch=run.steps_per_epoch,
            warmup_steps=settings.warmup_steps,
        )
        for tick in range(0, ticks, -(-ticks // _FORMULA_SAMPLES)):
            factor(tick)
        factor(ticks - 1)
    except ValueError as error:
        run.problems["formula"] = f"{error}. It must give a number >= 0 in every step; correct it there."
