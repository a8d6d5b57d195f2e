"""Whatever becomes of the page and of the app, a run goes on and is found again; with real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from fine_tuner.config.io import replace
from fine_tuner.config.settings import Settings
from fine_tuner.launch.process import worker_pid
from fine_tuner.runs.store import RunStore
from tests.runs.logs import wait_until
from tests.ui.rig import _free_port

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.slow


class Page:
    """What the page does with a run: asks for what is new since its cursor, and keeps the points."""

    def __init__(self, address: str, run: str) -> None:
        self.address, self.run, self.cursor, self.steps, self.resets = address, run, "", [], 0

    def ask(self, path: str, method: str = "GET") -> dict:
        request = urllib.request.Request(self.address + path, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.loads(answer.read())

    def tick(self) -> dict:
        """The state; new points are added to ``steps``."""
        answer = self.ask(f"api/live?run={self.run}&since={self.cursor}")
        self.cursor = answer["cursor"]
        if answer["reset"]:
            self.steps, self.resets = [], self.resets + 1
        for curve in answer["curves"]:
            if "train/loss" in curve["keys"]:
                self.steps += curve["x"]
        return answer["state"]


@pytest.fixture
def store(tmp_path):
    store = RunStore(tmp_path / "runs")
    yield store
    for run_id in store.ids():
        pid = worker_pid(store.get(run_id))
        if pid is not None:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)


@pytest.fixture
def open_app(store):
    """Start an app on a port; it is killed at the end."""
    apps = []

    def start(port: int, worker: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "tests.ui.app_process", str(store.root), str(port), worker]
        app = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)})
        apps.append(app)

        def is_served() -> bool:
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/api/runs", timeout=5) as answer:
                return answer.status == 200
            return False

        wait_until(is_served, 60)
        return app

    yield start
    for app in apps:
        app.kill()
        app.wait()


def new_run(store: RunStore):
    return store.create(replace(Settings(), "devices=cpu"), argv=["train"])


def test_a_run_moves_while_its_app_is_killed_and_the_page_misses_no_step(store, open_app):
    port, worker = _free_port(), "--steps 5000 --seconds 0.2"
    run = new_run(store)
    app = open_app(port, worker)
    page = Page(f"http://127.0.0.1:{port}/", run.id)
    page.ask(f"api/runs/{run.id}/resume", "POST")
    wait_until(lambda: page.tick().get("step", 0) > 3, 30)
    app.send_signal(signal.SIGKILL)
    app.wait()
    at_death = store.view(run.id).progress.step
    wait_until(lambda: store.view(run.id).progress.step > at_death + 3, 20)  # nobody watches, nobody serves
    open_app(port, worker)
    wait_until(lambda: page.tick().get("step", 0) > at_death + 6, 20)
    state = page.tick()
    assert state["status"] == "running"
    assert page.steps == list(range(1, page.steps[-1] + 1)), "every step once, over the restart"
    assert page.resets == 1, "the cursor of the dead app is honoured"
    page.ask(f"api/runs/{run.id}/stop", "POST")
    wait_until(lambda: page.tick()["status"] == "stopped", 20)


def test_a_closed_tab_ends_nothing_and_a_new_one_sees_everything(store, open_app):
    port = _free_port()
    run = new_run(store)
    open_app(port, "--steps 60 --seconds 0.1")
    first = Page(f"http://127.0.0.1:{port}/", run.id)
    first.ask(f"api/runs/{run.id}/resume", "POST")
    wait_until(lambda: first.tick().get("step", 0) > 3, 30)
    # nobody looks any more
    wait_until(lambda: store.view(run.id).status == "completed", 40)
    second = Page(f"http://127.0.0.1:{port}/", run.id)
    assert second.tick()["status"] == "completed"
    assert second.steps == list(range(1, 61))


def test_two_apps_show_the_same_runs_and_either_stops_what_the_other_started(store, open_app):
    ports = _free_port(), _free_port()
    run, behind = new_run(store), new_run(store)
    for port in ports:
        open_app(port, "--steps 5000 --seconds 0.1")
    here, there = (Page(f"http://127.0.0.1:{port}/", run.id) for port in ports)
    here.ask(f"api/runs/{run.id}/resume", "POST")
    wait_until(lambda: there.tick().get("step", 0) > 3, 30)
    there.ask(f"api/runs/{behind.id}/resume", "POST")
    time.sleep(1)
    shown = [{line["id"]: line["status"] for line in page.ask("api/runs")["runs"]} for page in (here, there)]
    assert shown[0] == shown[1] == {run.id: "running", behind.id: "queued"}
    there.ask(f"api/runs/{run.id}/stop", "POST")
    wait_until(lambda: here.tick()["status"] == "stopped", 20)
    wait_until(lambda: store.view(behind.id).status == "running", 20)
