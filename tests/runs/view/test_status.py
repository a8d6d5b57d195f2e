"""Status: last lifecycle event x locks x control files x exit.json, shown with real files and real processes."""

from __future__ import annotations

import os
import signal
import time

import pytest

from fine_tuner.base.files import write_json
from fine_tuner.runs import control
from fine_tuner.runs.lock import WorkerLock
from fine_tuner.runs.log.events import EventWriter, RunFinished, WorkProgress, read_events
from fine_tuner.runs.queue import enqueue
from fine_tuner.runs.view.run_view import RunView
from tests.runs.logs import finished, lines, started, steps, wait_until


def record(run, *payloads, attempt=1):
    seq = len(read_events(run.events)[0])
    with run.events.open("ab") as file:
        file.write(lines(list(payloads), seq=seq, attempt=attempt))


def ended(run, code=None, signal_name=None, attempt=1, log=("last words",), **more):
    write_json(run.exit, {"code": code, "signal": signal_name, "attempt": attempt, "log": list(log), **more})


def test_a_run_just_made_is_starting(run):
    view = RunView(run)
    assert (view.status, view.phase, view.sentence) == ("queued", "starting", "Starting.")


def test_a_run_made_long_ago_that_never_said_anything_is_lost(run):
    os.utime(run.info, (1.0, 1.0))
    view = RunView(run)
    assert view.status == "lost"
    assert "before its first step" in view.failure.text


def test_a_run_in_the_queue_is_queued_whatever_it_was_before(run):
    enqueue(run, ["cpu"])
    assert RunView(run).status == "queued"
    record(run, started(20), *steps(1, 5), finished(5, "paused"))
    view = RunView(run)
    assert (view.status, view.phase) == ("queued", "waiting for the device")


def test_a_live_worker_is_running_then_stopping_then_what_it_says(run):
    with WorkerLock(run.lock):
        assert RunView(run).status == "running"
        record(run, WorkProgress(what="downloading weights", done=12.3, total=46.0, unit="MiB"))
        view = RunView(run)
        assert (view.status, view.phase, view.sentence) == (
            "running", "downloading weights 12/46 MiB", "Downloading weights 12/46 MiB."
        )  # fmt: skip
        record(run, started(20), *steps(1, 5))
        view.refresh()
        assert (view.status, view.phase) == ("running", "training")
        record(run, *steps(6, 10, validate=False))
        view.refresh()
        assert view.phase == "validating"
        control.request(run, "pause")
        view.refresh()
        assert (view.status, view.phase) == ("stopping", "saving, then pausing")
        record(run, finished(10, "paused"))
        view.refresh()
        assert view.status == "paused"
    assert RunView(run).status == "paused"


@pytest.mark.parametrize("outcome", ["completed", "stopped", "paused", "failed"])
def test_the_outcome_it_told_counts_however_its_process_ended(run, outcome):
    record(run, started(20), *steps(1, 20), finished(20, outcome, error="It broke at step 20."))
    assert RunView(run).status == outcome
    ended(run, code=1)
    assert RunView(run).status == outcome


@pytest.mark.parametrize(
    ("code", "signal_name", "request_stop", "status", "text"),
    [
        (1, None, False, "failed", "exit code 1 at step 5 of 20: RuntimeError: bad"),
        (2, None, False, "failed", "exit code 2"),
        (None, "SIGKILL", False, "lost", "ended by SIGKILL at step 5 of 20"),
        (None, "SIGSEGV", False, "lost", "ended by SIGSEGV"),
        (None, "SIGKILL", True, "stopped", None),
        (130, None, False, "stopped", None),
        (0, None, False, "lost", "without a last word"),
    ],
)
def test_without_an_outcome_the_exit_counts(run, code, signal_name, request_stop, status, text):
    record(run, started(20), *steps(1, 5))
    ended(run, code, signal_name, log=["Traceback", "RuntimeError: bad"])
    if request_stop:
        control.request(run, "stop")
    view = RunView(run)
    assert view.status == status
    if text is None:
        assert view.failure is None
    else:
        assert text in view.failure.text
        assert view.failure.advice
        assert view.failure.log == ("Traceback", "RuntimeError: bad")
        assert text in view.sentence


def test_an_exit_of_an_earlier_attempt_says_nothing_about_a_later_one(run):
    record(run, started(20), *steps(1, 5))
    ended(run, code=1, attempt=1)
    record(run, started(20, start=5), *steps(6, 8), attempt=2)
    assert RunView(run).status == "lost"


def test_an_attempt_that_died_before_its_first_word_hides_the_outcome_of_the_one_before(run):
    record(run, started(20), *steps(1, 5), finished(5, "paused"))
    ended(run, code=1, attempt=2, log=["ImportError: no torch"])
    view = RunView(run)
    assert view.status == "failed"
    assert "ImportError: no torch" in view.failure.text


@pytest.mark.parametrize(
    ("log", "advice"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate", "halve train.batch_size"),
        ("OSError: [Errno 28] No space left on device", "Free some space"),
        ("ValueError: odd", "Resume goes on from the last checkpoint"),
    ],
)
def test_the_advice_fits_the_failure(run, log, advice):
    record(run, started(20), *steps(1, 5))
    (run.checkpoints / "step-00000005").mkdir(parents=True)
    (run.checkpoints / "step-00000005" / "manifest.json").write_text("{}")
    ended(run, code=1, log=[log])
    assert advice in RunView(run).failure.advice


def test_a_worker_s_own_words_say_what_to_do_and_those_about_a_dead_one_do_not(run):
    record(run, started(20), *steps(1, 5), RunFinished(step=5, outcome="failed", error="Too big. Choose less."))
    failure = RunView(run).failure
    assert (failure.text, failure.says_what_to_do) == ("Too big. Choose less.", True)
    ended(run, code=1, attempt=2, log=["RuntimeError: CUDA out of memory"])
    failure = RunView(run).failure
    assert (failure.cause, failure.says_what_to_do) == ("killed", False)


def test_a_killed_process_without_a_launcher_is_lost_with_its_curve(run, python):
    code = """
import sys, time
from pathlib import Path
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.lock import WorkerLock
from fine_tuner.runs.log.events import *
run = RunFolder(Path(sys.argv[1]))
with WorkerLock(run.lock):
    writer = EventWriter(run.events)
    writer.write(RunStarted(start_step=0, total_steps=10**6, epochs=1, steps_per_epoch=10**6))
    for step in range(1, 10**6):
        writer.write(TrainMetrics(step=step, epoch=1, metrics={"train/loss": 1 / step}))
        if step == 100: print(flush=True)
        time.sleep(0.0005)
"""
    child = python(code, run.path)
    child.stdout.readline()
    view = RunView(run)
    assert view.status == "running"
    child.send_signal(signal.SIGKILL)
    child.wait()
    recorded = len(read_events(run.events)[0]) - 1
    assert view.refresh()
    assert view.status == "lost"
    assert len(view.series["train/loss"]) == recorded >= 100
    assert view.progress.step == recorded
    assert f"at step {recorded} of 1000000" in view.failure.text
    assert view.progress.eta_seconds is None


def test_a_worker_that_ends_just_now_is_never_taken_for_lost(run, python):
    # the log is read after the locks: whoever is found dead has said all it had to say
    code = """
import sys
from pathlib import Path
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.lock import WorkerLock
from fine_tuner.runs.log.events import *
run = RunFolder(Path(sys.argv[1]))
sys.stdin.readline()
for attempt in range(300):
    with WorkerLock(run.lock):
        writer = EventWriter(run.events)
        writer.write(RunStarted(start_step=0, total_steps=1, epochs=1, steps_per_epoch=1))
        writer.write(RunFinished(outcome="completed", step=0))
        writer.close()
"""
    child = python(code, run.path)
    view, seen = RunView(run), set()
    child.stdin.write("\n")
    child.stdin.flush()
    while child.poll() is None:
        view.refresh()
        seen.add(view.status)
    view.refresh()
    assert view.status == "completed"
    assert seen <= {"queued", "running", "completed"}


def test_age_is_never_negative_and_a_clock_set_back_cannot_hide_silence(run):
    writer = EventWriter(run.events)
    writer.write(started(10))
    writer.close()
    view = RunView(run)
    assert 0 <= view.last_event_age < 5
    record(run, *steps(1, 2))  # the log says 1970
    view.refresh()
    assert view.last_event_age < 60, "it was not there when we looked before"
    assert RunView(run).last_event_age > 1e9, "a log that was silent before anybody looked"
    future = time.time() + 3600
    with run.events.open("ab") as file:
        file.write(lines(steps(3, 4), seq=3, began=future))
    view.refresh()
    first = view.last_event_age
    wait_until(lambda: view.last_event_age > first + 0.02)
    assert 0 <= first < 5


@pytest.mark.parametrize("moved", [7200.0, -7200.0])
def test_a_clock_that_moves_while_we_watch_makes_no_silence_and_hides_none(run, monkeypatch, moved):
    writer = EventWriter(run.events)
    writer.write(started(10))
    writer.close()
    view, real, own = RunView(run), time.time, time.monotonic
    monkeypatch.setattr(time, "time", lambda: real() + moved)
    view.refresh()
    assert 0 <= view.last_event_age < 60
    monkeypatch.setattr(time, "monotonic", lambda: own() + 600)
    assert 600 <= view.last_event_age < 660


def test_control_requests_are_read_back_and_cleared(run):
    assert control.pending(run) == {}
    control.request(run, "set", lr=0.1)
    control.request(run, "stop")
    assert control.pending(run) == {"set": {"lr": 0.1}, "stop": {}}
    control.clear(run, "stop")
    assert list(control.pending(run)) == ["set"]
    control.clear(run)
    assert control.pending(run) == {}
    with pytest.raises(ValueError, match="'explode' is not one of stop, pause"):
        control.request(run, "explode")
