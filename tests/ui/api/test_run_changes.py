"""The rate and the length of a run at work, changed from the page."""

from __future__ import annotations

import json

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from fine_tuner.launch.launcher import Launcher
from fine_tuner.runs import control
from fine_tuner.runs.store import RunStore
from fine_tuner.ui.api.runs import RunRoutes
from tests.ui.hand_run import HandRun

RUN = "20261123-110000-sample"


@pytest.fixture
def client(tmp_path):
    app = FastAPI()
    store = RunStore(tmp_path)
    app.include_router(RunRoutes(store, Launcher(store), tmp_path / "losses", {}).router())
    return TestClient(app)


@pytest.fixture
def run(tmp_path):
    run = HandRun(tmp_path, RUN)
    run.begin()
    run.train(40)  # 2 of 10 epochs are over
    yield run
    run.die()


def ask(client: TestClient, **headers: str):
    return lambda change: client.post(f"/api/runs/{RUN}/set", json=change, headers=headers)


@pytest.mark.parametrize("change", [{"lr_factor": 0.5}, {"optim.lr": 1e-4}, {"train.epochs": 20}])
def test_a_change_is_handed_to_the_worker(client, run, change):
    assert ask(client)(change).json() == {"run": RUN, "asked": change}
    assert control.pending(run.folder)["set"] == change


def test_one_change_at_a_time_so_that_none_is_lost(client, run):
    assert ask(client)({"lr_factor": 0.5}).status_code == 200
    assert ask(client)({"lr_factor": 0.5}).status_code == 409
    control.clear(run.folder, "set")
    assert ask(client)({"lr_factor": 0.5}).status_code == 200


BAD = [
    {}, {"lr_factor": 0}, {"lr_factor": -1}, {"optim.lr": 0}, {"optim.lr": "fast"}, {"optim.lr": 1e3},
    {"train.epochs": 1.5}, {"train.epochs": 2}, {"train.epochs": 0}, {"lr_factor": 2, "optim.lr": 1e-3},
    {"optim.name": "SGD"},
]  # fmt: skip


@pytest.mark.parametrize("change", BAD, ids=json.dumps)
def test_a_change_that_makes_no_sense_is_refused_in_words(client, run, change):
    answer = ask(client)(change)
    assert answer.status_code == 422
    assert isinstance(answer.json()["detail"], str)
    assert "set" not in control.pending(run.folder)


def test_only_a_run_that_trains_can_be_changed(client, run):
    run.die()
    answer = ask(client)({"lr_factor": 0.5})
    assert (answer.status_code, "is not training" in answer.json()["detail"]) == (409, True)
    assert client.post("/api/runs/20200101-000000-none/set", json={"lr_factor": 0.5}).status_code == 404
