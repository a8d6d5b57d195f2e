"""Paused anywhere and resumed equals uninterrupted, bit for bit, whatever carries state: real worker, real folder."""

from __future__ import annotations

import signal
from typing import Any

import pytest
import torch

from fine_tuner.runs.log.events import EvalMetrics, RunFinished, RunStarted, TrainMetrics
from fine_tuner.training.recovery.checkpoint import CheckpointStore, load_state

from .conftest import last_weights, payloads

PAUSE = """\
folders = list(RUNS.glob('runs/2*'))
if torch.is_grad_enabled() and step >= 3 and folders and not (RUNS / 'paused').exists():
    (RUNS / 'paused').touch()
    (folders[0] / 'control').mkdir(exist_ok=True)
    (folders[0] / 'control' / 'pause').write_text('{}')
"""
NO_MEMORY = """\
if torch.is_grad_enabled() and len(target) > 3:
    raise torch.OutOfMemoryError('no room')
"""
KILLED_IN_VALIDATION = """\
if not torch.is_grad_enabled() and any('train_metrics' in p.read_text() for p in RUNS.glob('runs/2*/events.jsonl')):
    if not (RUNS / 'killed').exists():
        (RUNS / 'killed').touch()
        raise KeyboardInterrupt  # as a second Ctrl+C: at once, nothing is saved on the way out
"""
DROPOUT = ("model.name=mobilenet_v3_small",)
CASES = {
    "dropout and augmentation": (*DROPOUT, "augment.name=strong", "augment.mix=both"),
    "accumulation and warm-up": ("train.batch_size=4", "train.accumulate=3", "schedule.warmup_steps=3"),
    "average of weights": (*DROPOUT, "train.ema_decay=0.9", "schedule.name=CosineAnnealingWarmRestarts"),
    "fp16 and its scale": ("precision.dtype=fp16", "optim.clip_norm=0.5", "schedule.name=CosineAnnealingLR"),
    "plateau and early stopping": ("schedule.name=ReduceLROnPlateau", "schedule.patience=0", "train.early_stopping=2"),
    "unfreezing and SGD": ("model.trainable=gradual", "optim.name=SGD", "optim.momentum=0.9"),
    "frozen part run once": (*DROPOUT, "model.trainable=2", "train.views=2", "augment.name=strong"),
    "smaller parts": (*DROPOUT, "train.ema_decay=0.9", "schedule.name=ExponentialLR"),
}


def assert_same_state(ours: Any, theirs: Any) -> None:
    """Equal to the last bit, however nested."""
    if isinstance(ours, torch.Tensor):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0, equal_nan=True)
    elif isinstance(ours, dict):
        assert ours.keys() == theirs.keys()
        for key in ours:
            assert_same_state(ours[key], theirs[key])
    elif isinstance(ours, list | tuple):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert_same_state(one, other)
    else:
        assert ours == theirs


SLOW = ("accumulation and warm-up", "plateau and early stopping", "unfreezing and SGD")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in CASES]
)
def test_resumed_equals_uninterrupted(
    tiny_settings: tuple[str, ...], train_here: Any, own_loss: Any, name: str
) -> None:
    settings = (*tiny_settings, "train.epochs=3", *CASES[name])
    code = NO_MEMORY if name == "smaller parts" else ""
    # at the third call while training: in the first epoch or the second, as the parts of a step are counted too
    paused = train_here(*settings, *own_loss(code + PAUSE))
    (first,) = payloads(paused, RunFinished)
    assert (first.outcome, first.step in range(1, 6)) == ("paused", True)
    train_here(resume=paused)
    whole = train_here(*settings, *own_loss(code), runs="whole")
    torch.testing.assert_close(last_weights(paused), last_weights(whole), rtol=0, atol=0)
    states = [load_state(CheckpointStore(folder=run / "checkpoints").newest()) for run in (paused, whole)]
    assert_same_state(*states)
    for kind, drop in ((TrainMetrics, ("train/images_per_second", "memory/process_mib")), (EvalMetrics, ())):
        ours, theirs = (
            [{k: v for k, v in e.metrics.items() if k not in drop} for e in payloads(run, kind)]
            for run in (paused, whole)
        )
        assert ours == theirs


def test_killed_in_the_first_validation_loses_no_step(
    tiny_settings: tuple[str, ...], train_here: Any, own_loss: Any
) -> None:
    settings = (*tiny_settings, *DROPOUT, "train.epochs=2", "schedule.name=ReduceLROnPlateau")
    killed = train_here(*settings, *own_loss(KILLED_IN_VALIDATION), code=130)
    assert (payloads(killed, RunFinished)[0].step, payloads(killed, EvalMetrics)) == (2, [])
    train_here(resume=killed)
    assert [p.start_step for p in payloads(killed, RunStarted)] == [0, 2]
    whole = train_here(*settings, *own_loss(), runs="whole")
    torch.testing.assert_close(last_weights(killed), last_weights(whole), rtol=0, atol=0)
    states = [load_state(CheckpointStore(folder=run / "checkpoints").newest()) for run in (killed, whole)]
    assert_same_state(*states)
    assert [e.metrics for e in payloads(killed, EvalMetrics)] == [e.metrics for e in payloads(whole, EvalMetrics)]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_machine_that_goes_down_and_a_terminal_that_is_closed_stop_a_run_with_a_checkpoint(
    tiny_settings: tuple[str, ...], train_here: Any, own_loss: Any, name: str
) -> None:
    signal.signal(getattr(signal, name), lambda *_: None)  # the run's own is set also where tests run under nohup
    ends = f"import os, signal\nif step >= 3 and list(RUNS.glob('runs/2*')):\n    os.kill(os.getpid(), signal.{name})"
    run = train_here(*tiny_settings, "train.epochs=9", *own_loss(ends), code=130)
    (finish,) = payloads(run, RunFinished)
    assert finish.outcome == "stopped"
    assert finish.step < 4
    newest = CheckpointStore(folder=run / "checkpoints").newest()
    assert newest is not None
    assert load_state(newest)["position"]["step"] == finish.step
