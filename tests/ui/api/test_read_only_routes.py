"""A folder of runs that cannot be written: what the page asks to be changed is refused in a sentence, never a 500."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from fine_tuner.config.io import replace
from fine_tuner.config.settings import Settings
from fine_tuner.launch.launcher import Launcher
from fine_tuner.runs.store import RunStore
from fine_tuner.ui.access.entry import Access
from fine_tuner.ui.access.sharing import ShareRoutes, Sharing
from fine_tuner.ui.api.runs import RunRoutes
from fine_tuner.ui.app import no_access
from tests.runs.logs import finished, lines, started, steps

CHANGES = {
    "/api/runs/{run}/notes": {"title": "Better", "note": "as a check"},
    "/api/runs/{run}/delete": {},
    "/api/runs/{run}/resume": {},
    "/api/share/runs/{run}": {"run": True, "model": False},
}


@pytest.fixture
def client(small_disk, tmp_path):
    store = RunStore(small_disk.path / "runs")
    ended, killed = (store.create(replace(Settings(), "devices=cpu"), argv=["train"]) for _ in range(2))
    ended.events.write_bytes(lines([started(20), *steps(1, 20), finished(20)]))
    killed.events.write_bytes(lines([started(40), *steps(1, 20)]))
    small_disk.make_read_only()
    launcher = Launcher(store, command=lambda run: ["true"])
    app = FastAPI()
    app.include_router(RunRoutes(store, launcher, tmp_path / "losses", {"resume": launcher.start}).router())
    app.include_router(ShareRoutes(Sharing(Access()), store).router())
    app.add_exception_handler(OSError, no_access)
    with TestClient(app) as client:
        client.runs = {"resume": killed.id}
        client.ended = ended.id
        yield client
    launcher.close()


def test_each_change_is_refused_in_a_sentence_and_the_list_goes_on(client):
    before = client.get("/api/runs").json()
    for path, body in CHANGES.items():
        run = client.runs.get(path.rsplit("/", 1)[1], client.ended)
        answer = client.post(path.format(run=run), json=body)
        assert answer.status_code == 409, path
        assert "Read-only file system" in answer.json()["detail"], path
    assert client.get("/api/runs").json() == before
