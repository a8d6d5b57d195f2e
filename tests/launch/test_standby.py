"""The standby: becomes a worker with its locks, or ends with the app that never used it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from fine_tuner.base.files import read_json
from fine_tuner.launch import devices
from fine_tuner.launch.environment import child_environment
from fine_tuner.launch.process import worker_pid
from fine_tuner.launch.standby import Standby
from tests.launch.conftest import HERE
from tests.runs.logs import wait_until

COMMAND = [sys.executable, str(HERE / "fake_program.py"), "standby"]
PROGRAM = [sys.executable, "-m", "fine_tuner"]


@pytest.fixture
def standby():
    standby = Standby(COMMAND)
    yield standby
    standby.close()


def test_the_launcher_makes_a_worker_of_it_with_all_locks(store, make_run, make_launcher, standby):
    launcher = make_launcher(command=lambda run: [*PROGRAM, "train", run.path, "--steps", "10000"], standby=standby)
    launcher.open()
    wait_until(lambda: standby.is_ready)
    waiting_pid = standby._process.pid
    first, second = make_run(), make_run()
    launcher.start(first)
    wait_until(lambda: store.view(first.id).progress.step > 2)
    assert worker_pid(first) == waiting_pid
    assert os.readlink(f"/proc/{waiting_pid}/fd/1") == str(first.log)
    assert not devices.is_free(store.root, "cpu"), "the device's lock came along"
    launcher.start(second)
    assert store.view(second.id).status == "queued"
    launcher.cancel(second)
    launcher.close()  # the app ends; what it made ready has become a worker and goes on
    step = store.view(first.id).progress.step
    wait_until(lambda: store.view(first.id).progress.step > step + 2)
    launcher.request_stop(first)
    assert launcher.wait(first, 10)
    assert read_json(first.exit)["code"] == 130
    assert first.log.read_text().startswith(f"worker begins {waiting_pid}")
    assert devices.is_free(store.root, "cpu")


def test_another_is_made_ready_after_a_run(make_run, make_launcher, standby):
    launcher = make_launcher("--steps", 2, standby=standby)
    run = make_run()
    launcher.start(run)
    assert launcher.wait(run, 10), "not ready yet: started from nothing"
    wait_until(lambda: standby.is_ready)


def test_without_one_ready_or_for_another_program_a_process_is_started(standby, tmp_path):
    log = tmp_path / "logs" / "log"
    process = standby([sys.executable, "-c", "print(5)"], log=log, environment=dict(os.environ), handles=[])
    assert process.wait(10) == 0
    assert log.read_text() == "5\n"
    standby.prepare()
    wait_until(lambda: standby.is_ready)
    process = standby([sys.executable, "-c", "print(6)"], log=log, environment=dict(os.environ), handles=[])
    assert process.wait(10) == 0
    assert log.read_text() == "5\n6\n"
    assert standby.is_ready


def test_the_environment_of_the_start_counts(standby, tmp_path):
    standby.prepare()
    wait_until(lambda: standby.is_ready)
    process = standby([*PROGRAM, "env", "LATE"], log=tmp_path / "log", environment={"LATE": "yes"}, handles=[])
    assert process.wait(10) == 0
    assert (tmp_path / "log").read_text() == "yes\n"


def test_one_that_died_waiting_is_replaced(standby, tmp_path):
    standby.prepare()
    wait_until(lambda: standby.is_ready)
    standby._process.kill()
    standby._process.wait()
    assert not standby.is_ready
    standby.prepare()
    wait_until(lambda: standby.is_ready)


def test_it_ends_quietly_with_an_app_that_never_used_it(python):
    code = """
import sys, time
from fine_tuner.launch.standby import Standby
standby = Standby(sys.argv[1:])
standby.prepare()
while not standby.is_ready: time.sleep(0.01)
print(standby._process.pid, flush=True)
time.sleep(60)
"""
    app = python(code, *COMMAND)
    pid = int(app.stdout.readline())
    os.kill(pid, 0)
    app.kill()
    app.wait()

    def is_gone():
        try:
            with open(f"/proc/{pid}/stat") as file:
                return file.read().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return True

    wait_until(is_gone)


def test_from_a_pipe_it_takes_one_line_and_end_of_input_ends_it(tmp_path):
    request = json.dumps({"argv": ["exit", "3"], "log": str(tmp_path / "log")}).encode()
    for text, code in ((request + b"\n", 3), (b"", 0)):
        done = subprocess.run(COMMAND, input=text, env=child_environment(), timeout=10, check=False)
        assert done.returncode == code


def test_a_program_that_is_not_there_is_no_error(tmp_path):
    standby = Standby(["/no/such/program"])
    standby.prepare()
    assert not standby.is_ready
    process = standby([sys.executable, "-c", ""], log=tmp_path / "log", environment={}, handles=[])
    assert process.wait(10) == 0
