"""What rate every group of parameters has in every step: warm-up, torch's schedule, and changes while running.

After ``s`` steps the next one has the rate ``scale * warmup(s) * curve(tick(s))``: ``scale`` is 1 until somebody
changes the rate, ``warmup`` is torch's ``LinearLR`` from ``1 / (warmup_steps + 1)`` to 1, ``curve`` is the scheduler
chosen, and ``tick`` counts steps or epochs from the end of the warm-up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch.optim import Optimizer

from fine_tuner.base.errors import ConfigError, TrainingError
from fine_tuner.config.live_changes import EPOCHS, LR, LR_FACTOR, unknown
from fine_tuner.config.sections import schedules as settings_of
from fine_tuner.config.sections.schedules import LinearLR, ScheduleSettings
from fine_tuner.schedules.curves import Curve, PlateauCurve


class Schedule:
    """Keeps ``group["lr"]`` of an optimizer at the rate that its next step applies.

    Args:
        settings: Variant of ``config.sections.schedules``.
        optimizer: Its groups' ``lr`` are what the schedule multiplies; the largest is the head's.
        total_steps: Optimizer steps in the whole run, warm-up included.
        steps_per_epoch: Optimizer steps in one epoch.
        higher_is_better: Direction of the metric that ``end_epoch`` is given; needed by ReduceLROnPlateau.

    Attributes:
        steps_done: Steps that were taken.
        scale: Factor of all rates that ``rescale`` and ``set_lr`` have led to.
    """

    def __init__(
        self,
        settings: ScheduleSettings,
        optimizer: Optimizer,
        *,
        total_steps: int,
        steps_per_epoch: int,
        higher_is_better: bool | None = None,
    ) -> None:
        self.settings = settings
        self.steps_per_epoch = steps_per_epoch
        self.steps_done = 0
        self.scale = 1.0
        self._optimizer = optimizer
        self._lrs = [float(group["lr"]) for group in optimizer.param_groups]
        self._higher_is_better = higher_is_better
        self._fit(total_steps)
        self._apply()

    def _fit(self, total_steps: int) -> None:
        """Lay the curve over a run of ``total_steps``; a plateau's decisions so far are kept by the caller."""
        self.total_steps = total_steps
        ticks = self.settings.ticks(total_steps, self.steps_per_epoch)
        self.fitted = self.settings.fitted(ticks=ticks, lr=max(self._lrs))
        self._curve: Curve | PlateauCurve
        if isinstance(self.fitted, settings_of.ReduceLROnPlateau):
            if self._higher_is_better is None:
                raise ValueError("ReduceLROnPlateau needs higher_is_better, the direction of the metric it follows")
            mode = "max" if self._higher_is_better else "min"
            self._curve = PlateauCurve(self.fitted, self._lrs, mode=mode)
        else:
            self._curve = Curve(self.fitted, self._lrs, ticks=ticks, steps_per_epoch=self.steps_per_epoch)
        self._warmup = self._warmup_curve(self.settings.warmup_steps)

    def _warmup_curve(self, steps: int) -> Curve | None:
        """Factor of the warm-up as a curve over ``steps`` + 1 ticks, the last of which is 1."""
        if steps == 0:
            return None
        line = LinearLR(start_factor=1 / (steps + 1), end_factor=1.0, total_iters=steps)
        return Curve(line, [1.0], ticks=steps + 1, steps_per_epoch=1)

    # ---------------------------------------------------------------- running
    def step(self) -> None:
        """After every optimizer step."""
        self.steps_done += 1
        self._apply()

    def end_epoch(self, metric: float | None = None) -> None:
        """After the validation of every epoch; None if there was none. Metrics of the warm-up are not counted."""
        is_watched = isinstance(self._curve, PlateauCurve) and self.steps_done > self.settings.warmup_steps
        if is_watched and metric is not None:
            self._curve.observe(metric)
            self._apply()

    def end_worst_epoch(self) -> None:
        """``end_epoch`` without a gain; the very first validation is one whatever it says."""
        if isinstance(self._curve, PlateauCurve):
            self.end_epoch(self._curve.no_gain)

    def rates_after(self, steps: int) -> list[float]:
        """Rate of every group in the step that comes after ``steps`` steps, as things stand now."""
        rates = self._curve.at(self.settings.tick(steps, self.steps_per_epoch))
        factor = self.scale
        if self._warmup is not None and steps < self.settings.warmup_steps:
            factor *= self._warmup.at(steps)[0]
        return [rate * factor for rate in rates]

    def _apply(self) -> None:
        """Set the next step's rates.

        Raises:
            TrainingError: If a formula cannot be computed here (its check looked at some steps of a long run only).
        """
        try:
            rates = self.rates_after(self.steps_done)
        except ValueError as error:
            raise TrainingError(
                f"schedule.formula: {error}. The weights are those after step {self.steps_done}. Correct the formula."
            ) from None
        for group, lr in zip(self._optimizer.param_groups, rates, strict=True):
            group["lr"] = lr
            if self._curve.cycles_momentum:
                _set_momentum(group, self._curve.momentum)

    # --------------------------------------------------------------- planning
    @property
    def group_names(self) -> list[str]:
        """Names of the optimizer's groups, in order."""
        return [str(group.get("name", i)) for i, group in enumerate(self._optimizer.param_groups)]

    @property
    def follows_metric(self) -> bool:
        """Whether the rates depend on metrics, so that ``plan`` is an upper bound."""
        return isinstance(self._curve, PlateauCurve)

    def plan(self, steps: Sequence[int]) -> dict[str, list[float]]:
        """Group to its rate in each of ``steps``, counted from 1 as in the log; exactly what will be applied.

        For ReduceLROnPlateau the rates if it makes no further drop: the upper bound.
        """
        rows = [self.rates_after(step - 1) for step in steps]
        return {name: [row[i] for row in rows] for i, name in enumerate(self.group_names)}

    # ------------------------------------------------- changes while it runs
    def change(self, setting: str, value: float) -> None:
        """A change of one of ``config.live_changes.LIVE_SETTINGS``, by its path.

        Raises:
            ConfigError: See ``rescale``, ``set_lr`` and ``refit``.
        """
        match setting:
            case LR_FACTOR.path:
                self.rescale(value)
            case LR.path:
                self.set_lr(value)
            case EPOCHS.path:
                self.refit(int(value) * self.steps_per_epoch)
            case _:
                raise unknown(setting)

    def rescale(self, factor: float) -> None:
        """Multiply the rates of all groups by ``factor``, from the next step on.

        Raises:
            ConfigError: If the factor is not a positive number.
        """
        if not (math.isfinite(factor) and factor > 0):
            raise ConfigError({"optim.lr": f"cannot be multiplied by {factor!r}. Give a factor > 0, such as 0.5."})
        self.scale *= factor
        self._apply()

    def set_lr(self, value: float) -> None:
        """Give the head the rate ``value`` in the next step, the other groups and later steps in proportion.

        Raises:
            ConfigError: If the value is not a positive number, or the schedule is at zero, where no factor helps.
        """
        if not (math.isfinite(value) and value > 0):
            raise ConfigError({"optim.lr": f"{value!r} is not a learning rate. Give a number > 0, such as 3e-4."})
        now = max(self.rates_after(self.steps_done))
        if now <= 0:
            raise ConfigError({"optim.lr": f"the schedule {self.settings.name} is at 0 now. Extend the run instead."})
        self.rescale(value / now)

    def refit(self, total_steps: int) -> None:
        """Make the run ``total_steps`` long: the rates go on as in a run of that length from the start.

        Raises:
            ConfigError: If more steps were taken already.
        """
        if total_steps < max(1, self.steps_done):
            raise ConfigError(
                {
                    "train.epochs": f"{total_steps} steps are fewer than the {self.steps_done} that are done. "
                    "Stop the run, or choose more epochs."
                }
            )
        state = self.state_dict() | {"total_steps": total_steps}
        self.load_state_dict(state)

    # ------------------------------------------------------------------ state
    def state_dict(self) -> dict[str, Any]:
        """State to resume from, changes while running included; plain numbers."""
        plateau = self._curve.state_dict() if isinstance(self._curve, PlateauCurve) else None
        return {
            "steps_done": self.steps_done,
            "total_steps": self.total_steps,
            "scale": self.scale,
            "plateau": plateau,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of ``state_dict``; sets the rates of the optimizer's groups."""
        self.steps_done, self.scale = state["steps_done"], state["scale"]
        self._fit(state["total_steps"])
        if isinstance(self._curve, PlateauCurve):
            self._curve.load_state_dict(state["plateau"])
        self._apply()


def _set_momentum(group: dict[str, Any], momentum: float) -> None:
    """Momentum, or the first beta, of a group whose optimizer uses one."""
    if "betas" in group:
        group["betas"] = (momentum, *group["betas"][1:])
    elif group.get("momentum", 0) > 0:
        group["momentum"] = momentum


def build_schedule(
    settings: ScheduleSettings,
    optimizer: Optimizer,
    *,
    total_steps: int,
    steps_per_epoch: int,
    higher_is_better: bool | None = None,
) -> Schedule:
    """The schedule that ``settings`` choose, with the first step's rates already set; see ``Schedule``."""
    return Schedule(
        settings,
        optimizer,
        total_steps=total_steps,
        steps_per_epoch=steps_per_epoch,
        higher_is_better=higher_is_better,
    )
