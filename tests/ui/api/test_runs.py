"""The routes of the history of runs: names, trash, queue, comparison, clones; with real folders and no browser."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from fine_tuner.config.argv import settings_of_argv
from fine_tuner.config.io import replace
from fine_tuner.config.settings import Settings
from fine_tuner.launch.launcher import Launcher
from fine_tuner.runs import control, queue
from fine_tuner.runs.lock import WorkerLock
from fine_tuner.runs.store import RunStore
from fine_tuner.ui.api.runs import RunRoutes
from tests.runs.logs import finished, lines, started, steps


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs")


@pytest.fixture
def launcher(store):
    """Its queue is not served: what is asked of it can be seen."""
    launcher = Launcher(store, command=lambda run: ["true"])
    launcher._begin = lambda: None  # type: ignore[method-assign]
    yield launcher
    launcher.close()


@pytest.fixture
def client(store, launcher, tmp_path):
    app = FastAPI()
    app.include_router(RunRoutes(store, launcher, tmp_path / "losses", {}).router())
    return TestClient(app)


@pytest.fixture
def run(store):
    """A completed run of 20 steps, two epochs."""
    run = store.create(replace(Settings(), "train.epochs=2", "optim.lr=0.01"), argv=["train"])
    run.events.write_bytes(lines([started(20), *steps(1, 20), finished(20)]))
    return run


def line_of(client, run):
    return next(line for line in client.get("/api/runs").json()["runs"] if line["id"] == run.id)


def test_title_tags_and_note_are_kept_and_each_alone_can_be_changed(client, run):
    address = f"/api/runs/{run.id}/notes"
    assert client.post(address, json={"title": "Better", "tags": ["b", "a ", "b"]}).status_code == 200
    assert client.post(address, json={"note": "as a check"}).status_code == 200
    line = line_of(client, run)
    assert (line["title"], line["tags"], line["note"]) == ("Better", ["a", "b"], "as a check")
    assert client.post(address, json={"title": "x" * 200}).status_code == 422
    assert client.post("/api/runs/none/notes", json={}).status_code == 404


def test_delete_and_undo(client, run, store):
    assert client.post(f"/api/runs/{run.id}/delete").status_code == 200
    assert client.get("/api/runs").json()["runs"] == []
    assert client.post(f"/api/runs/{run.id}/restore").status_code == 200
    assert line_of(client, run)["step"] == 20
    with WorkerLock(run.lock):
        refused = client.post(f"/api/runs/{run.id}/delete")
    assert (refused.status_code, "Stop it first" in refused.json()["detail"]) == (409, True)
    assert client.post("/api/runs/..%2F..%2Fetc/restore").status_code == 404


def test_the_queue_is_listed_with_places_and_can_be_reordered(client, store, launcher):
    waiting = [store.create(replace(Settings(), "devices=cpu"), argv=["train"]) for _ in range(3)]
    for one in waiting:
        launcher.start(one)
    assert [line_of(client, one)["queue"] for one in waiting] == [0, 1, 2]
    assert client.post(f"/api/runs/{waiting[2].id}/move", json={"place": 0}).status_code == 200
    assert [line_of(client, one)["queue"] for one in waiting] == [1, 2, 0]
    assert client.post(f"/api/runs/{waiting[2].id}/move", json={"place": -1}).status_code == 422


def test_a_completed_run_is_extended_from_its_checkpoint(client, run):
    address = f"/api/runs/{run.id}/extend"
    assert "over already" in client.post(address, json={"epochs": 2}).json()["detail"]
    assert "kept no checkpoint" in client.post(address, json={"epochs": 5}).json()["detail"]
    (run.checkpoints / "step-00000020").mkdir(parents=True)
    (run.checkpoints / "step-00000020" / "manifest.json").write_text("{}")
    assert client.post(address, json={"epochs": 5}).status_code == 200
    assert control.pending(run) == {"set": {"train.epochs": 5}}
    assert queue.place_of(run) == 0
    assert "is waiting" in client.post(address, json={"epochs": 6}).json()["detail"]


def test_a_run_fills_the_form_to_be_cloned(client, run):
    answer = client.get(f"/api/runs/{run.id}/settings").json()
    assert settings_of_argv(answer["argv"]) == replace(Settings(), "train.epochs=2", "optim.lr=0.01")


def test_a_clone_brings_the_code_that_trained_not_the_file_as_it_is_now(client, store, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def my_loss(output, target):\n    return output.sum() * 2\n")
    run = store.create(replace(Settings(), "loss.name=custom", f"loss.file={file}"), argv=["train"])
    run.code.mkdir()
    trained = b"def my_loss(output, target):\n    return output.sum()\n"
    (run.code / "loss.py").write_bytes(trained)
    for _ in range(2):
        settings = settings_of_argv(client.get(f"/api/runs/{run.id}/settings").json()["argv"])
    kept = Path(settings.loss.file)
    assert kept.read_bytes() == trained
    assert hashlib.sha256(trained).hexdigest()[:12] in kept.name
    assert len(list(kept.parent.iterdir())) == 1


def test_runs_are_compared(client, run, store):
    other = store.create(replace(Settings(), "train.epochs=2", "optim.lr=0.02"), argv=["train"])
    answer = client.get("/api/compare", params={"run": [run.id, other.id]}).json()
    assert answer["settings"] == [{"path": "optim.lr", "label": "Learning rate", "values": [0.01, 0.02]}]
    assert [one["id"] for one in answer["runs"]] == [run.id, other.id]
    assert client.get("/api/compare", params={"run": [run.id, run.id]}).status_code == 422
