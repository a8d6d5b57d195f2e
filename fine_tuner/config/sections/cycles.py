"""What all schedules have in common, and those that go up and down: 1cycle, triangles, warm restarts."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal, Self, TypeVar

import annotated_types as at
from pydantic import AfterValidator

from fine_tuner.config.knobs import STRICT, Knob
from fine_tuner.config.live_changes import NAMES, parse_change
from fine_tuner.config.sections.optimizers import WITHOUT_MOMENTUM

DOCS = "https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler."
_CYCLES = 3  # of CyclicLR and CosineAnnealingWarmRestarts in a run, if they may choose
_WITHOUT_MOMENTUM = (("optim.name", WITHOUT_MOMENTUM),)

T = TypeVar("T")


def or_else(value: T | None, default: T) -> T:
    """``value`` unless it is None: 0 and () are values."""
    return default if value is None else value


def _as_change(text: str) -> str:
    """The change as it is written everywhere."""
    return str(parse_change(text))


@dataclass(frozen=True, kw_only=True)
class ScheduleBase:
    """Fields that every schedule has; they survive a change of schedule.

    Attributes:
        interval: What one tick of the torch scheduler is.
    """

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
    changes: Annotated[
        tuple[Annotated[str, AfterValidator(_as_change)], ...],
        Knob(
            label="Changes on the way",
            help="STEP:SETTING=VALUE, such as 120:lr_factor=0.5: what an earlier run changed while it trained; "
            f"settings are {NAMES}.",
            advanced=True,
        ),
    ] = ()

    def tick(self, step: int, steps_per_epoch: int) -> int:
        """Tick of the torch scheduler that rules the step after ``step`` steps.

        0 throughout the warm-up. A schedule by epochs leaves out the whole epochs of the warm-up, so that its drops
        stay between epochs.
        """
        period = steps_per_epoch if self.interval == "epoch" else 1
        return max(0, step // period - self.warmup_steps // period)

    def ticks(self, total_steps: int, steps_per_epoch: int) -> int:
        """Ticks that the schedule has for itself in a run of ``total_steps``, at least 1."""
        return self.tick(total_steps - 1, steps_per_epoch) + 1

    def fitted(self, *, ticks: int, lr: float) -> Self:
        """A copy in which every parameter that was left to the run is decided.

        Args:
            ticks: Length of the schedule, see ``ticks``.
            lr: Rate of the head.
        """
        return self


_CycleMomentum = Annotated[
    bool,
    Knob(
        label="Cycle momentum",
        help="Momentum (or the first beta) falls while the rate rises, in place of the optimizer's own; "
        "momentum 0 stays 0.",
        advanced=True,
        unless=_WITHOUT_MOMENTUM,
    ),
]
_BaseMomentum = Annotated[
    float,
    at.Ge(0),
    at.Lt(1),
    Knob(
        label="Lowest momentum",
        help="Momentum where the rate is highest.",
        advanced=True,
        when=(("schedule.cycle_momentum", (True,)),),
        unless=_WITHOUT_MOMENTUM,
    ),
]
_MaxMomentum = Annotated[
    float,
    at.Ge(0),
    at.Lt(1),
    Knob(
        label="Highest momentum",
        help="Momentum where the rate is lowest.",
        advanced=True,
        when=(("schedule.cycle_momentum", (True,)),),
        unless=_WITHOUT_MOMENTUM,
    ),
]


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
    anneal_strategy: Annotated[
        Literal["cos", "linear"], Knob(label="Shape", help="Along cosines or straight lines.", advanced=True)
    ] = "cos"
    three_phase: Annotated[
        bool,
        Knob(
            label="Three phases",
            help="Fall back to the starting rate first, then to the end; as in the original paper.",
            advanced=True,
        ),
    ] = False
    total_steps: Annotated[
        int | None,
        at.Ge(2),
        Knob(label="total_steps", help="Steps of the cycle; empty: the whole run.", unit="steps", advanced=True),
    ] = None
    cycle_momentum: _CycleMomentum = True
    base_momentum: _BaseMomentum = 0.85
    max_momentum: _MaxMomentum = 0.95

    def fitted(self, *, ticks: int, lr: float) -> OneCycleLR:
        """``total_steps``: all steps after the warm-up."""
        return replace(self, total_steps=or_else(self.total_steps, ticks))


@dataclass(frozen=True, kw_only=True)
class CyclicLR(ScheduleBase):
    """Rises and falls between two rates along straight lines, again and again."""

    name: Literal["CyclicLR"] = "CyclicLR"
    base_lr: Annotated[
        float | None,
        at.Gt(0),
        Knob(
            label="Lowest rate",
            help="Of the head, the other groups in proportion; empty: a quarter of the highest.",
            log_scale=True,
            link=DOCS + "CyclicLR.html",
        ),
    ] = None
    max_lr: Annotated[
        float | None,
        at.Gt(0),
        Knob(
            label="Highest rate",
            help="Of the head, the other groups in proportion; empty: the learning rate set.",
            log_scale=True,
        ),
    ] = None
    step_size_up: Annotated[
        int | None,
        at.Ge(1),
        Knob(label="Steps up", help="Steps of each rise; empty: three cycles fill the run.", unit="steps"),
    ] = None
    step_size_down: Annotated[
        int | None,
        at.Ge(1),
        Knob(label="Steps down", help="Steps of each fall; empty: as many as up.", unit="steps", advanced=True),
    ] = None
    mode: Annotated[
        Literal["triangular", "triangular2", "exp_range"],
        Knob(
            label="Cycles",
            help="triangular: all of one height; triangular2: each half as high as the one before; exp_range: lower "
            "by gamma with every step.",
        ),
    ] = "triangular"
    gamma: Annotated[
        float,
        at.Gt(0),
        at.Le(1),
        Knob(
            label="Gamma",
            help="Factor of the height in every step.",
            advanced=True,
            when=(("schedule.mode", ("exp_range",)),),
        ),
    ] = 1.0
    cycle_momentum: _CycleMomentum = True
    base_momentum: _BaseMomentum = 0.8
    max_momentum: _MaxMomentum = 0.9

    def fitted(self, *, ticks: int, lr: float) -> CyclicLR:
        """``max_lr``: the head's rate; ``base_lr``: a quarter of it; ``step_size_up``: three cycles fill the run.

        Source: Smith 2017, sec. 3.3 ("1/3 or 1/4 of the maximum"), https://arxiv.org/abs/1506.01186.
        """
        highest = or_else(self.max_lr, lr)
        share = 2 * _CYCLES if self.step_size_down is None else _CYCLES
        up = math.ceil(ticks / share) - or_else(self.step_size_down, 0)
        return replace(
            self,
            max_lr=highest,
            base_lr=or_else(self.base_lr, highest / 4),
            step_size_up=or_else(self.step_size_up, max(1, up)),
        )


@dataclass(frozen=True, kw_only=True)
class CosineAnnealingWarmRestarts(ScheduleBase):
    """Falls along half a cosine, jumps back up and falls again (SGDR)."""

    name: Literal["CosineAnnealingWarmRestarts"] = "CosineAnnealingWarmRestarts"
    T_0: Annotated[
        int | None,
        at.Ge(1),
        Knob(
            label="First cycle",
            help="Steps before the first restart; empty: three cycles fill the run.",
            unit="steps",
            link=DOCS + "CosineAnnealingWarmRestarts.html",
        ),
    ] = None
    T_mult: Annotated[
        int, at.Ge(1), Knob(label="T_mult", help="Each cycle is this many times as long as the one before.")
    ] = 1
    eta_min: Annotated[
        float, at.Ge(0), Knob(label="Lowest rate", help="Where each fall ends.", log_scale=True, advanced=True)
    ] = 0.0

    def fitted(self, *, ticks: int, lr: float) -> CosineAnnealingWarmRestarts:
        """``T_0``: three cycles fill the run."""
        parts = sum(self.T_mult**cycle for cycle in range(_CYCLES))
        return replace(self, T_0=or_else(self.T_0, math.ceil(ticks / parts)))
