"""The learning-rate schedules on offer: ``torch.optim.lr_scheduler``'s, under their own names and parameters.

A parameter whose default is None fits itself to the length of the run; ``fitted`` says to what. ``interval`` says what
one tick of the torch scheduler is, an optimizer step or an epoch; parameters that count ticks count those. Schedules
that go up and down live in ``config/sections/cycles.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import annotated_types as at
from pydantic import Field

from fine_tuner.config.knobs import Knob
from fine_tuner.config.sections.cycles import (
    DOCS,
    CosineAnnealingWarmRestarts,
    CyclicLR,
    OneCycleLR,
    ScheduleBase,
    or_else,
)

__all__ = [
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "ScheduleBase",
    "ScheduleSettings",
    "StepLR",
]

_LAST_FRACTION = 0.01  # what ExponentialLR leaves of the rate in the last epoch, if it may choose


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


@dataclass(frozen=True, kw_only=True)
class LinearLR(ScheduleBase):
    """Moves along a straight line from one factor of the rate to another; by default from the rate set to zero."""

    name: Literal["LinearLR"] = "LinearLR"
    start_factor: Annotated[
        float,
        at.Gt(0),
        at.Le(1),
        Knob(label="From", help="The rate is multiplied by this at first.", unit="× rate", link=DOCS + "LinearLR.html"),
    ] = 1.0
    end_factor: Annotated[
        float, at.Ge(0), at.Le(1), Knob(label="To", help="And by this at the end of the line.", unit="× rate")
    ] = 0.0
    total_iters: Annotated[
        int | None,
        at.Ge(1),
        Knob(label="total_iters", help="Steps of the line; empty: the whole run.", unit="steps", advanced=True),
    ] = None

    def fitted(self, *, ticks: int, lr: float) -> LinearLR:
        """``total_iters``: all steps after the warm-up."""
        return replace(self, total_iters=or_else(self.total_iters, ticks))


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

    def fitted(self, *, ticks: int, lr: float) -> StepLR:
        """``step_size``: a third of the epochs, rounded up, so that there are at most two drops."""
        return replace(self, step_size=or_else(self.step_size, math.ceil(ticks / 3)))


@dataclass(frozen=True, kw_only=True)
class MultiStepLR(ScheduleBase):
    """Multiplies the rate by gamma after the epochs listed."""

    interval = "epoch"
    name: Literal["MultiStepLR"] = "MultiStepLR"
    milestones: Annotated[
        tuple[Annotated[int, at.Ge(1)], ...] | None,
        Knob(
            label="After epochs",
            help="Epochs after which the rate drops, in ascending order; empty: a half and three quarters of the run.",
            unit="epochs",
            link=DOCS + "MultiStepLR.html",
        ),
    ] = None
    gamma: Annotated[float, at.Gt(0), at.Le(1), Knob(label="Gamma", help="Factor of each drop.")] = 0.1

    def fitted(self, *, ticks: int, lr: float) -> MultiStepLR:
        """``milestones``: a half and three quarters of the epochs, as far as they are whole epochs within the run.

        Source: He et al. 2016, sec. 4.2 (32k and 48k of 64k steps), https://arxiv.org/abs/1512.03385.
        """
        fitting = tuple(m for m in dict.fromkeys((ticks // 2, ticks * 3 // 4)) if m > 0)
        return replace(self, milestones=or_else(self.milestones, fitting))


@dataclass(frozen=True, kw_only=True)
class ExponentialLR(ScheduleBase):
    """Multiplies the rate by gamma after every epoch."""

    interval = "epoch"
    name: Literal["ExponentialLR"] = "ExponentialLR"
    gamma: Annotated[
        float | None,
        at.Gt(0),
        at.Le(1),
        Knob(
            label="Gamma",
            help="Factor of every epoch; empty: such that the last epoch has a hundredth of the rate.",
            link=DOCS + "ExponentialLR.html",
        ),
    ] = None

    def fitted(self, *, ticks: int, lr: float) -> ExponentialLR:
        """``gamma``: the last epoch has a hundredth of the first one's rate."""
        return replace(self, gamma=or_else(self.gamma, _LAST_FRACTION ** (1 / max(1, ticks - 1))))


@dataclass(frozen=True, kw_only=True)
class PolynomialLR(ScheduleBase):
    """Falls to zero as a power of the steps that are left; power 1 is a straight line."""

    name: Literal["PolynomialLR"] = "PolynomialLR"
    power: Annotated[
        float,
        at.Gt(0),
        Knob(label="Power", help="Exponent of the fraction that is left.", link=DOCS + "PolynomialLR.html"),
    ] = 1.0
    total_iters: Annotated[
        int | None,
        at.Ge(1),
        Knob(label="total_iters", help="Steps of the fall; empty: the whole run.", unit="steps", advanced=True),
    ] = None

    def fitted(self, *, ticks: int, lr: float) -> PolynomialLR:
        """``total_iters``: all steps after the warm-up."""
        return replace(self, total_iters=or_else(self.total_iters, ticks))


@dataclass(frozen=True, kw_only=True)
class CosineAnnealingLR(ScheduleBase):
    """Falls along half a cosine from the rate set to the end of the run."""

    name: Literal["CosineAnnealingLR"] = "CosineAnnealingLR"
    T_max: Annotated[
        int | None,
        at.Ge(1),
        Knob(
            label="T_max",
            help="Steps of the fall; empty: the whole run. Fewer: the rate rises again afterwards.",
            unit="steps",
            advanced=True,
            link=DOCS + "CosineAnnealingLR.html",
        ),
    ] = None
    eta_min: Annotated[
        float, at.Ge(0), Knob(label="Lowest rate", help="Where the fall ends.", log_scale=True, advanced=True)
    ] = 0.0

    def fitted(self, *, ticks: int, lr: float) -> CosineAnnealingLR:
        """``T_max``: all steps after the warm-up."""
        return replace(self, T_max=or_else(self.T_max, ticks))


@dataclass(frozen=True, kw_only=True)
class ReduceLROnPlateau(ScheduleBase):
    """Multiplies the rate by factor when the validation metric has not improved for more than patience epochs."""

    interval = "epoch"
    name: Literal["ReduceLROnPlateau"] = "ReduceLROnPlateau"
    factor: Annotated[
        float,
        at.Gt(0),
        at.Lt(1),
        Knob(label="Factor", help="Factor of each drop.", link=DOCS + "ReduceLROnPlateau.html"),
    ] = 0.1
    patience: Annotated[
        int | None,
        at.Ge(0),
        Knob(
            label="Patience",
            help="Epochs without improvement that are allowed before a drop; empty: a tenth of the run, at most 10.",
            unit="epochs",
        ),
    ] = None
    threshold: Annotated[
        float, at.Ge(0), Knob(label="Threshold", help="A smaller gain is no improvement.", advanced=True)
    ] = 1e-4
    threshold_mode: Annotated[
        Literal["rel", "abs"],
        Knob(label="Threshold is", help="rel: a share of the best value; abs: in the metric's unit.", advanced=True),
    ] = "rel"
    cooldown: Annotated[
        int,
        at.Ge(0),
        Knob(label="Cooldown", help="Epochs after a drop that are not counted.", unit="epochs", advanced=True),
    ] = 0
    min_lr: Annotated[
        float, at.Ge(0), Knob(label="Lowest rate", help="No rate drops below this.", log_scale=True, advanced=True)
    ] = 0.0
    eps: Annotated[
        float, at.Ge(0), Knob(label="Smallest drop", help="Smaller drops are not made.", log_scale=True, advanced=True)
    ] = 1e-8

    def fitted(self, *, ticks: int, lr: float) -> ReduceLROnPlateau:
        """``patience``: a tenth of the epochs, rounded up, at most torch's own 10."""
        return replace(self, patience=or_else(self.patience, min(10, math.ceil(ticks / 10))))


@dataclass(frozen=True, kw_only=True)
class LambdaLR(ScheduleBase):
    """Multiplies the rate by a formula of your own in step, epoch and total_steps."""

    name: Literal["LambdaLR"] = "LambdaLR"
    formula: Annotated[
        str,
        at.MaxLen(500),
        Knob(
            label="Formula",
            help="Factor of the rate in step, epoch (both from 0, after the warm-up) and total_steps; arithmetic, "
            "comparisons, 'a if b else c', pi, e, and cos, exp, sqrt, min, ... may be used.",
            widget="formula",
            link=DOCS + "LambdaLR.html",
        ),
    ] = "0.5 * (1 + cos(pi * step / total_steps))"


ScheduleSettings = Annotated[
    OneCycleLR
    | CosineAnnealingLR
    | CosineAnnealingWarmRestarts
    | LinearLR
    | PolynomialLR
    | StepLR
    | MultiStepLR
    | ExponentialLR
    | CyclicLR
    | ReduceLROnPlateau
    | LambdaLR
    | ConstantLR,
    Field(discriminator="name"),
]
