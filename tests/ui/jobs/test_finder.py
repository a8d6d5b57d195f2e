"""The learning-rate finder on the page, in a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from fine_tuner.launch.assistant import Assistant
from fine_tuner.ui.form.folders import Allowed
from fine_tuner.ui.jobs.job import Job
from fine_tuner.ui.jobs.job_routes import JobRoutes
from fine_tuner.ui.jobs.kinds import Jobs
from tests.runs.logs import wait_until
from tests.ui.fake_finder import RESULT

PROGRAM = [sys.executable, str(Path(__file__).parents[1].joinpath("fake_finder.py"))]


@pytest.fixture
def jobs(tmp_path):
    jobs = Jobs(Allowed(roots=(tmp_path,)), sweeper=Assistant(PROGRAM))
    yield jobs
    jobs.close()


@pytest.fixture
def finder(jobs):
    return jobs["finder"]


@pytest.fixture
def sweeps(jobs):
    app = FastAPI()
    app.include_router(JobRoutes(jobs).router())
    return TestClient(app)


def ended(finder: Job) -> dict:
    wait_until(lambda: not finder.is_running)
    return finder.state()


def test_a_sweep_ends_with_its_result_and_the_points_that_were_told(sweeps, finder):
    assert sweeps.get("/api/jobs/finder").json() == {"status": "idle"}
    assert sweeps.post("/api/jobs/finder", json={"argv": ["sample"]}).json()["status"] == "running"
    state = ended(finder)
    assert (state["status"], state["result"]) == ("done", RESULT)
    assert state["points"] == [[0.1, 1.5], [0.01, 0.75], [0.001, 0.5]]
    assert sweeps.get("/api/jobs/finder").json()["result"] == RESULT


def test_progress_is_told_and_a_sweep_can_be_cancelled_and_begun_again(sweeps, finder):
    sweeps.post("/api/jobs/finder", json={"argv": ["sample"], "steps": 1000})
    wait_until(lambda: finder.state().get("done") == 3)
    assert sweeps.get("/api/jobs/finder").json()["total"] == 1000
    assert sweeps.post("/api/jobs/finder", json={"argv": ["sample"]}).status_code == 409
    assert sweeps.post("/api/jobs/finder/cancel").json()["status"] == "cancelled"
    assert sweeps.post("/api/jobs/finder", json={"argv": ["sample"]}).json()["number"] == 2
    assert ended(finder)["status"] == "done"


def test_wrong_settings_are_told_by_field_and_sweep_nothing(sweeps, finder):
    answer = sweeps.post("/api/jobs/finder", json={"argv": ["sample", "optim.lr=-1"]}).json()
    assert (answer["status"], list(answer["errors"])) == ("failed", ["optim.lr"])
    assert finder.state()["status"] == "idle"
    sweeps.post("/api/jobs/finder", json={"argv": ["sample"], "steps": 13})
    state = ended(finder)
    assert (state["status"], state["errors"]) == ("failed", {"optim.lr": "is too unlucky."})


@pytest.fixture
def own_loss(tmp_path, monkeypatch):
    """A sweep's settings with a loss of the user's own."""
    monkeypatch.setenv("FINE_TUNER_CACHE", str(tmp_path / "cache"))
    code = tmp_path / "mine.py"
    code.write_text("def my_loss(output, target):\n    return output.sum()\n")
    return ["sample", "loss.name=custom", f"loss.file={code}"]


def test_a_loss_of_one_s_own_is_swept_itself_or_not_at_all(sweeps, finder, own_loss):
    refused = sweeps.post("/api/jobs/finder", json={"argv": own_loss}).json()
    assert (refused["status"], list(refused["errors"])) == ("failed", ["loss.file"])
    assert "was not checked" in refused["errors"]["loss.file"]
    insisting = [*own_loss, "loss.unchecked=true"]
    sweeps.post("/api/jobs/finder", json={"argv": insisting})
    first = ended(finder)["result"]
    assert set(insisting) <= set(first["asked"])
    sweeps.post("/api/jobs/finder", json={"argv": insisting})
    assert ended(finder)["result"]["process"] != first["process"], "the user's code was met by another command"


def test_without_permission_no_code_is_swept(own_loss, tmp_path):
    app = FastAPI()
    app.include_router(JobRoutes(Jobs(Allowed(roots=(tmp_path,), code=False))).router())
    answer = TestClient(app).post("/api/jobs/finder", json={"argv": [*own_loss, "loss.unchecked=true"]}).json()
    assert (answer["status"], list(answer["errors"])) == ("failed", ["loss.name"])


@pytest.mark.parametrize("steps", [1, 1001, "many"])
def test_a_sweep_has_a_sensible_number_of_steps(sweeps, steps):
    assert sweeps.post("/api/jobs/finder", json={"argv": ["sample"], "steps": steps}).status_code == 422
