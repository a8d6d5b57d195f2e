"""The learning-rate schedules on offer: ``torch.optim.lr_scheduler``'s, under their own names and parameters.

A parameter whose default is None fits itself to the length of the run. ``interval`` says what one tick of the torch
scheduler is: an optimizer step or an epoch; parameters that count ticks count those.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import annotated_types as at
from pydantic import Field

from fine_tuner.config.knobs import Knob
from fine_tuner.config.losses import STRICT

DOCS = "https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler."


@dataclass(frozen=True, kw_only=True)
class ScheduleBase:
    """Fields that every schedule has; they survive a change of schedule."""

    __pydantic_config__ = STRICT
    interval: ClassVar[Literal["step", "epoch"]] = "step"
    warmup_steps: Annotated[
        int,
        at.Ge(0),
        Knob(
            label="Warm-up",
            help="Steps over which the rate first rises linearly, before the schedule begins.",
            unit="steps",
        ),
    ] = 0


@dataclass(frozen=True, kw_only=True)
class OneCycleLR(ScheduleBase):
    """Rises to the rate set, then falls far below where it began; fast and forgiving (1cycle policy)."""

    name: Literal["OneCycleLR"] = "OneCycleLR"
    pct_start: Annotated[
        float,
        at.Gt(0),
        at.Lt(1),
        Knob(label="Rising part", help="Share of the run spent rising.", link=DOCS + "OneCycleLR.html"),
    ] = 0.3
    div_factor: Annotated[
        float, at.Ge(1), Knob(label="Start divisor", help="The run starts at the rate divided by this.", advanced=True)
    ] = 25.0
    final_div_factor: Annotated[
        float,
        at.Ge(1),
        Knob(label="End divisor", help="The run ends at the starting rate divided by this.", advanced=True),
    ] = 1e4


@dataclass(frozen=True, kw_only=True)
class CosineAnnealingLR(ScheduleBase):
    """Falls along half a cosine from the rate set to the end of the run."""

    name: Literal["CosineAnnealingLR"] = "CosineAnnealingLR"
    T_max: Annotated[
        int | None,
        at.Ge(1),
        Knob(
            label="T_max",
            help="Steps of the fall; empty: the whole run.",
            unit="steps",
            advanced=True,
            link=DOCS + "CosineAnnealingLR.html",
        ),
    ] = None
    eta_min: Annotated[
        float, at.Ge(0), Knob(label="Lowest rate", help="Where the fall ends.", log_scale=True, advanced=True)
    ] = 0.0


@dataclass(frozen=True, kw_only=True)
class StepLR(ScheduleBase):
    """Multiplies the rate by gamma every step_size epochs."""

    interval = "epoch"
    name: Literal["StepLR"] = "StepLR"
    step_size: Annotated[
        int | None,
        at.Ge(1),
        Knob(
            label="Every",
            help="Epochs between drops; empty: a third of the run.",
            unit="epochs",
            link=DOCS + "StepLR.html",
        ),
    ] = None
    gamma: Annotated[float, at.Gt(0), at.Le(1), Knob(label="Gamma", help="Factor of each drop.")] = 0.1


@dataclass(frozen=True, kw_only=True)
class ConstantLR(ScheduleBase):
    """Keeps the rate as set; with a factor, lower for the first total_iters steps."""

    name: Literal["ConstantLR"] = "ConstantLR"
    factor: Annotated[
        float,
        at.Gt(0),
        at.Le(1),
        Knob(
            label="Factor",
            help="The rate is multiplied by this during the first total_iters steps.",
            advanced=True,
            link=DOCS + "ConstantLR.html",
        ),
    ] = 1.0
    total_iters: Annotated[
        int,
        at.Ge(0),
        Knob(label="total_iters", help="Steps during which the factor holds.", unit="steps", advanced=True),
    ] = 0


ScheduleSettings = Annotated[OneCycleLR | CosineAnnealingLR | StepLR | ConstantLR, Field(discriminator="name")]
