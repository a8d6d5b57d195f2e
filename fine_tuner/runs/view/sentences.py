"""One sentence about a run, for the page's live region, the list of runs and the terminal."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fine_tuner.base.text import counted
from fine_tuner.config.metric_specs import metric_name, metric_text
from fine_tuner.runs.log.series import Series
from fine_tuner.runs.view.progress import BestValue, RunProgress, duration_text

_TOLD_STEPS = 100
_TOLD_SHARE = 0.05
_STRETCH = 10  # recorded steps whose median speed is compared
_SLOW_SHARE = 0.6


def sentence(
    status: str,
    phase: str,
    progress: RunProgress,
    best: BestValue | None,
    series: Mapping[str, Series],
    problem: str | None,
) -> str:
    """What a person wants to know first."""
    tail = _best(best)
    match status:
        case "queued":
            return (
                "Waiting for its device." if phase == "waiting for the device" else f"{phase[:1].upper()}{phase[1:]}."
            )
        case "running" if progress.total_steps == 0 or phase not in ("training", "validating"):
            return f"{phase[:1].upper()}{phase[1:]}."
        case "running":
            return _running(progress, best, series)
        case "stopping":
            return f"Stopping: finishing step {progress.step + 1} and saving.{tail}"
        case "completed":
            return f"Completed {counted(progress.epochs, 'epoch')} in {duration_text(progress.seconds)}.{tail}"
        case "paused" | "stopped":
            return f"{status.capitalize()} after step {progress.step} of {progress.total_steps}.{tail}"
    return f"{status.capitalize()}. {problem or ''}{tail}".strip()


def lost_text(lost: int) -> str:
    """What to say of a log with a hole."""
    return (
        f"{counted(lost, 'line')} of its log {'are' if lost != 1 else 'is'} missing: the curves have a gap. "
        "Checkpoints and weights are not touched by that."
    )


def _running(progress: RunProgress, best: BestValue | None, series: Mapping[str, Series]) -> str:
    parts = [f"Epoch {progress.epoch} of {progress.epochs}."]
    if best is not None:
        curve = series[best.key]
        now = float(curve.value[-1])
        name = metric_name(best.key)
        text = f"{name[:1].upper()}{name[1:]} {metric_text(best.key, now)}"
        if len(curve) > 1 and now != best.value:
            text += f", best {metric_text(best.key, best.value)} in epoch {best.epoch}"
        elif len(curve) > 1:
            text += ", the best so far"
        parts.append(text + ".")
    parts += [
        _trend(series.get("train/loss")),
        skipped(series.get("train/skipped_steps")),
        slower(series.get("train/images_per_second")),
    ]
    return " ".join(part for part in parts if part)


def skipped(counts: Series | None) -> str:
    """What to say of an fp16 run that skips many of its recent steps; "" if all is well.

    A few are how the loss scale finds its place: one in a hundred is nothing to tell.
    """
    if counts is None or len(counts) < _TOLD_STEPS // 2:
        return ""
    recent = counts.value[-_TOLD_STEPS - 1 :]
    steps = len(recent) - 1
    share = (recent[-1] - recent[0]) / steps
    if not share > _TOLD_SHARE:
        return ""
    return f"{100 * share:.0f} % of the last {steps} steps were skipped; bf16 would not."


def slower(speeds: Series | None) -> str:
    """What to say of a run whose recent steps are far slower than those of its best stretch; "" if they are not."""
    if speeds is None:
        return ""
    values = speeds.value[np.isfinite(speeds.value) & (speeds.value > 0)]
    stretches = values[len(values) % _STRETCH :].reshape(-1, _STRETCH)
    if len(stretches) < 2:
        return ""
    medians = np.median(stretches, axis=1)
    if medians[-1] > _SLOW_SHARE * medians.max():
        return ""
    return (
        f"{medians[-1]:.3g} images/s instead of {medians.max():.3g}: the machine is busy with other work, so it takes "
        "longer."
    )


def _trend(loss: Series | None) -> str:
    """Whether the training loss falls: the recent tenth against the one before, by their standard errors."""
    if loss is None or len(loss) < 20:
        return ""
    span = min(max(10, len(loss) // 10), 1000)
    recent, before = loss.value[-span:], loss.value[-2 * span : -span]
    recent, before = recent[np.isfinite(recent)], before[np.isfinite(before)]
    if len(recent) < 5 or len(before) < 5:
        return ""
    change = recent.mean() - before.mean()
    error = np.sqrt(recent.var() / len(recent) + before.var() / len(before))
    way = "steady" if abs(change) < 2 * error else "falling" if change < 0 else "rising"
    return f"Training loss {recent.mean():.3g}, {way}."


def _best(best: BestValue | None) -> str:
    if best is None:
        return ""
    return f" Best {metric_name(best.key)} {metric_text(best.key, best.value)} in epoch {best.epoch}."
