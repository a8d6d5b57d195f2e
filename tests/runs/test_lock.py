"""Locks: true while a process lives, gone with it, and looking at them changes nothing."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from fine_tuner.base.errors import RunError
from fine_tuner.runs.lock import LAUNCH_VARIABLE, HandedLock, WorkerLock, find_holder, is_alive, is_handed
from tests.runs.logs import wait_until

HOLD = """
import sys
from pathlib import Path
from fine_tuner.runs.lock import *
lock = WorkerLock(Path(sys.argv[1]))
print(lock.acquire(), flush=True)
"""
ASK = """
for line in sys.stdin:
    print(eval(line), flush=True)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "worker.lock"


def test_no_file_no_holder(path):
    assert find_holder(path) is None
    assert not path.exists()


def test_a_lock_says_who_holds_it_until_its_process_is_killed(path, python):
    child = python(HOLD + ASK, path, env=os.environ | {LAUNCH_VARIABLE: "token", "PYTHONPATH": os.getcwd()})
    assert child.stdout.readline() == "True\n"
    holder = find_holder(path)
    assert (holder.pid, holder.host, holder.launch) == (child.pid, socket.gethostname(), "token")
    assert holder.is_local
    child.kill()
    child.wait()
    assert not is_alive(path)


def test_a_held_lock_is_refused_with_who_holds_it(path, python):
    child = python(HOLD + ASK, path)
    child.stdout.readline()
    assert not WorkerLock(path).acquire()
    with (
        pytest.raises(RunError, match=f"being trained already by process {child.pid} on .*Stop it first"),
        WorkerLock(path),
    ):
        pass


def test_looking_from_inside_the_holding_process_does_not_drop_the_lock(path, python):
    # a POSIX lock goes when its process closes any descriptor of the file: the trap this module exists for
    child = python(HOLD + ASK, path)
    child.stdout.readline()
    for question in ("is_alive(lock.path)", "find_holder(lock.path).pid", "WorkerLock(lock.path).acquire()"):
        child.stdin.write(question + "\n")
        child.stdin.flush()
        answer = child.stdout.readline().strip()
        assert answer in ("True", str(child.pid), "False")
        assert is_alive(path), question


def test_a_second_lock_object_of_the_same_process_is_refused(path):
    with WorkerLock(path):
        assert not WorkerLock(path).acquire()
    with WorkerLock(path) as lock:
        assert lock.acquire(), "held by this object already"
        lock.release()
        lock.release()
        assert not is_alive(path)


def test_children_do_not_hold_it(path, python):
    # loading processes that outlive a killed worker must not make it look alive
    code = (
        HOLD
        + "import os, time\nif os.fork() == 0:\n    time.sleep(3); os._exit(0)\nprint('forked', flush=True)\n"
        + ASK
    )
    child = python(code, path)
    assert child.stdout.readline() == "True\n"
    assert child.stdout.readline() == "forked\n"
    assert find_holder(path).pid == child.pid
    child.kill()
    child.wait()
    assert not is_alive(path)


def test_looking_never_gets_in_the_way_of_taking(path, python):
    code = "import sys\nfrom pathlib import Path\nfrom fine_tuner.runs.lock import *\nprint(flush=True)\n"
    looker = python(code + "while True: is_alive(Path(sys.argv[1]))", path.with_name("other.lock"))
    looker.stdout.readline()
    target = path.with_name("other.lock")
    for _ in range(500):
        lock = WorkerLock(target)
        assert lock.acquire()
        lock.release()


def test_a_lock_in_a_read_only_folder_can_be_asked(path, python):
    child = python(HOLD + ASK, path)
    child.stdout.readline()
    path.chmod(0o444)
    path.parent.chmod(0o555)
    try:
        assert is_alive(path)
    finally:
        path.parent.chmod(0o755)


# -------------------------------------------------------------- HandedLock
def test_a_handed_lock_outlives_whoever_took_it_and_ends_with_the_last_who_has_it(tmp_path):
    lock = HandedLock(tmp_path / "launch.lock")
    assert lock.try_acquire(launch="x")
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[lock.handle])
    lock.close()
    assert is_handed(lock.path)
    assert not HandedLock(lock.path).try_acquire(patience_seconds=0)
    child.communicate(b"\n")
    assert not is_handed(lock.path)
    assert lock.try_acquire()
    lock.close()


def test_a_handed_lock_waits_out_those_who_only_look(tmp_path, python):
    path = tmp_path / "launch.lock"
    path.touch()
    code = "import sys\nfrom pathlib import Path\nfrom fine_tuner.runs.lock import *\nprint(flush=True)\n"
    looker = python(code + "while True: is_handed(Path(sys.argv[1]))", path)
    looker.stdout.readline()
    for _ in range(100):
        lock = HandedLock(path)
        assert lock.try_acquire(patience_seconds=2.0)
        wait_until(lambda: is_handed(path), 2.0)
        lock.close()
