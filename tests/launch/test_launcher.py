"""Launching: with real processes that live, are stopped, break and are killed, and launchers that die."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections import Counter
from itertools import pairwise

import pytest

from fine_tuner.base.errors import ConfigError, RunError
from fine_tuner.base.files import read_json, write_json
from fine_tuner.config.io import replace
from fine_tuner.launch import devices
from fine_tuner.launch.process import end_worker, worker_pid
from fine_tuner.runs import queue
from fine_tuner.runs.lock import WorkerLock, find_holder
from fine_tuner.runs.log.events import EventWriter, read_events
from fine_tuner.runs.queue import waiting
from fine_tuner.runs.store import RunStore
from fine_tuner.runs.view.status import look
from tests.launch.conftest import CPU, HERE
from tests.runs.logs import finished, lines, started, steps, wait_until


def is_training(store, run):
    """Whether the run has recorded steps and is still at it."""
    view = store.view(run.id)
    return view.status == "running" and view.progress.step > 2


def test_a_run_is_started_recorded_and_reaped(store, make_run, make_launcher):
    launcher, run = make_launcher("--steps", 6), make_run()
    launcher.start(run)
    assert store.view(run.id).status in ("queued", "running")
    assert launcher.wait(run, 10)
    view = store.view(run.id)
    assert (view.status, view.progress.step) == ("completed", 6)
    ended = read_json(run.exit)
    assert (ended["code"], ended["signal"], ended["attempt"]) == (0, None, 1)
    assert ended["log"][0].startswith("worker begins")
    assert devices.is_free(store.root, "cpu")
    assert not run.queued.exists()


def test_the_worker_lives_in_its_own_session_with_its_log_as_output(store, make_run, make_launcher):
    launcher, run = make_launcher("--steps", 10_000), make_run()
    launcher.start(run)
    wait_until(lambda: is_training(store, run))
    pid = worker_pid(run)
    assert os.getsid(pid) == pid != os.getsid(0)
    for handle in (1, 2):
        assert os.readlink(f"/proc/{pid}/fd/{handle}") == str(run.log)
    assert os.readlink(f"/proc/{pid}/fd/0") == os.devnull


def test_before_its_lock_a_worker_counts_as_starting(store, make_run, make_launcher):
    launcher, run = make_launcher("--steps", 4, "--before-lock", 0.4), make_run()
    launcher.start(run)
    wait_until(lambda: store.view(run.id).status == "running")
    assert (store.view(run.id).phase, find_holder(run.lock)) == ("starting", None)
    assert launcher.adopt() == [run]
    with pytest.raises(RunError, match=r"at work already\. Stop it first"):
        launcher.start(run)
    assert launcher.wait(run, 10)
    assert store.view(run.id).status == "completed"


@pytest.mark.parametrize(("wish", "status", "code"), [("stop", "stopped", 130), ("pause", "paused", 0)])
def test_a_wish_ends_the_run_within_a_step(store, make_run, make_launcher, wish, status, code):
    launcher, run = make_launcher("--steps", 10_000), make_run()
    launcher.start(run)
    wait_until(lambda: is_training(store, run))
    getattr(launcher, f"request_{wish}")(run)
    assert launcher.wait(run, 10)
    assert store.view(run.id).status == status
    assert read_json(run.exit)["code"] == code
    with pytest.raises(RunError, match=f"not at work, so there is nothing to {wish}"):
        getattr(launcher, f"request_{wish}")(run)


def test_a_paused_run_goes_on_when_started_again(store, make_run, make_launcher):
    run = make_run()
    run.events.write_bytes(lines([started(20), *steps(1, 10), finished(10, "paused")]))
    launcher = make_launcher("--steps", 20, "--start", 10, "--before-lock", 0.3)
    launcher.start(run)
    wait_until(lambda: store.view(run.id).status == "running")
    assert store.view(run.id).phase == "starting", "not paused any more, though that is its last word"
    assert launcher.wait(run, 10)
    view = store.view(run.id)
    assert (view.status, view.facts.attempt) == ("completed", 2)
    assert view.series["train/loss"].step.tolist() == list(range(1, 21))


def test_a_worker_that_breaks_is_failed_with_its_last_lines(store, make_run, make_launcher):
    launcher, run = make_launcher("--steps", 10, "--exit", 1), make_run()
    launcher.start(run)
    assert launcher.wait(run, 10)
    view = store.view(run.id)
    assert view.status == "failed"
    assert "exit code 1 at step 5 of 10: RuntimeError: something broke" in view.failure.text
    assert view.failure.log[-1] == "RuntimeError: something broke"


def test_a_killed_worker_is_lost_with_its_curve(store, make_run, make_launcher):
    launcher, run = make_launcher("--steps", 10_000), make_run()
    launcher.start(run)
    wait_until(lambda: is_training(store, run))
    os.kill(worker_pid(run), signal.SIGKILL)
    assert launcher.wait(run, 10)
    view = store.view(run.id)
    assert view.status == "lost"
    assert len(view.series["train/loss"]) == view.progress.step > 2
    assert "ended by SIGKILL at step" in view.failure.text
    assert "ran out of memory" in view.failure.advice
    assert read_json(run.exit)["signal"] == "SIGKILL"


@pytest.mark.parametrize("system", ["Linux", "macOS"])
def test_what_a_dead_worker_leaves_behind_does_not_hold_its_device(store, make_run, make_launcher, monkeypatch, system):
    if system == "macOS":
        monkeypatch.delattr(os, "waitid")
    launcher, first, second = make_launcher("--steps", 10_000, "--orphan"), make_run(), make_run()
    launcher.start(first)
    wait_until(lambda: is_training(store, first))
    os.kill(worker_pid(first), signal.SIGKILL)
    launcher.start(second)
    wait_until(lambda: is_training(store, second), 5)
    assert store.view(first.id).status == "lost"
    assert read_json(first.exit)["signal"] == "SIGKILL"


def test_a_program_that_is_not_there_is_a_failed_run(store, make_run, make_launcher):
    launcher, run = make_launcher(command=lambda run: ["/no/such/program"]), make_run()
    launcher.start(run)
    assert launcher.wait(run, 10)
    view = store.view(run.id)
    assert view.status == "failed"
    assert "could not be started" in view.failure.text
    assert "/no/such/program" in view.failure.text


def test_a_run_started_by_hand_meanwhile_is_left_alone(store, make_run, make_launcher):
    run = make_run()
    with WorkerLock(run.lock):
        launcher = make_launcher("--steps", 4)
        with pytest.raises(RunError, match="at work already"):
            launcher.start(run)
    assert not run.events.exists()


# ------------------------------------------------------- what came into the folder without us
def test_a_run_that_somebody_put_into_the_folder_with_a_queue_entry_is_not_started(store, make_run, make_launcher):
    run, own = make_run(), make_run()
    write_json(run.queued, {"order": 0.0, "devices": ["cpu"], "host": socket.gethostname(), "time": time.time()})
    launcher = make_launcher("--steps", 4)
    launcher.open()
    launcher.start(own)
    assert launcher.wait(own, 10)
    time.sleep(0.1)  # some looks more
    assert not run.events.exists()
    assert store.view(run.id).status == "queued"
    launcher.start(run)  # a person wants it
    assert launcher.wait(run, 10)
    assert store.view(run.id).status == "completed"


def test_a_run_that_may_not_train_is_neither_queued_nor_started_nor_extended(store, make_run, make_launcher):
    def refuse(run):
        raise ConfigError({"loss.file": "was not checked here"})

    run = make_run()
    launcher = make_launcher("--steps", 4, refuse=refuse)
    with pytest.raises(RunError, match=r"is not started: loss\.file: was not checked here"):
        launcher.start(run)
    assert not run.queued.exists()
    queue.enqueue(run, ["cpu"])  # as it was before a change of its code
    launcher.open()
    assert launcher.wait(run, 10)
    assert not run.events.exists()
    assert "was not checked here" in store.view(run.id).failure.text
    run.exit.unlink()
    run.events.write_bytes(lines([started(20), *steps(1, 10), finished(10, "paused")]))
    (run.checkpoints / "step-00000010").mkdir(parents=True)
    (run.checkpoints / "step-00000010" / "manifest.json").write_text("{}")
    with pytest.raises(RunError, match="was not checked here"):
        launcher.extend(run, 30)
    assert not (run.control / "set").exists()


def test_a_completed_run_is_not_started_again_and_not_extended_without_its_data(store, make_launcher, tmp_path):
    (tmp_path / "data").mkdir()
    run = store.create(replace(CPU, f"data.path={tmp_path / 'data'}"), argv=["train"])
    run.events.write_bytes(lines([started(20), *steps(1, 20), finished(20)]))
    (run.checkpoints / "step-00000020").mkdir(parents=True)
    (run.checkpoints / "step-00000020" / "manifest.json").write_text("{}")
    launcher = make_launcher("--steps", 40, "--start", 20)
    with pytest.raises(RunError, match=r"is complete: all 2 epochs\. Extend it for more, or clone it"):
        launcher.start(run)
    (tmp_path / "data").rmdir()
    with pytest.raises(RunError, match=r"is not at .*data any more\. Bring it back"):
        launcher.extend(run, 4)
    assert store.view(run.id).status == "completed"
    assert not (run.control / "set").exists()
    (tmp_path / "data").mkdir()
    launcher.extend(run, 4)
    assert launcher.wait(run, 10)
    assert store.view(run.id).facts.attempt == 2


# --------------------------------------------------------------------- ending
@pytest.mark.parametrize(
    ("options", "stage", "status"),
    [
        ([], "stop", "stopped"),
        (["--deaf"], "SIGTERM", "stopped"),
        (["--deaf", "--ignore-term"], "SIGKILL", "stopped"),
    ],
)
def test_a_worker_is_ended_in_three_stages(store, make_run, make_launcher, options, stage, status):
    launcher, run = make_launcher("--steps", 10_000, *options), make_run()
    launcher.start(run)
    wait_until(lambda: is_training(store, run))
    limits = {"stop_seconds": 0.3 if options else 10, "terminate_seconds": 0.3 if "--ignore-term" in options else 10}
    assert end_worker(run, **limits) == stage
    assert launcher.wait(run, 10)
    assert store.view(run.id).status == status
    assert end_worker(run) == "nothing to end"


def test_an_adopted_worker_can_be_ended_too(store, make_run, python):
    run = make_run()
    code = f"import runpy; runpy.run_path({str(HERE / 'fake_worker.py')!r}, run_name='__main__')"
    options = ("--steps", 10_000, "--deaf", "--ignore-term")
    child = python(code, run.path, *options, start_new_session=True)
    wait_until(lambda: is_training(store, run))
    assert end_worker(run, stop_seconds=0.05, terminate_seconds=0.05) == "SIGKILL"
    assert child.wait(5) == -signal.SIGKILL
    assert store.view(run.id).status == "stopped"
    assert read_json(run.exit)["signal"] == "SIGKILL"


# ------------------------------------------------------- the app dies, the run does not
APP = """
import sys, time
from fine_tuner.launch.launcher import Launcher
from fine_tuner.runs.store import RunStore
store = RunStore(sys.argv[1])
launcher = Launcher(store, command=lambda run: [sys.executable, sys.argv[2], str(run.path), *sys.argv[3].split()])
print("open", [run.id for run in launcher.open()], flush=True)
for line in sys.stdin:
    try:
        launcher.start(store.get(line.strip()))
        print("ok", flush=True)
    except Exception as error:
        print(type(error).__name__, error, flush=True)
"""


@pytest.fixture
def app(store, python):
    """An app as a process of its own: start(run) by a line on its input."""

    def open_app(*options):
        child = python(APP, store.root, HERE / "fake_worker.py", " ".join(map(str, options)))
        assert child.stdout.readline().startswith("open")
        return child

    return open_app


def tell(child, run):
    child.stdin.write(run.id + "\n")
    child.stdin.flush()
    return child.stdout.readline().strip()


def test_a_killed_app_leaves_the_run_running_and_the_next_finds_it(store, make_run, make_launcher, app):
    first, second = make_run(), make_run()
    child = app("--steps", 10_000)
    assert tell(child, first) == "ok"
    assert tell(child, second) == "ok"
    wait_until(lambda: is_training(store, first))
    child.kill()
    child.wait()
    at_death = store.view(first.id).progress.step
    wait_until(lambda: store.view(first.id).progress.step > at_death + 5)

    fresh = RunStore(store.root)
    launcher = make_launcher("--steps", 4)
    assert launcher.open() == [first]
    assert {line.id: line.status for line in fresh.list()} == {first.id: "running", second.id: "queued"}
    launcher.request_stop(first)
    assert launcher.wait(second, 10), "the queue of the dead app is served"
    assert {line.id: line.status for line in fresh.list()} == {first.id: "stopped", second.id: "completed"}


def test_a_worker_killed_after_its_app_is_lost_with_its_log(store, make_run, app):
    run = make_run()
    child = app("--steps", 10_000)
    tell(child, run)
    wait_until(lambda: is_training(store, run))
    child.kill()
    child.wait()
    os.killpg(worker_pid(run), signal.SIGKILL)
    wait_until(lambda: store.view(run.id).status == "lost")
    view = store.view(run.id)
    assert view.failure.log[0].startswith("worker begins")


# ------------------------------------------------------------- one run a device
def intervals(runs):
    """When each worker was at work, by its own log."""
    times = [[event.time for event in read_events(run.events)[0]] for run in runs]
    return sorted((t[0], t[-1]) for t in times)


def test_two_apps_on_one_runs_folder_never_use_one_device_twice(store, make_run, app):
    runs = [make_run() for _ in range(6)]
    apps = [app("--steps", 6), app("--steps", 6)]
    for at, run in enumerate(runs):
        assert tell(apps[at % 2], run) == "ok"
    for run in runs:
        wait_until(lambda run=run: store.view(run.id).status == "completed", 20)
    spans = intervals(runs)
    assert len(spans) == 6
    for (_, ended), (began, _) in pairwise(spans):
        assert ended <= began
    assert [max(e.attempt for e in read_events(run.events)[0]) for run in runs] == [1] * 6, "none was started twice"


def test_two_apps_told_to_start_the_same_run_start_it_once(store, make_run, app):
    run, apps = make_run(), [app("--steps", 300), app("--steps", 300)]  # at work still when the other is told
    answers = [tell(child, run) for child in apps]
    assert answers[0] == "ok"
    wait_until(lambda: store.view(run.id).status == "completed", 60)
    assert {e.attempt for e in read_events(run.events)[0]} == {1}


def test_runs_on_different_devices_do_not_wait_for_each_other(store, make_run, make_launcher):
    launcher = make_launcher("--steps", 10_000)
    here, there, behind = make_run("cpu"), make_run("mps"), make_run("cpu")
    for run in (here, there, behind):
        launcher.start(run)
    wait_until(lambda: is_training(store, here) and is_training(store, there))
    assert store.view(behind.id).status == "queued"
    assert launcher.queue() == [behind]


def test_the_queue_runs_in_its_order_and_can_be_changed_and_cancelled(store, make_run, make_launcher):
    launcher = make_launcher("--steps", 10_000)
    busy, b, c, d = (make_run() for _ in range(4))
    for run in (busy, b, c, d):
        launcher.start(run)
    wait_until(lambda: is_training(store, busy))
    assert launcher.queue() == [b, c, d]
    launcher.move(d, 0)
    launcher.request_stop(b)
    assert launcher.queue() == [d, c]
    assert store.view(b.id).status == "stopped"
    launcher.request_stop(busy)
    wait_until(lambda: is_training(store, d))
    assert launcher.queue() == [c]
    assert launcher.cancel(c)
    assert not launcher.cancel(c)
    launcher.end(d, stop_seconds=10).join()
    assert waiting(store.root) == []


def test_a_stop_of_an_earlier_attempt_does_not_stop_the_next(store, make_run, make_launcher):
    run = make_run()
    (run.control / "stop").write_text("{}")
    launcher = make_launcher("--steps", 4)
    launcher.start(run)
    assert launcher.wait(run, 10)
    assert store.view(run.id).status == "completed"


def test_a_closed_launcher_leaves_its_workers(store, make_run, make_launcher):
    launcher, run = make_launcher("--steps", 10_000), make_run()
    launcher.start(run)
    wait_until(lambda: is_training(store, run))
    launcher.close()
    assert look(run).is_training


def test_a_torn_log_is_taken_up_by_the_next_attempt(store, make_run, make_launcher):
    run = make_run()
    writer = EventWriter(run.events)
    writer.write(started(8))
    writer.close()
    with run.events.open("ab") as file:
        file.write(b'{"v":1,"seq":1,"time":17')
    launcher = make_launcher("--steps", 8)
    launcher.start(run)
    assert launcher.wait(run, 10)
    view = store.view(run.id)
    assert (view.status, view.progress.step, view.facts.skipped, view.facts.attempt) == ("completed", 8, 0, 2)


def test_secrets_of_the_app_do_not_reach_the_worker(store, make_run, make_launcher, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("HARMLESS", "yes")
    code = "import os; print(os.environ.get('HF_TOKEN'), os.environ.get('HARMLESS'))"
    launcher, run = make_launcher(command=lambda run: [sys.executable, "-c", code]), make_run()
    launcher.start(run)
    assert launcher.wait(run, 10)
    assert run.log.read_text() == "None yes\n"


def test_fifty_starts_at_once_all_run_one_after_another(store, make_run, make_launcher):
    code = "import sys, time; sys.exit(0)"
    launcher = make_launcher(command=lambda run: [sys.executable, "-S", "-c", code])
    runs = [make_run() for _ in range(50)]
    for run in runs:
        launcher.start(run)
    began = time.monotonic()
    for run in runs:
        assert launcher.wait(run, 60)
    assert [read_json(run.exit)["code"] for run in runs] == [0] * 50
    assert time.monotonic() - began < 60


@pytest.mark.slow
def test_fifty_starts_at_once_by_two_apps_run_one_a_device_and_all_finish(store, make_run, app):
    runs = [make_run(device) for device in ("cpu", "mps") for _ in range(25)]
    apps = [app("--steps", 2, "--seconds", 0.001), app("--steps", 2, "--seconds", 0.001)]
    halves = [runs[0::2], runs[1::2]]

    def start(child, half):
        for run in half:
            child.stdin.write(run.id + "\n")
        child.stdin.flush()
        assert [child.stdout.readline().strip() for _ in half] == ["ok"] * len(half)

    threads = [threading.Thread(target=start, args=pair) for pair in zip(apps, halves, strict=True)]
    for thread in threads:
        thread.start()
    most = Counter()
    deadline = time.monotonic() + 150
    while time.monotonic() < deadline:
        statuses = Counter(line.status for line in store.list())
        most = most | statuses
        assert statuses["running"] + statuses["stopping"] <= 2, "one a device"
        if statuses["completed"] == 50:
            break
        time.sleep(0.2)
    for thread in threads:
        thread.join()
    assert {store.view(run.id).status for run in runs} == {"completed"}
    assert most["queued"] >= 40, "the others wait"
    for device in (runs[:25], runs[25:]):
        for (_, ended), (began, _) in pairwise(intervals(device)):
            assert ended <= began, "never two on one device"
    assert [max(e.attempt for e in read_events(run.events)[0]) for run in runs] == [1] * 50
