"""What a person at a terminal reads while a run goes on: one line per epoch, and where there is one, a bar."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from fine_tuner.base.progress import OnProgress
from fine_tuner.config.live_changes import EPOCHS
from fine_tuner.runs.log.events import (
    EvalMetrics,
    Mark,
    Message,
    Payload,
    RunFinished,
    RunStarted,
    TimeSpent,
    TrainMetrics,
    WorkProgress,
)
from fine_tuner.runs.view.time_spent import time_spent


class Console:
    """Turns events into lines.

    Args:
        print_line: Where a line goes.
        show: Told after each step how many of all are done; None where nobody looks.
    """

    def __init__(self, print_line: Callable[[str], None], show: OnProgress | None = None) -> None:
        self._print, self._show = print_line, show
        self._epochs = self._per_epoch = 0
        self._losses: list[float] = []
        self._epoch_began = time.perf_counter()
        self._progress_shown = ""
        self._time_spent: Counter[str] = Counter()

    def __call__(self, payload: Payload) -> None:
        """Print what ``payload`` has to say, if anything."""
        match payload:
            case RunStarted(epochs=epochs, total_steps=total, steps_per_epoch=per_epoch, facts=facts):
                self._epochs, self._per_epoch = epochs, per_epoch
                self._epoch_began = time.perf_counter()
                for notice in facts.get("notices", ()):
                    self._print(f"{'warning' if notice in facts.get('warnings', ()) else 'note'}: {notice}")
                self._print(_plan_line(dict(facts), epochs, per_epoch, total))
            case TrainMetrics(step=step, metrics=metrics):
                self._losses.append(metrics["train/loss"])
                self._count(step)
            case EvalMetrics() as evaluated:
                self._print(self._epoch_line(evaluated))
                self._losses, self._epoch_began = [], time.perf_counter()
            case TimeSpent(seconds=seconds):
                self._time_spent.update(seconds)
            case WorkProgress(what=what, done=done, total=total) if what != self._progress_shown or done == total:
                self._progress_shown = what
                self._print(f"{what} ..." if done != total else f"{what}: {done:g}")
            case Mark(changes=changes) if EPOCHS.path in changes:
                self._epochs = int(changes[EPOCHS.path])
            case Message(level=level, text=text):
                self._print(text if level == "info" else f"{level}: {text}")
            case RunFinished(outcome=outcome, step=step) if outcome != "failed":
                self._print(f"{outcome} after {step} steps")
                self._tell_time()

    def progress(self, what: str, done: float, total: float | None = None) -> None:
        """Tell of long work that is no event yet."""
        self(WorkProgress(what=what, done=done, total=total))

    def _count(self, step: int) -> None:
        if self._show is not None:
            self._show("Training", step, self._epochs * self._per_epoch)

    def _tell_time(self) -> None:
        if spent := time_spent(self._time_spent):
            shares = ", ".join(f"{share.label} {100 * share.share:.0f} %" for share in spent.shares)
            self._print(f"time: {shares}. {spent.text}")

    def _epoch_line(self, evaluated: EvalMetrics) -> str:
        parts = [f"epoch {evaluated.epoch}/{self._epochs}"]
        if self._losses:
            parts.append(f"train/loss {sum(self._losses) / len(self._losses):.4f}")
        parts += [f"{key} {value:.4f}" for key, value in evaluated.metrics.items()]
        parts.append(f"{time.perf_counter() - self._epoch_began:.1f} s")
        return "  ".join(parts) + ("  best so far" if evaluated.is_best else "")


def _plan_line(facts: dict[str, object], epochs: int, per_epoch: int, total: int) -> str:
    return (
        f"{facts.get('model')} ({facts.get('weights')}) on {facts.get('device')}, {facts.get('precision')}: "
        f"{facts.get('train_images')} training and {facts.get('val_images')} validation images, "
        f"{epochs} epochs of {per_epoch} steps = {total} steps, {facts.get('trainable_parameters'):,} of "
        f"{facts.get('parameters'):,} parameters train"
    )
