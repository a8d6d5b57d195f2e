"""A run changed while it trains: real processes, a real kill, the rates to the last bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from fine_tuner.cli.main import main
from fine_tuner.config.io import CHOICES
from fine_tuner.config.sections.schedules import CosineAnnealingLR
from fine_tuner.runs.log.events import CheckpointSaved, Mark, TrainMetrics, read_events
from fine_tuner.runs.store import RunStore
from fine_tuner.schedules import preview
from tests.runs.logs import wait_until

from .conftest import ROOT, command, environment, fine_tuner

EPOCHS, PER_EPOCH = 40, 2
SETTINGS = ("schedule.name=CosineAnnealingLR", "optim.lr=1e-2", f"train.epochs={EPOCHS}")


def payloads(run: Path, kind: type) -> list:
    events = run / "events.jsonl"
    return [e.payload for e in read_events(events)[0] if isinstance(e.payload, kind)] if events.exists() else []


def rates(run: Path) -> dict[int, float]:
    """Step to the head's rate; of a step made twice the later."""
    return {p.step: p.metrics["train/lr/head"] for p in payloads(run, TrainMetrics)}


def planned(total: int) -> list[float]:
    points = list(range(1, total + 1))
    return preview(CosineAnnealingLR(), {"head": 1e-2}, total_steps=total, steps_per_epoch=PER_EPOCH, points=points)[
        "head"
    ]


def begin(settings: tuple[str, ...], runs: Path) -> tuple[subprocess.Popen, Path]:
    """A run at work, some steps in."""
    words = command("train", "default", *settings, *SETTINGS, "--runs", str(runs))
    process = subprocess.Popen(words, env=environment(), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: list(runs.glob("2*/events.jsonl")), 120)
    (run,) = (path.parent for path in runs.glob("2*/events.jsonl"))
    wait_until(lambda: len(payloads(run, TrainMetrics)) >= 2, 120)
    return process, run


@pytest.mark.slow
def test_set_changes_the_rates_and_a_killed_run_makes_the_change_again(
    tiny_settings: tuple[str, ...], tmp_path: Path
) -> None:
    process, run = begin(tiny_settings, tmp_path / "runs")
    try:
        assert main(["set", str(run), "lr_factor=0.5"]) == 0
        wait_until(lambda: payloads(run, Mark) or process.poll() is not None, 60)
        (mark,) = payloads(run, Mark)
        wait_until(lambda: max(rates(run)) > mark.step or process.poll() is not None, 60)
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    saved = [p.step for p in payloads(run, CheckpointSaved)]
    assert mark.step < EPOCHS * PER_EPOCH, "the run was over before it was changed"

    done = fine_tuner("resume", str(run), "--runs", str(run.parent))
    assert done.returncode == 0, done.stderr
    uninterrupted = [
        rate * (0.5 if step >= mark.step else 1.0) for step, rate in enumerate(planned(EPOCHS * PER_EPOCH))
    ]
    assert list(rates(run).values()) == uninterrupted
    assert {(m.step, json.dumps(m.changes)) for m in payloads(run, Mark) if not m.is_ghost} == {
        (mark.step, '{"lr_factor": 0.5}')
    }
    assert saved, "the kill came before any checkpoint"
    view = RunStore(run.parent).view(run.name)
    assert (view.status, len([m for m in view.marks if not m.is_ghost])) == ("completed", 1)
    schedule = view.started["schedule"]
    steps = schedule["steps"]
    assert schedule["groups"]["head"] == [uninterrupted[step - 1] for step in steps]


@pytest.mark.parametrize("name", CHOICES["schedule"].variants)
def test_preview_schedule_prints_what_plan_does(tiny_settings: tuple[str, ...], name: str, capsys) -> None:
    settings = (
        "default",
        *tiny_settings,
        f"schedule.name={name}",
        "schedule.warmup_steps=1",
        "model.trainable=gradual",
    )
    assert main(["plan", *settings, "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    length = ["--total-steps", str(plan["total_steps"]), "--steps-per-epoch", str(plan["steps_per_epoch"])]
    groups = ["--groups", json.dumps(plan["schedule"]["group_lrs"])]
    assert main(["preview-schedule", *settings, *length, *groups, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == plan["schedule"]
