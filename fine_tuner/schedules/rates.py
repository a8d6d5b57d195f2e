"""All that a chart of the planned rates shows, as plain values: for the plan, the log of a run and the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fine_tuner.config.live_changes import parse_change
from fine_tuner.config.sections.schedules import ScheduleSettings
from fine_tuner.schedules.preview import final_steps, preview, preview_lowest, preview_steps


def plan_rates(
    settings: ScheduleSettings,
    group_lrs: Mapping[str, float],
    *,
    total_steps: int,
    steps_per_epoch: int,
    head_epochs: int | None = None,
) -> dict[str, Any]:
    """Rate of each group at steps enough to draw the curve: what a run of these settings applies. JSON-able.

    Args:
        settings: Variant of ``config.sections.schedules``.
        group_lrs: Group to its own rate, the head's first.
        total_steps: Optimizer steps in the run.
        steps_per_epoch: Optimizer steps in one epoch.
        head_epochs: Epochs after which the pretrained part thaws; None: it does not.

    Returns:
        ``steps`` counted from 1, ``groups``, ``lowest`` (None unless a metric decides), ``group_lrs``,
        ``steps_per_epoch``, and the steps done at what a chart marks, None where there is no such point:
        ``warmup_end`` and ``unfreeze``.
    """
    length = {"total_steps": total_steps, "steps_per_epoch": steps_per_epoch}
    total_steps = final_steps(settings, **length)
    made = [at for change in settings.changes for at in (parse_change(change).step, parse_change(change).step + 1)]
    even = preview_steps(settings, total_steps=total_steps, steps_per_epoch=steps_per_epoch)
    steps = sorted({*even, *(step for step in made if 1 <= step <= total_steps)})
    unfreeze = None if head_epochs is None else head_epochs * steps_per_epoch
    return {
        "steps": steps,
        "groups": preview(settings, group_lrs, points=steps, **length),
        "lowest": preview_lowest(settings, group_lrs, points=steps, **length),
        "group_lrs": dict(group_lrs),
        "warmup_end": settings.warmup_steps or None,
        "unfreeze": unfreeze if unfreeze is not None and unfreeze < total_steps else None,
        "steps_per_epoch": steps_per_epoch,
    }
