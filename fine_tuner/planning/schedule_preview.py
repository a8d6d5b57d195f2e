"""The planned rates of a run whose length and groups are known already: neither data nor network is looked at."""

from __future__ import annotations

import json
import math
from typing import Any

from fine_tuner.base.errors import InputError
from fine_tuner.config.settings import Settings
from fine_tuner.schedules import check_schedule
from fine_tuner.schedules.rates import plan_rates


def preview_schedule(settings: Settings, groups: str, *, total_steps: int, steps_per_epoch: int) -> dict[str, Any]:
    """The ``schedule`` that ``plan`` would print for a run of this length; see ``plan_rates``.

    Args:
        settings: Of the run.
        groups: JSON object, group to its own rate, the head's first.
        total_steps: Optimizer steps in the run.
        steps_per_epoch: Optimizer steps in one epoch.

    Raises:
        ConfigError: At the field of the schedule that does not fit a run of this length.
        InputError: If the arguments make no run.
    """
    lrs = _group_lrs(groups)
    if total_steps < 1 or steps_per_epoch < 1:
        raise InputError(
            f"total_steps {total_steps} and steps_per_epoch {steps_per_epoch} make no run. Give whole numbers >= 1."
        )
    length = {"total_steps": total_steps, "steps_per_epoch": steps_per_epoch}
    epochs = -(-total_steps // steps_per_epoch)
    check_schedule(settings.schedule, epochs=epochs, group_lrs=lrs, **length)
    head_epochs = settings.model.head_epochs if settings.model.trainable == "gradual" else None
    return plan_rates(settings.schedule, lrs, head_epochs=head_epochs, **length)


def schedule_text(schedule: dict[str, Any]) -> str:
    """The rates for a terminal, a line per step that is drawn."""
    return "\n".join(
        "  ".join([str(step), *(f"{name}={rates[i]:.6g}" for name, rates in schedule["groups"].items())])
        for i, step in enumerate(schedule["steps"])
    )


def _group_lrs(text: str) -> dict[str, float]:
    try:
        lrs = {str(name): float(lr) for name, lr in json.loads(text).items()}
    except (ValueError, AttributeError, TypeError):
        lrs = {}
    if not lrs or not all(math.isfinite(lr) and lr > 0 for lr in lrs.values()):
        raise InputError(f"groups {text[:200]!r} are not rates by group. Write them as '{{\"head\": 1e-3}}'.")
    return lrs
