"""The routes of the live panel, without a browser."""

from __future__ import annotations

import json
import math

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from fine_tuner.base.errors import RunError
from fine_tuner.launch.launcher import Launcher
from fine_tuner.runs import control
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.store import RunStore
from fine_tuner.runs.view.live import LiveFeed
from fine_tuner.ui.api.live import LiveRoutes
from fine_tuner.ui.api.runs import RunRoutes
from fine_tuner.ui.head import head_links, modules_of
from fine_tuner.ui.pages.live_panel import live_panel
from tests.ui.hand_run import HandRun

RUN = "20261123-110000-sample"


@pytest.fixture
def run(tmp_path):
    run = HandRun(tmp_path, RUN)
    yield run
    run.die()


def refuse(folder: RunFolder) -> None:
    raise RunError(f"The run {folder.id} is not at work.")


@pytest.fixture
def client(tmp_path):
    store = RunStore(tmp_path)
    actions = {"stop": lambda folder: control.request(folder, "stop"), "resume": refuse}
    app = FastAPI()
    app.include_router(LiveRoutes(store, feed=LiveFeed(store.view_soon, hold_seconds=0, pace=math.inf)).router())
    app.include_router(RunRoutes(store, Launcher(store), tmp_path / "losses", actions).router())
    return TestClient(app)


def test_answers_add_up_to_the_whole_curve(client, run):
    run.begin()
    points, cursor = [], ""
    for steps in (3, 0, 20, 1):
        run.train(steps)
        answer = client.get("/api/live", params={"run": RUN, "since": cursor}).json()
        assert answer["reset"] == (cursor == "")
        points += [x for curve in answer["curves"] if "train/loss" in curve["keys"] for x in curve["x"]]
        cursor = answer["cursor"]
    assert points == list(range(1, 25))


def test_without_a_name_the_newest_run_answers(client, run, tmp_path):
    newer = HandRun(tmp_path, "20261124-000000-newer")
    newer.begin()
    try:
        assert client.get("/api/live").json()["run"] == newer.folder.id
    finally:
        newer.die()


def test_no_runs_is_an_answer_not_an_error(client):
    assert client.get("/api/live").json() == {"run": None, "cursor": "", "reset": True, "state": None, "curves": []}
    assert client.get("/api/runs").json() == {"runs": []}


def test_a_tick_of_five_steps_is_at_most_one_kilobyte(client, run):
    run.begin()
    run.train(60)
    cursor = client.get("/api/live", params={"run": RUN}).json()["cursor"]
    run.train(5)
    answer = client.get("/api/live", params={"run": RUN, "since": cursor}, headers={"accept-encoding": "gzip"})
    assert sum(len(curve["x"]) for curve in answer.json()["curves"]) >= 5
    assert int(answer.headers["content-length"]) <= 1000


@pytest.mark.parametrize(
    "path", ["live", "live?run=RUN", "runs", "runs/RUN", "live/detail?run=RUN&key=train/loss&x0=1&x1=3"]
)
def test_nothing_of_a_run_is_kept_by_a_browser(client, run, path):
    run.begin()
    assert client.get(f"/api/{path.replace('RUN', RUN)}").headers["cache-control"] == "no-store"


def test_detail_has_every_recorded_step_of_a_part(client, run):
    run.begin()
    run.train(30)
    query = {"run": RUN, "key": ["train/loss", "val/loss"], "x0": 10, "x1": 20}
    loss, validation = client.get("/api/live/detail", params=query).json()["curves"]
    assert loss["x"] == list(range(9, 22)), "one more on either side, so that the line reaches the edges"
    assert (validation["keys"], validation["x"]) == (["val/loss"], [16])


def test_about_tells_facts_marks_messages_and_what_can_be_done(client, run):
    run.begin()
    run.train(5)
    run.mark("unfreeze", "backbone")
    run.say("Careful.", "warning")
    about = client.get(f"/api/runs/{RUN}").json()
    assert about["marks"] == [{"step": 5, "label": "unfreeze", "text": "backbone"}]
    assert [(m["level"], m["text"]) for m in about["messages"]] == [("warning", "Careful.")]
    assert about["facts"]["val_images"] == 153
    assert (about["has_weights"], about["can_resume"], about["failure"]) == (False, False, None)


def test_a_failure_is_told_with_its_reason(client, run):
    run.begin()
    run.finish("failed", "The training loss is nan at step 1.")
    assert client.get(f"/api/runs/{RUN}").json()["failure"]["text"] == "The training loss is nan at step 1."


def test_stop_leaves_a_request_for_the_worker(client, run):
    run.begin()
    answer = client.post(f"/api/runs/{RUN}/stop", headers={"origin": "http://testserver"})
    assert (answer.status_code, set(control.pending(run.folder))) == (200, {"stop"})
    assert client.get("/api/live").json()["state"]["status"] == "stopping"


def test_what_the_state_forbids_is_told(client, run):
    answer = client.post(f"/api/runs/{RUN}/resume")
    assert (answer.status_code, answer.json()["detail"]) == (409, f"The run {RUN} is not at work.")
    assert client.post(f"/api/runs/{RUN}/erase").status_code == 404


@pytest.mark.parametrize("name", ["nothing", "..", "%2e%2e", "..%2f..%2fetc", ".trash"])
def test_a_name_that_is_no_run_is_not_found(client, run, name):
    assert client.get(f"/api/runs/{name}").status_code == 404
    assert client.get(f"/api/runs/{name}/weights").status_code == 404
    assert client.get("/api/live", params={"run": name}).status_code == 404


def test_weights_come_as_a_file_named_after_the_run(client, run):
    assert client.get(f"/api/runs/{RUN}/weights").status_code == 404
    run.folder.best_weights.parent.mkdir(parents=True)
    run.folder.best_weights.write_bytes(b"\x00weights")
    answer = client.get(f"/api/runs/{RUN}/weights")
    assert answer.content == b"\x00weights"
    assert answer.headers["content-disposition"] == f'attachment; filename="{RUN}.safetensors"'


def test_every_module_that_the_panel_imports_is_preloaded_once():
    names = modules_of("live/live.js")
    assert len(names) == len(set(names)) >= 20
    assert {"base/plotly.js", "base/format.js"} < set(names)
    assert head_links("../").count("modulepreload") == len(names)


def test_the_panel_is_a_fixed_text_in_which_nothing_of_a_run_can_stand():
    panel = live_panel(base="../", actions=())
    assert not {"{", "$"} & set(panel.html_template)
    assert panel.value is None
    assert json.loads(json.dumps(panel.props))["actions"] == []
