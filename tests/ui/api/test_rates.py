"""Routes of the learning rate: the finder, the planned rates while fields change, changes of a run at work."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from fine_tuner.cli.main import main
from fine_tuner.launch.assistant import Assistant, Reply
from fine_tuner.runs import control
from fine_tuner.runs.store import RunStore
from fine_tuner.ui.api.rates import RateRoutes
from fine_tuner.ui.form.folders import Allowed
from fine_tuner.ui.jobs.finder import Finder, FinderRoutes
from fine_tuner.ui.jobs.plans import Questions
from tests.runs.logs import wait_until
from tests.ui.access.test_security import serve, shared_access, sign_in
from tests.ui.fake_finder import RESULT
from tests.ui.hand_run import HandRun

RUN = "20261123-110000-sample"
FOREIGN = {"origin": "http://elsewhere.example"}
GROUPS = {"head": 1e-2, "backbone": 1e-3}


# ------------------------------------------------------------------ the finder
@pytest.fixture
def finder():
    program = [sys.executable, str(Path(__file__).parents[1].joinpath("fake_finder.py"))]
    finder = Finder(Assistant(program))
    yield finder
    finder.close()


@pytest.fixture
def sweeps(finder, tmp_path):
    app = FastAPI()
    app.include_router(FinderRoutes(finder, Allowed(roots=(tmp_path,))).router())
    return TestClient(app)


def ended(finder: Finder) -> dict:
    wait_until(lambda: not finder.is_running)
    return finder.state()


def test_a_sweep_ends_with_its_result_and_the_points_that_were_told(sweeps, finder):
    assert sweeps.get("/api/finder").json() == {"status": "idle", "points": []}
    assert sweeps.post("/api/finder", json={"argv": ["sample"]}).json()["status"] == "running"
    state = ended(finder)
    assert (state["status"], state["result"]) == ("done", RESULT)
    assert state["points"] == [(0.1, 1.5), (0.01, 0.75), (0.001, 0.5)]
    assert sweeps.get("/api/finder").json()["result"] == RESULT


def test_progress_is_told_and_a_sweep_can_be_cancelled_and_begun_again(sweeps, finder):
    sweeps.post("/api/finder", json={"argv": ["sample"], "steps": 1000})
    wait_until(lambda: finder.state().get("done") == 3)
    assert sweeps.get("/api/finder").json()["steps"] == 1000
    assert sweeps.post("/api/finder", json={"argv": ["sample"]}).status_code == 409
    assert sweeps.post("/api/finder/cancel").json()["status"] == "cancelled"
    assert sweeps.post("/api/finder", json={"argv": ["sample"]}).json()["number"] == 2
    assert ended(finder)["status"] == "done"


def test_wrong_settings_are_told_by_field_and_sweep_nothing(sweeps, finder):
    answer = sweeps.post("/api/finder", json={"argv": ["sample", "optim.lr=-1"]}).json()
    assert (answer["status"], list(answer["errors"])) == ("failed", ["optim.lr"])
    assert finder.state()["status"] == "idle"
    sweeps.post("/api/finder", json={"argv": ["sample"], "steps": 13})
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
    refused = sweeps.post("/api/finder", json={"argv": own_loss}).json()
    assert (refused["status"], list(refused["errors"])) == ("failed", ["loss.file"])
    assert "was not checked" in refused["errors"]["loss.file"]
    insisting = [*own_loss, "loss.unchecked=true"]
    sweeps.post("/api/finder", json={"argv": insisting})
    first = ended(finder)["result"]
    assert set(insisting) <= set(first["asked"])
    sweeps.post("/api/finder", json={"argv": insisting})
    assert ended(finder)["result"]["process"] != first["process"], "the user's code was met by another command"


def test_without_permission_no_code_is_swept(finder, own_loss, tmp_path):
    app = FastAPI()
    app.include_router(FinderRoutes(finder, Allowed(roots=(tmp_path,), code=False)).router())
    answer = TestClient(app).post("/api/finder", json={"argv": [*own_loss, "loss.unchecked=true"]}).json()
    assert (answer["status"], list(answer["errors"])) == ("failed", ["loss.name"])


@pytest.mark.parametrize("address", ["/api/finder", "/api/finder/cancel"])
def test_another_site_cannot_steer_the_finder(sweeps, finder, address):
    assert sweeps.post(address, json={"argv": ["sample"]}, headers=FOREIGN).status_code == 403
    assert finder.state()["status"] == "idle"


@pytest.mark.parametrize("steps", [1, 1001, "many"])
def test_a_sweep_has_a_sensible_number_of_steps(sweeps, steps):
    assert sweeps.post("/api/finder", json={"argv": ["sample"], "steps": steps}).status_code == 422


# ------------------------------------------------------------------ planned rates
@pytest.fixture
def command_line(capsys):
    """The command line in this process, as the assistant runs it."""

    def ask(argv: Sequence[str]) -> Reply:
        code = main(argv)
        printed = capsys.readouterr()
        return Reply(code, printed.out, printed.err)

    return ask


@pytest.fixture
def client(command_line, tmp_path):
    app = FastAPI()
    routes = RateRoutes(Questions(command_line), RunStore(tmp_path), Allowed(roots=(tmp_path,)))
    app.include_router(routes.router())
    return TestClient(app)


def rates(client: TestClient, *argv: str) -> dict:
    body = {"argv": ["sample", *argv], "steps_per_epoch": 16, "group_lrs": GROUPS}
    return client.post("/api/rates", json=body).json()


def test_rates_follow_the_settings_in_the_proportions_of_the_last_plan(client):
    answer = rates(client, "schedule.name=CosineAnnealingLR", "optim.lr=2e-4", "train.epochs=5")
    value = answer["value"]
    assert value["steps"] == list(range(1, 81))
    assert value["groups"]["head"][0] == 2e-4
    assert value["group_lrs"] == pytest.approx({"head": 2e-4, "backbone": 2e-5}, rel=1e-12)
    assert (value["warmup_end"], value["unfreeze"], value["lowest"]) == (None, None, None)


def test_warm_up_unfreezing_and_the_lower_bound_are_told(client):
    argv = (
        "schedule.name=ReduceLROnPlateau",
        "schedule.warmup_steps=7",
        "model.trainable=gradual",
        "model.head_epochs=3",
    )
    value = rates(client, *argv)["value"]
    assert (value["warmup_end"], value["unfreeze"], value["steps_per_epoch"]) == (7, 48, 16)
    assert min(value["lowest"]["head"][7:]) < max(value["lowest"]["head"])
    assert all(low <= high for low, high in zip(value["lowest"]["head"], value["groups"]["head"], strict=True))


WRONG = [
    ("T_max", ("name=CosineAnnealingLR", "T_max=0"), "0 is not a whole number >= 1, or empty."),
    ("milestones", ("name=MultiStepLR", "milestones=[6, 3]"), "not in ascending order"),
    ("milestones", ("name=MultiStepLR", "milestones=[3, 12]"), "run has 10 epochs. Choose epochs from 1 to 9."),
    ("max_lr", ("name=CyclicLR", "base_lr=1e-3", "max_lr=1e-4"), "below base_lr 0.001. Choose at least 0.001"),
    ("formula", ("name=LambdaLR", "formula=1 / (step - 5)"), "It must give a number >= 0 in every step"),
    ("formula", ("name=LambdaLR", "formula=0 * 1e400"), "It must give a number >= 0 in every step"),
    ("warmup_steps", ("warmup_steps=160",), "Choose 0 to 159."),
]  # fmt: skip


@pytest.mark.parametrize(("field", "schedule", "message"), WRONG, ids=[f"{w[0]}-{i}" for i, w in enumerate(WRONG)])
def test_a_bad_parameter_is_told_at_its_field(client, field, schedule, message):
    answer = rates(client, "train.epochs=10", *(f"schedule.{item}" for item in schedule))
    assert answer["value"] is None
    assert list(answer["errors"]) == [f"schedule.{field}"]
    assert message in answer["errors"][f"schedule.{field}"]


@pytest.mark.parametrize(
    "path",
    ["/api/rates", "/api/plan", "/api/finder", "/api/preview", "/gradio_api/queue/join", "/gradio_api/run/changed"],
)
def test_a_formula_reaches_the_app_by_no_one_but_the_owner(path):
    """Text that runs: every way in that takes settings is closed to those who only look, and to strangers."""
    access = shared_access()
    body = {"argv": ["sample", "schedule.name=LambdaLR", "schedule.formula=1"]}
    reached = {}
    for role in ("stranger", "viewer", "owner"):
        client = serve(access, host="abc.example.org")
        if role != "stranger":
            sign_in(client, access, role)
        origin = {"origin": "http://abc.example.org"}
        reached[role] = client.post(path, json=body, headers=origin).status_code
    assert reached["owner"] == 200
    assert reached["stranger"] in (401, 403)
    assert reached["viewer"] in (401, 403)


# ------------------------------------------------------------------ changes of a run
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


def test_another_site_changes_nothing(client, run):
    assert ask(client, **FOREIGN)({"lr_factor": 0.5}).status_code == 403
    assert "set" not in control.pending(run.folder)


def test_only_a_run_that_trains_can_be_changed(client, run):
    run.die()
    answer = ask(client)({"lr_factor": 0.5})
    assert (answer.status_code, "is not training" in answer.json()["detail"]) == (409, True)
    assert client.post("/api/runs/20200101-000000-none/set", json={"lr_factor": 0.5}).status_code == 404
