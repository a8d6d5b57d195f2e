"""How far a run is, how fast it goes, how long it still takes, and all that in words."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fine_tuner.config.metric_specs import QUALITY
from fine_tuner.runs.log.facts import Facts
from fine_tuner.runs.log.series import Series, best_point

_LEAST_STEPS = 3  # before a rate is worth telling


@dataclass(frozen=True, kw_only=True, slots=True)
class RunProgress:
    """How far a run is.

    Attributes:
        step: Steps done, of ``total_steps`` (0: not known yet).
        epoch: Epoch that is being trained, from 1, or the last one; 0 while their number is not known.
        fraction: 0 to 1.
        images_per_second: Median over the recent steps; None until known.
        eta_seconds: Steps left at their recent pace, before there is one at the pace expected of the run, and
            validations left at what they took; None until known.
        eta_is_at_least: No validation was measured yet and there are some to come: it takes longer than that.
        seconds: Time at work, all attempts together.
    """

    step: int
    total_steps: int
    epoch: int
    epochs: int
    fraction: float
    images_per_second: float | None
    eta_seconds: float | None
    eta_is_at_least: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class BestValue:
    """The best value so far of the metric that chooses the best checkpoint."""

    key: str
    value: float
    epoch: int
    step: int
    higher_is_better: bool


def measure(facts: Facts, series: Mapping[str, Series], *, is_alive: bool) -> RunProgress:
    """Progress from the fold; pace and rest only while a process is at work."""
    total, per_epoch = facts.total_steps, facts.steps_per_epoch
    rate, step_seconds = _pace(facts, series) if is_alive else (None, None)
    if is_alive and step_seconds is None:
        step_seconds = _expected_step_seconds(facts)
    eta, at_least = _rest(facts, step_seconds)
    return RunProgress(
        step=facts.step,
        total_steps=total,
        epoch=_epoch(facts, per_epoch),
        epochs=facts.epochs,
        fraction=min(1.0, facts.step / total) if total > 0 else 0.0,
        images_per_second=rate,
        eta_seconds=eta,
        eta_is_at_least=at_least,
        seconds=facts.elapsed_ms / 1000,
    )


def _epoch(facts: Facts, per_epoch: int) -> int:
    if per_epoch <= 0 or facts.step <= 0:
        return min(1, facts.epochs)
    done, within = divmod(facts.step, per_epoch)
    return min(done + (within > 0), facts.epochs) if facts.epochs else done + (within > 0)


def _pace(facts: Facts, series: Mapping[str, Series]) -> tuple[float | None, float | None]:
    """Images per second and seconds per step, over the recent steps of this attempt."""
    rate = None
    recorded = series.get("train/images_per_second")
    count = min(facts.attempt_steps, 50)
    if recorded is not None and count >= _LEAST_STEPS:
        values = recorded.value[-count:]
        values = values[np.isfinite(values) & (values > 0)]
        rate = float(np.median(values)) if len(values) else None
    images = facts.started.get("global_batch_size")
    if (
        rate and isinstance(images, int | float) and images > 0
    ):  # measured around the step, so bursts of lines don't matter
        return rate, images / rate
    if len(facts.step_ms) >= _LEAST_STEPS:
        return rate, sum(ms for ms, _ in facts.step_ms) / sum(steps for _, steps in facts.step_ms) / 1000
    return rate, None


def _expected_step_seconds(facts: Facts) -> float | None:
    """Before enough steps are done: as measured before the first one."""
    speed, images = facts.started.get("expected_images_per_second"), facts.started.get("global_batch_size")
    return images / speed if speed and images else None


def _rest(facts: Facts, step_seconds: float | None) -> tuple[float | None, bool]:
    if step_seconds is None or facts.total_steps <= 0:
        return None, False
    validates = bool(facts.started.get("val_images"))
    left = max(0, facts.epochs - facts.validated_epoch) if validates else 0
    took = statistics.median(facts.validation_seconds) if facts.validation_seconds else None
    rest = max(0, facts.total_steps - facts.step) * step_seconds
    return rest + left * (took or 0.0), left > 0 and took is None


def find_best(facts: Facts, series: Mapping[str, Series]) -> BestValue | None:
    """Best finite value of the run's own best metric; the first of several equal ones."""
    key, direction = facts.started.get("best_metric"), facts.started.get("best_direction")
    if key not in series:
        spec = next((spec for spec in QUALITY if f"val/{spec.key}" in series), None)
        if spec is None:
            return None
        key, direction = f"val/{spec.key}", "max" if spec.higher_is_better else "min"
    curve, higher = series[key], direction != "min"
    losses = series["val/loss"].value if "val/loss" in series else None
    if (point := best_point(curve.value, higher=higher, losses=losses)) is None:
        return None
    told = facts.summary.get("best")  # what the best checkpoint was chosen by, where the log has lost the value
    if facts.lost and isinstance(told, dict) and told.get("key") == key:
        return BestValue(key, float(told["value"]), int(told["epoch"]), told["epoch"] * facts.steps_per_epoch, higher)
    return BestValue(key, float(curve.value[point]), int(curve.epoch[point]), int(curve.step[point]), higher)


def phase_of(facts: Facts) -> str:
    """What a live process is doing, in plain words: ``"downloading weights 12/46 MiB"``."""
    if facts.activity:
        return _activity(facts.activity)
    if facts.last_kind == "" or not facts.total_steps:
        return "starting"
    at_epoch_end = facts.steps_per_epoch > 0 and facts.step > 0 and facts.step % facts.steps_per_epoch == 0
    if at_epoch_end and facts.last_kind == "train_metrics" and facts.started.get("val_images"):
        return "validating"
    return "training"


def _activity(activity: Mapping[str, Any]) -> str:
    done, total, unit = activity.get("done"), activity.get("total"), activity.get("unit") or ""
    if not total and not done:
        return str(activity.get("what"))
    counted = _count(done) + (f"/{_count(total)}" if total else "")
    return f"{activity.get('what')} {counted} {unit}".strip()


def _count(value: Any) -> str:
    number = float(value or 0)
    return f"{number:.0f}" if number >= 10 or number == int(number) else f"{number:.1f}"


def duration_text(seconds: float) -> str:
    """``"1 min 12 s"``.

    >>> [duration_text(s) for s in (0.4, 72, 3600, 200_000)]
    ['0 s', '1 min 12 s', '1 h 0 min', '2 d 7 h']
    """
    whole = round(max(0.0, seconds))
    for size, name, below, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            return f"{whole // size} {name} {whole % size // below} {small}"
    return f"{whole} s"
