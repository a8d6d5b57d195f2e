"""The timer of steps: a wait for pictures is told as one, and the parts add up to the time between."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from fine_tuner.runs.log.events import TimeSpent
from fine_tuner.training.loop.step_timer import StepTimer

from .conftest import TensorBatches

WAIT = 0.02


class SlowBatches(TensorBatches):
    """Each takes its time to come."""

    def starting_at(self, micro_step: int) -> Iterator[tuple[Tensor, Tensor]]:
        for batch in super().starting_at(micro_step):
            time.sleep(WAIT)
            yield batch


def test_a_run_says_what_it_waited_for(make_trainer: Any) -> None:
    events: list[Any] = []
    trainer = make_trainer(epochs=2, emit=events.append, evaluate=lambda: {"accuracy": 0.5})
    plain = trainer.learner.batches
    trainer.learner.batches = SlowBatches(plain.images, plain.targets, batch_size=plain.batch_size)
    before = time.perf_counter()
    trainer.train()
    took = time.perf_counter() - before

    spent = events[-1]
    assert isinstance(spent, TimeSpent), "the last word of a run that is complete"
    assert spent.step == trainer.position.step
    assert set(spent.seconds) >= {"data", "forward", "backward", "update", "other"}
    assert spent.seconds["data"] >= WAIT * trainer.position.step - 0.001
    assert sum(spent.seconds.values()) <= took + 0.01


def test_the_time_of_all_steps_is_shared_out_as_in_those_measured() -> None:
    timer = StepTimer(torch.device("meta"))  # any device but the CPU: one step of sixteen is measured
    for step in range(32):
        timer.begin_step(step)
        time.sleep(WAIT / 20)
        timer.lap("data")
        timer.lap("forward")
        timer.end_step()
    spent = timer.take()
    assert set(spent) == {"data", "forward", "other"}
    assert spent["data"] + spent["forward"] >= 32 * WAIT / 20 - 0.001
    assert timer.take().keys() == {"other"}, "taken is taken"
