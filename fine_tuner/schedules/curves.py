"""The rates of one torch scheduler as a function of its tick.

torch's schedulers are iterators: each ``step`` computes the next rate from the last one. Here the class's own closed
form is asked instead (``_get_closed_form_lr``, or ``get_lr`` where that looks at ``last_epoch`` alone), on a stand-in
for the optimizer. So any tick can be had at once, nothing accumulates rounding, a resume needs no more than the tick,
and the real optimizer is not patched (torch wraps its ``step`` to warn about the order of calls, which a step skipped
by the loss scaler would trip).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from torch.optim import Optimizer, lr_scheduler

from fine_tuner.config.sections import schedules as settings_of
from fine_tuner.config.sections.formula import ScheduleFactor
from fine_tuner.config.sections.schedules import ScheduleBase, ScheduleSettings

_COMMON = frozenset(f.name for f in dataclasses.fields(ScheduleBase)) | {"name"}


class StandIn(Optimizer):
    """The part of an optimizer that schedulers read and write: groups with ``lr`` and ``momentum``.

    It does not call ``Optimizer.__init__``, which would load torch's compiler: a second, for a preview of milliseconds.
    """

    def __init__(self, lrs: Sequence[float], names: Sequence[str] | None = None) -> None:
        self.defaults = {"momentum": 0.0}
        self.param_groups = [{"lr": lr, "momentum": 0.0} for lr in lrs]
        for group, name in zip(self.param_groups, names or (), strict=names is not None):
            group["name"] = name

    def step(self, closure: Any = None) -> None:
        """Schedulers wrap this method; nothing calls it."""


class WarmRestarts(lr_scheduler.CosineAnnealingWarmRestarts):
    """torch's class with a closed form.

    Differs: torch's ``step(epoch)`` finds the cycle by a logarithm, whose rounding puts the first step of a cycle at
    the end of the one before (T_0=1, T_mult=3, epoch 121); here it is found in whole numbers.
    """

    def _get_closed_form_lr(self) -> list[float]:
        self.T_i, self.T_cur = self.T_0, self.last_epoch
        if self.T_mult == 1:
            self.T_cur %= self.T_0
        else:
            while self.T_cur >= self.T_i:
                self.T_cur -= self.T_i
                self.T_i *= self.T_mult
        return self.get_lr()


class Curve:
    """Rates of every group at any tick.

    Args:
        settings: A variant with every parameter decided (``fitted``).
        lrs: Each group's own rate; the largest is the head's.
        ticks: Ticks in the run; beyond the last one the rates stay.
        steps_per_epoch: For the ``epoch`` of a formula.
    """

    def __init__(self, settings: ScheduleSettings, lrs: Sequence[float], *, ticks: int, steps_per_epoch: int) -> None:
        self._rates = StandIn(lrs)
        self._scheduler = _torch_scheduler(settings, self._rates, ticks=ticks, steps_per_epoch=steps_per_epoch)
        self._scheduler._get_lr_called_within_step = True  # it is asked directly; no warning
        self._closed_form = getattr(self._scheduler, "_get_closed_form_lr", self._scheduler.get_lr)
        self._last_tick = min(ticks, getattr(self._scheduler, "total_steps", ticks)) - 1
        self.cycles_momentum: bool = getattr(self._scheduler, "cycle_momentum", False)

    def at(self, tick: int) -> list[float]:
        """Rate of every group at ``tick``, from 0."""
        self._scheduler.last_epoch = min(tick, self._last_tick)
        return self._closed_form()

    @property
    def momentum(self) -> float:
        """Momentum at the tick asked for last; meaningful if ``cycles_momentum``."""
        return self._rates.param_groups[0]["momentum"]


class PlateauCurve:
    """Rates that ``ReduceLROnPlateau`` has decided on so far; the tick does not matter, ``observe`` does."""

    cycles_momentum = False
    momentum = 0.0
    _COUNTERS = ("best", "num_bad_epochs", "cooldown_counter", "last_epoch")

    def __init__(self, settings: settings_of.ReduceLROnPlateau, lrs: Sequence[float], *, mode: str) -> None:
        self._rates = StandIn(lrs)
        self._scheduler = lr_scheduler.ReduceLROnPlateau(self._rates, mode=mode, **own_fields(settings))

    def at(self, tick: int) -> list[float]:
        """Rate of every group now."""
        return [group["lr"] for group in self._rates.param_groups]

    def observe(self, metric: float) -> None:
        """Take the metric of one more epoch; NaN is no improvement."""
        self._scheduler.step(metric)

    @property
    def no_gain(self) -> float:
        """A metric that is no improvement, unless none was seen yet."""
        if not math.isfinite(self._scheduler.best):
            return 0.0
        return -math.inf if self._scheduler.mode == "max" else math.inf

    def state_dict(self) -> dict[str, Any]:
        """What the metrics seen so far have led to."""
        return {"lrs": self.at(0), **{name: getattr(self._scheduler, name) for name in self._COUNTERS}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of ``state_dict``; parameters stay those of the settings."""
        for group, lr in zip(self._rates.param_groups, state["lrs"], strict=True):
            group["lr"] = lr
        for name in self._COUNTERS:
            setattr(self._scheduler, name, state[name])


def own_fields(settings: ScheduleSettings) -> dict[str, Any]:
    """The variant's own parameters, which are the torch class's."""
    return {f.name: getattr(settings, f.name) for f in dataclasses.fields(settings) if f.name not in _COMMON}


def _torch_scheduler(
    settings: ScheduleSettings, rates: StandIn, *, ticks: int, steps_per_epoch: int
) -> lr_scheduler.LRScheduler:
    """The class of the same name over the stand-in."""
    lrs = [group["lr"] for group in rates.param_groups]
    arguments = own_fields(settings)
    match settings:
        case settings_of.OneCycleLR(total_steps=total_steps, pct_start=pct_start):
            while total_steps * pct_start == 1:  # torch divides by zero where the rise is exactly one step
                pct_start = math.nextafter(pct_start, 1.0)
            return lr_scheduler.OneCycleLR(rates, max_lr=lrs, **arguments | {"pct_start": pct_start})
        case settings_of.CyclicLR():
            head = max(lrs)
            for bound in ("base_lr", "max_lr"):
                arguments[bound] = [arguments[bound] * (lr / head) for lr in lrs]
            return lr_scheduler.CyclicLR(rates, **arguments)
        case settings_of.CosineAnnealingWarmRestarts():
            return WarmRestarts(rates, **arguments)
        case settings_of.LambdaLR():
            factor = ScheduleFactor(
                settings.formula,
                ticks=ticks,
                steps_per_epoch=steps_per_epoch,
                warmup_steps=settings.warmup_steps,
            )
            return lr_scheduler.LambdaLR(rates, factor)
        case _:
            return getattr(lr_scheduler, settings.name)(rates, **arguments)
