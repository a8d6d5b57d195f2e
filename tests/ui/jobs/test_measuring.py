"""Measurements on the page: one at a time, in a process of their own, told step by step, cancelled without a trace."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from fine_tuner.launch.assistant import Assistant
from fine_tuner.ui.form.folders import Allowed
from fine_tuner.ui.jobs.job_routes import JobRoutes
from fine_tuner.ui.jobs.kinds import Jobs
from fine_tuner.ui.jobs.start import misfit_of

FAKE = [sys.executable, str(Path(__file__).parents[1] / "fake_measuring.py")]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    jobs = Jobs(Allowed(roots=(tmp_path,)), make_process=lambda: Assistant(FAKE))
    app = FastAPI()
    app.include_router(JobRoutes(jobs).router())
    with TestClient(app) as client:
        yield client
    jobs.close()


def follow(client: TestClient, kind: str, until: Any) -> dict[str, Any]:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        state = client.get(f"/api/jobs/{kind}").json()
        if until(state):
            return state
        time.sleep(0.02)
    raise AssertionError(f"still {state}")


def test_a_measurement_ends_with_what_the_command_printed(client: TestClient) -> None:
    begun = client.post("/api/jobs/batch", json={"argv": ["sample"], "global_batch": 256})
    assert begun.json()["status"] == "running"
    state = follow(client, "batch", lambda state: state["status"] == "done")
    assert state["result"]["argv"] == ["find-batch", "sample", "--global-batch", "256", "--json"]
    assert client.get("/api/jobs/precisions").json() == {"status": "idle"}


def test_progress_is_told_one_runs_at_a_time_and_it_can_be_cancelled_and_begun_again(client: TestClient) -> None:
    client.post("/api/jobs/precisions", json={"argv": ["sample", "seed=13"]})
    state = follow(client, "precisions", lambda state: state["done"] == 3)
    assert (state["total"], state["says"]) == (32, "bf16 channels-last")
    assert client.post("/api/jobs/batch", json={"argv": ["sample"]}).status_code == 409
    assert client.post("/api/jobs/precisions/cancel").json()["status"] == "cancelled"
    deadline = time.monotonic() + 10
    while client.post("/api/jobs/batch", json={"argv": ["sample"]}).status_code == 409:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert follow(client, "batch", lambda state: state["status"] == "done")


def test_wrong_settings_are_told_by_field_and_other_kinds_are_refused(client: TestClient) -> None:
    answer = client.post("/api/jobs/batch", json={"argv": ["sample", "train.batch_size=0"]}).json()
    assert answer["status"] == "failed"
    assert "train.batch_size" in answer["errors"]
    assert client.get("/api/jobs/nothing").status_code == 404


def test_what_does_not_fit_is_not_started() -> None:
    words = "Does not fit. Choose at most 8."
    assert misfit_of({"memory": {"fits": False, "words": words}}) == {"train.batch_size": words}
    assert misfit_of({"memory": {"fits": True, "words": "Fits."}}) == {}
    assert misfit_of(None) == {}
