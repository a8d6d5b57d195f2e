"""Logs for tests, and waiting for what another process brings about."""

from __future__ import annotations

import time
from collections.abc import Callable

from fine_tuner.runs.log.events import EvalMetrics, Event, Payload, RunFinished, RunStarted, TrainMetrics, encode

FACTS = {"global_batch_size": 32, "val_images": 100, "best_metric": "val/accuracy", "best_direction": "max"}


def lines(payloads: list[Payload], *, seq: int = 0, attempt: int = 1, began: float = 1000.0, step_seconds: float = 0.1):
    """The log of one attempt, events ``step_seconds`` apart."""
    events = [
        Event(seq=seq + i, time=began + i * step_seconds, attempt=attempt, payload=p) for i, p in enumerate(payloads)
    ]
    return "".join(encode(event) + "\n" for event in events).encode()


def started(total: int, *, start: int = 0, per_epoch: int = 10, **facts: object) -> RunStarted:
    epochs = -(-total // per_epoch)
    return RunStarted(
        start_step=start, total_steps=total, epochs=epochs, steps_per_epoch=per_epoch, facts=FACTS | facts
    )


def steps(first: int, last: int, *, per_epoch: int = 10, validate: bool = True) -> list[Payload]:
    """Steps ``first`` to ``last`` with loss 1/step, and a validation with accuracy 1 - 1/step after each epoch."""
    out: list[Payload] = []
    for step in range(first, last + 1):
        epoch = (step - 1) // per_epoch + 1
        metrics = {"train/loss": 1 / step, "train/lr/head": 1e-3, "train/images_per_second": 320.0}
        out.append(TrainMetrics(step=step, epoch=epoch, metrics=metrics))
        if validate and step % per_epoch == 0:
            metrics = {"val/loss": 1 / step, "val/accuracy": 1 - 1 / step}
            out.append(EvalMetrics(step=step, epoch=epoch, split="val", metrics=metrics, seconds=2.0))
    return out


def finished(step: int, outcome: str = "completed", error: str | None = None) -> RunFinished:
    return RunFinished(outcome=outcome, step=step, error=error)


def wait_until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for a condition that another process brings about."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)
