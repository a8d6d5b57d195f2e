"""Runs of the command line on several processes: stopped, resumed with other numbers of them, and killed in part."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from fine_tuner.runs.log.events import Mark, RunFinished, RunStarted, TrainMetrics, read_events
from tests.training.conftest import command, environment

pytestmark = [pytest.mark.ddp, pytest.mark.slow]
SECONDS = 240
PATIENCE = 0.05


def events(run: Path, kind: type) -> list[Any]:
    return [e.payload for e in read_events(run / "events.jsonl")[0] if isinstance(e.payload, kind)]


def wait_until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(PATIENCE)
    return found


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen]]:
    """Starts a command; nothing of it is left at the end."""
    started: list[subprocess.Popen] = []

    def begin(*words: str, is_line: bool = False) -> subprocess.Popen:
        log = (tmp_path / f"log{len(started)}").open("wb")
        started.append(
            subprocess.Popen(
                [sys.executable, *words] if is_line else command(*words, "--runs", str(tmp_path / "runs")),
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment(),
                start_new_session=True,
            )
        )
        log.close()
        return started[-1]

    yield begin
    for process in started:
        for one in family(process.pid):
            one.kill()
        process.wait()


def family(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [*parent.children(recursive=True), parent]
    except psutil.NoSuchProcess:
        return []


def ranks_of(process: subprocess.Popen) -> list[psutil.Process]:
    return psutil.Process(process.pid).children()


def the_run(folder: Path) -> Path:
    return wait_until(lambda: next(iter((folder / "runs").glob("2*")), None))


def is_at_step(run: Path, step: int) -> bool:
    return any(e.step >= step for e in events(run, TrainMetrics))


LONG = ("train.epochs=400", "train.batch_size=4", "augment.name=none", "schedule.name=ConstantLR")


def test_stopped_by_hand_it_ends_within_a_step_and_goes_on_with_other_numbers_of_processes(
    tiny_settings: tuple[str, ...],
    start: Any,
    tmp_path: Path,
) -> None:
    settings = [word for word in tiny_settings if not word.startswith("devices=")]
    first = start("train", "default", *settings, *LONG, "train.batch_size=8", "devices=cpu", "train.epochs=300")
    run = the_run(tmp_path)
    for number, devices in enumerate((None, "cpu:2", "cpu:3", "cpu")):
        process = first if devices is None else start("resume", str(run), f"devices={devices}")
        wait_until(lambda number=number: len(events(run, RunStarted)) == number + 1)
        begun = events(run, RunStarted)[-1]
        wait_until(lambda begun=begun: is_at_step(run, begun.start_step + 2))
        (run / "control").mkdir(exist_ok=True)
        (run / "control" / "stop").write_text("{}")
        assert process.wait(SECONDS) == 130
    attempts = events(run, RunStarted)
    assert [a.facts["num_devices"] for a in attempts] == [1, 2, 3, 1]
    assert {a.facts["global_batch_size"] for a in attempts} == {8}
    assert len({(a.total_steps, a.steps_per_epoch) for a in attempts}) == 1
    steps = [e.step for e in events(run, TrainMetrics)]
    assert steps == list(range(1, len(steps) + 1))  # none twice, none left out
    ends = [e.step for e in events(run, RunFinished)]
    assert [a.start_step for a in attempts[1:]] == ends[:-1]


def test_a_killed_rank_is_started_again_and_a_killed_torchrun_leaves_nothing(
    tiny_settings: tuple[str, ...],
    start: Any,
    tmp_path: Path,
) -> None:
    settings = [word for word in tiny_settings if not word.startswith("devices=")]
    process = start("train", "default", *settings, *LONG, "devices=cpu:2")
    run = the_run(tmp_path)
    wait_until(lambda: is_at_step(run, 5))
    ranks = ranks_of(process)
    assert len(ranks) == 2
    lock = json.loads((run / "worker.lock").read_text())
    assert lock["torchrun"] == process.pid
    (other,) = [rank for rank in ranks if rank.pid != lock["pid"]]
    os.kill(other.pid, signal.SIGKILL)
    wait_until(lambda: len(events(run, RunStarted)) == 2)
    begun = events(run, RunStarted)[-1]
    wait_until(lambda: is_at_step(run, begun.start_step + 3))
    assert [m.label for m in events(run, Mark)] == ["restart"]
    assert events(run, RunFinished) == []
    left = family(process.pid)
    assert len(left) >= 3
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    wait_until(lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in left))


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_two_machines_train_by_the_printed_line_and_one_that_is_lost_comes_back(
    tiny_settings: tuple[str, ...], tmp_path: Path, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are this machine, each with a torchrun of its own that knows nothing of the other but where they meet."""
    settings = [word for word in tiny_settings if not word.startswith("devices=")]
    port = free_port()
    runs = ["--runs", str(tmp_path / "runs")]
    words = ["launch", "default", *settings, *LONG, "devices=cpu:2", "--nodes", "2", "--rdzv", f"127.0.0.1:{port}"]
    told = subprocess.run(command(*words, *runs), capture_output=True, text=True, env=environment(), check=True)
    setting, python, *line = shlex.split(told.stdout.splitlines()[-1])
    assert (setting, python) == ("TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1", "python")
    monkeypatch.setenv(*setting.split("="))
    run = the_run(tmp_path)
    first = start(*line, is_line=True)
    wait_until(lambda: is_bound(port))
    second = start(*line, is_line=True)
    wait_until(lambda: is_at_step(run, 5))
    assert [a.facts["num_devices"] for a in events(run, RunStarted)] == [4]
    assert len(ranks_of(first)) == len(ranks_of(second)) == 2
    os.kill(second.pid, signal.SIGKILL)
    second.wait()
    third = start(*line, is_line=True)
    wait_until(lambda: len(events(run, RunStarted)) == 2)
    begun = events(run, RunStarted)[-1]
    assert begun.facts["num_devices"] == 4
    wait_until(lambda: is_at_step(run, begun.start_step + 3))
    (run / "control" / "stop").write_text("{}")
    assert (first.wait(SECONDS), third.wait(SECONDS)) == (0, 0)
    assert [e.outcome for e in events(run, RunFinished)] == ["stopped"]


def is_bound(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


def test_machines_that_do_not_come_are_said_in_a_sentence(tiny_settings: tuple[str, ...], tmp_path: Path) -> None:
    words = ["launch", "default", *tiny_settings, "--nodes", "2", "--rdzv", f"127.0.0.1:{free_port()}", "--run"]
    done = subprocess.run(
        command(*words, "--wait", "3", "--runs", str(tmp_path / "runs")),
        capture_output=True,
        text=True,
        env=environment(),
        timeout=SECONDS,
    )
    assert done.returncode == 1
    assert "The 2 nodes did not come together at 127.0.0.1:" in done.stderr
    assert "Traceback" not in done.stderr
