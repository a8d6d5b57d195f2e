"""What can happen to a run from outside: every recorded step is kept, the status is right, and a resume ends as if
nothing had been. Real processes, real signals, real files."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from fine_tuner.cli.main import main
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.log.events import EvalMetrics, RunFinished, TrainMetrics
from fine_tuner.runs.store import RunStore
from fine_tuner.runs.view.run_view import RunView
from fine_tuner.training.recovery.checkpoint import CheckpointStore
from tests.runs.logs import wait_until

from .conftest import ROOT, TINY, command, environment, last_weights, payloads

EPOCHS, PER_EPOCH = 16, 2
LENGTH = (f"train.epochs={EPOCHS}", "augment.name=light")
CAP_DAC_OVERRIDE, PR_CAPBSET_DROP = 1, 24


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., tuple[subprocess.Popen, Path]]]:
    """Starts a worker, and waits until its second epoch is recorded; whatever lives at the end is killed."""
    started: list[subprocess.Popen] = []

    def start(settings: tuple[str, ...], *, words: list[str] | None = None, **options: Any) -> tuple[Any, Path]:
        log = (tmp_path / "worker.log").open("wb")
        words = (words or command()) + ["train", "default", *settings, *LENGTH, "--runs", str(tmp_path / "runs")]
        process = subprocess.Popen(words, env=environment(), cwd=ROOT, stdout=log, stderr=log, **options)
        log.close()
        started.append(process)
        wait_until(lambda: any(len(payloads(p, EvalMetrics)) >= 2 for p in (tmp_path / "runs").glob("2*")), 120)
        return process, next((tmp_path / "runs").glob("2*"))

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def many_files(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny folder five times: an epoch has more events than fit into the page that the log's last bytes lie in."""
    root = tmp_path_factory.mktemp("many")
    for picture in tiny_folder.rglob("*.png"):
        for copy in "abcde":
            (root / picture.parent.name).mkdir(exist_ok=True)
            shutil.copy(picture, root / picture.parent.name / f"{copy}-{picture.name}")
    return root


@pytest.fixture(scope="module")
def uninterrupted(tiny_settings: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """Weights of a run to which nothing happens."""
    runs = tmp_path_factory.mktemp("whole")
    words = command("train", "default", *tiny_settings, *LENGTH, "--runs", str(runs))
    subprocess.run(words, env=environment(), cwd=ROOT, check=True, capture_output=True, timeout=240)
    return last_weights(next(runs.glob("2*")))


def steps_of(run: Path) -> list[int]:
    return [p.step for p in payloads(run, TrainMetrics)]


def assert_ends_as_if_nothing_had_been(run: Path, recorded: list[int], train_here: Any, weights: dict) -> None:
    """Resume: what was recorded is still in the log, the curve is complete, the weights are the uninterrupted ones."""
    train_here(resume=run)
    assert steps_of(run)[: len(recorded)] == recorded
    view = RunView(RunFolder(run))
    assert view.status == "completed"
    assert view.series["train/loss"].step.tolist() == list(range(1, EPOCHS * PER_EPOCH + 1))
    torch.testing.assert_close(last_weights(run), weights, rtol=0, atol=0)


def status_of(run: Path) -> str:
    return RunStore(run.parent).summary(run.name).status


@pytest.mark.slow
def test_killed_while_a_checkpoint_is_written(
    tiny_settings: tuple[str, ...], begin: Any, train_here: Any, uninterrupted: dict
) -> None:
    process, run = begin(tiny_settings)
    folder = run / "checkpoints"
    deadline = time.monotonic() + 60
    while not any(name.endswith(".tmp") for name in os.listdir(folder)):
        assert time.monotonic() < deadline
        assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert [p for p in folder.iterdir() if p.name.endswith(".tmp")], "the kill came after the write"
    recorded = steps_of(run)
    assert status_of(run) == "lost"
    assert CheckpointStore(folder=folder).newest() is not None
    assert_ends_as_if_nothing_had_been(run, recorded, train_here, uninterrupted)
    assert not [p for p in folder.iterdir() if p.name.endswith(".tmp")]


@pytest.mark.slow
def test_a_loading_process_that_the_system_kills_ends_the_run_in_a_sentence(
    tiny_settings: tuple[str, ...], begin: Any, train_here: Any, uninterrupted: dict, tmp_path: Path
) -> None:
    process, run = begin((*tiny_settings, "data.num_workers=2"))
    wait_until(lambda: psutil.Process(process.pid).children(), 60)
    os.kill(psutil.Process(process.pid).children()[-1].pid, signal.SIGKILL)
    assert process.wait(120) == 1
    recorded = steps_of(run)
    (end,) = payloads(run, RunFinished)
    assert (end.outcome, end.summary["cause"]) == ("failed", "killed")
    assert re.fullmatch(r"A process that loads images died \(.*\)\. Most often .* or train\.batch_size\.", end.error)
    assert "Traceback" not in (tmp_path / "worker.log").read_text()
    assert_ends_as_if_nothing_had_been(run, recorded, train_here, uninterrupted)


@pytest.mark.slow
def test_a_power_cut_leaves_files_cut_at_any_point(
    tiny_settings: tuple[str, ...], begin: Any, train_here: Any, uninterrupted: dict, tmp_path: Path
) -> None:
    process, run = begin(tiny_settings)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    log = (run / "events.jsonl").read_bytes()
    for end in [*range(1, len(log), max(1, len(log) // 150)), len(log) - 1]:
        (run / "events.jsonl").write_bytes(log[:end])
        whole_lines = log[:end].count(b"\n")
        view = RunView(RunFolder(run), use_cache=False)
        assert view.status == "lost"
        kept = [line for line in log.split(b"\n")[:whole_lines] if b'"train_metrics"' in line]
        assert len(view.series.get("train/loss", ())) == len(kept)
    # the worst: half a line is left of the log, and the newest checkpoint is half written
    (run / "events.jsonl").write_bytes(log[: log.rindex(b"\n", 0, len(log) - 1) + 40])
    newest = CheckpointStore(folder=run / "checkpoints").steps()[0]
    state = (newest / "state.pt").read_bytes()
    (newest / "state.pt").write_bytes(state[: len(state) // 2])
    recorded = steps_of(run)
    assert_ends_as_if_nothing_had_been(run, recorded, train_here, uninterrupted)


FILL = """\
begun = any(b'"step":4,' in log.read_bytes() for log in RUNS.glob("disk/2*/events.jsonl"))
if begun and (RUNS / "fill").exists() and not (RUNS / "disk" / "filler").exists():
    with (RUNS / "disk" / "filler").open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(4096))
        except OSError:
            filler.truncate(filler.tell() - int((RUNS / "fill").read_text()))
"""
STEPS = 40


def test_a_disk_that_is_full_is_the_reason_and_the_log_is_whole_after_resume(
    small_disk: Any, many_files: Path, train_here: Any, own_loss: Any, tmp_path: Path, capsys: Any
) -> None:
    """In a step the disk is filled: first an event has no room, then the next checkpoint, then somebody makes room."""
    settings = (*TINY, f"data.path={many_files}", "train.batch_size=2", "train.epochs=1", *own_loss(FILL))
    whole, run = last_weights(train_here(*settings)), None
    for left, last in ((0, range(5, STEPS)), (300_000, [STEPS])):
        (tmp_path / "fill").write_text(str(left))
        run = train_here(*settings, resume=run, runs="disk", code=1)
        view = RunView(RunFolder(run))
        assert (view.status, view.failure and view.failure.cause) == ("failed", "disk")
        assert "No space is left on the disk" in view.sentence
        assert "Traceback" not in capsys.readouterr().err
        assert steps_of(run)[-1] in last, "the disk was full elsewhere"
        (small_disk.path / "filler").unlink()
    (tmp_path / "fill").unlink()
    train_here(resume=run, runs="disk")
    view = RunView(RunFolder(run))
    assert (view.status, view.facts.lost, view.facts.skipped) == ("completed", 0, 0)
    assert view.series["train/loss"].step.tolist() == list(range(1, STEPS + 1))
    torch.testing.assert_close(last_weights(run), whole, rtol=0, atol=0)


REMOVE = """\
import shutil
for folder in RUNS.glob("runs/2*"):
    if b'"step":3,' in (folder / "events.jsonl").read_bytes():
        shutil.rmtree(folder)
"""


def test_a_folder_that_is_removed_ends_its_run_within_a_step_and_does_not_come_back(
    tiny_settings: tuple[str, ...], train_here: Any, own_loss: Any, tmp_path: Path, capsys: Any
) -> None:
    words = ["train", "default", *tiny_settings, "train.epochs=9", *own_loss(REMOVE), "--runs", str(tmp_path / "runs")]
    assert main(words) == 1
    said = capsys.readouterr().err
    assert "removed, moved or replaced while it trained" in said
    assert "Traceback" not in said
    assert list((tmp_path / "runs").glob("[!.]*")) == [], "a ghost of the folder came back"


@pytest.mark.slow
def test_a_folder_that_becomes_read_only(
    tiny_settings: tuple[str, ...], begin: Any, train_here: Any, uninterrupted: dict
) -> None:
    def obey_permissions() -> None:  # root does not, unless it gives the right up
        if os.geteuid() == 0:
            ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE)

    process, run = begin(tiny_settings, preexec_fn=obey_permissions)
    folders = [path for path in (run, *run.rglob("*")) if path.is_dir()]
    for folder in folders:
        folder.chmod(0o555)
    assert process.wait(60) == 1
    for folder in folders:
        if folder.exists():
            folder.chmod(0o755)
    recorded = steps_of(run)
    (end,) = payloads(run, RunFinished)
    assert end.outcome == status_of(run) == "failed"
    assert "Permission denied" in end.error
    assert "then resume the run" in end.error
    assert_ends_as_if_nothing_had_been(run, recorded, train_here, uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize("moved", [-3600, 3600])
def test_a_clock_that_is_set(tiny_settings: tuple[str, ...], begin: Any, tmp_path: Path, moved: int) -> None:
    flag = tmp_path / "set"
    script = (
        "import os, sys, time, runpy; real = time.time; "
        f"time.time = lambda: real() + {moved} * os.path.exists({str(flag)!r}); "
        "sys.argv[0] = 'fine_tuner'; from fine_tuner.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    process, run = begin(tiny_settings, words=[sys.executable, "-c", script])
    flag.touch()
    assert process.wait(120) == 0
    view = RunView(RunFolder(run))
    series = view.series["train/loss"]
    assert view.status == "completed"
    assert series.step.tolist() == list(range(1, EPOCHS * PER_EPOCH + 1))
    assert (np.abs(np.diff(series.time)) > 3000).any(), "the clock was not set"
    assert (series.seconds[1:] >= series.seconds[:-1]).all()
    assert 0 <= view.progress.seconds < 600


@pytest.mark.slow
def test_data_that_is_moved_away_while_it_is_trained_on(
    tiny_settings: tuple[str, ...], begin: Any, train_here: Any, tmp_path: Path, tiny_folder: Path, uninterrupted: dict
) -> None:
    mine = tmp_path / "data"
    shutil.copytree(tiny_folder, mine / "tiny")
    settings = (*tiny_settings, f"data.path={mine / 'tiny'}")
    process, run = begin(settings)
    (mine / "tiny").rename(mine / "elsewhere")
    code = process.wait(120)
    recorded = steps_of(run)
    if code == 0:  # all pictures were in memory: nobody missed them
        assert recorded == list(range(1, EPOCHS * PER_EPOCH + 1))
        assert status_of(run) == "completed"
        return
    (end,) = payloads(run, RunFinished)
    assert (code, end.outcome, status_of(run)) == (1, "failed", "failed")
    assert str(mine / "tiny") in end.error
    (mine / "elsewhere").rename(mine / "tiny")
    assert_ends_as_if_nothing_had_been(run, recorded, train_here, uninterrupted)
