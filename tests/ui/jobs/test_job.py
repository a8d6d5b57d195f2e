"""A job: start, progress, cancel, result; its work runs in real processes."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from fine_tuner.launch.assistant import Assistant
from fine_tuner.ui.jobs.job import Command, Job, Stoppable, Turn, read_event
from tests.runs.logs import wait_until

FAKE = [sys.executable, str(Path(__file__).parents[1] / "fake_job.py")]


@pytest.fixture
def assistant():
    assistant = Assistant(FAKE)
    yield assistant
    assistant.close()


@pytest.fixture
def begun(tmp_path):
    """A file to which work writes when it begins, and its lines."""
    path = tmp_path / "begun"
    path.touch()
    return path


def command(assistant: Assistant, begun: Path, name: str, seconds: float = 0.0):
    return lambda number: Command(assistant, ["work", name, str(begun), str(seconds)])


def stands(job: Job, status: str):
    return lambda: job.state()["status"] == status


def test_progress_comes_as_events_and_the_result_is_kept_for_whoever_looks(assistant, begun):
    job = Job()
    assert job.state() == {"status": "idle"}
    assert job.start(command(assistant, begun, "a", 0.2), argv=["sample"])
    wait_until(lambda: job.state()["done"] == 2)
    state = job.state()
    assert (state["status"], state["number"], state["argv"]) == ("running", 1, ["sample"])
    assert (state["says"], state["total"], state["points"]) == ("working 1/9 at 2/7", 5, [[0.1, None]])
    watchers: list[dict] = []
    threads = [threading.Thread(target=lambda: watchers.append(watch(job))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(watchers) == 8
    assert all(seen == watchers[0] for seen in watchers)
    assert (watchers[0]["status"], watchers[0]["result"]) == ("done", {"name": "a"})
    assert job.state() == watchers[0]


def watch(job: Job) -> dict:
    wait_until(stands(job, "done"))
    return job.state()


def test_what_a_library_writes_beside_is_no_progress():
    assert read_event("warning 3/9") is None
    assert read_event("[1, 2]") is None
    assert read_event('{"done": 1}') is None
    assert read_event('{"progress": "x", "done": 1, "total": null}') == {"progress": "x", "done": 1, "total": None}


def test_cancelled_while_it_waits_for_its_turn_work_never_begins(assistant, begun):
    stranger, job = Job(), Job()
    stranger.start(command(assistant, begun, "stranger", 1.0))
    wait_until(lambda: "stranger" in begun.read_text())
    job.start(command(assistant, begun, "ours", 60.0))
    assert job.cancel()
    assert job.state()["status"] == "cancelled"
    wait_until(stands(stranger, "done"))
    assert assistant.call(["work", "later", str(begun), "0"]).code == 0  # its turn has come and gone
    assert begun.read_text().split() == ["stranger", "later"]


def test_cancel_ends_its_own_work_and_no_stranger_s(assistant, begun):
    stranger, job = Job(), Job()
    job.start(command(assistant, begun, "ours"))
    wait_until(stands(job, "done"))
    stranger.start(command(assistant, begun, "stranger", 0.5))
    wait_until(lambda: "stranger" in begun.read_text())
    assert not job.cancel()
    assert job.state()["status"] == "done"
    wait_until(stands(stranger, "done"))
    stranger.start(command(assistant, begun, "again", 60.0))
    wait_until(lambda: "again" in begun.read_text())
    assert stranger.cancel()
    assert assistant.call(["work", "next", str(begun), "0"]).code == 0


def test_a_page_that_saw_an_earlier_number_ends_nothing_of_a_later_one(assistant, begun):
    job = Job(replaces=True)
    job.start(command(assistant, begun, "a", 60.0))
    job.start(command(assistant, begun, "b", 60.0))
    assert not job.cancel(1)
    assert job.state()["status"] == "running"
    assert job.cancel(2)
    assert job.state() == job.state() | {"status": "cancelled", "number": 2}


def test_newer_work_takes_the_place_of_older_or_is_refused(assistant, begun):
    patient, hasty = Job(), Job(replaces=True)
    assert patient.start(command(assistant, begun, "a", 60.0))
    assert not patient.start(command(assistant, begun, "b"))
    patient.cancel()
    assert hasty.start(command(assistant, begun, "c", 60.0))
    wait_until(lambda: "c" in begun.read_text().split())
    assert hasty.start(command(assistant, begun, "d"))
    wait_until(stands(hasty, "done"))
    assert hasty.state()["result"] == {"name": "d"}


def test_of_jobs_that_share_a_turn_one_works_at_a_time(assistant, begun):
    turn = Turn()
    first, second = Job(turn), Job(turn)
    assert first.start(command(assistant, begun, "a", 60.0))
    assert not second.start(command(assistant, begun, "b"))
    first.cancel()
    assert second.start(command(assistant, begun, "b"))
    wait_until(stands(second, "done"))
    assert first.state()["status"] == "cancelled"


def test_what_goes_wrong_is_told_and_the_next_start_is_free(assistant, begun):
    job = Job()
    job.start(lambda number: Command(assistant, ["refuse"]))
    wait_until(stands(job, "failed"))
    assert job.state()["errors"] == {"optim.lr": "is too unlucky."}

    def break_down(hear, should_stop):
        raise OSError("no space left")

    job.start(lambda number: Stoppable(break_down))
    wait_until(stands(job, "failed"))
    assert "no space left" in job.state()["errors"][""]
    job.start(command(assistant, begun, "a"))
    wait_until(stands(job, "done"))


def test_a_function_is_told_to_stop_and_its_late_result_is_not_kept(begun):
    told, job = threading.Event(), Job()

    def wait(hear, should_stop):
        hear({"progress": "waiting"})
        wait_until(should_stop)
        told.set()
        return {"late": True}

    job.start(lambda number: Stoppable(wait))
    wait_until(lambda: job.state()["says"] == "waiting")
    assert job.cancel()
    assert told.wait(5)
    assert job.state()["status"] == "cancelled"
    assert "result" not in job.state()
