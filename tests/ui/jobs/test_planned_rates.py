"""The planned rates while fields change."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from fine_tuner.cli.main import main
from fine_tuner.launch.assistant import Reply
from fine_tuner.ui.form.folders import Allowed
from fine_tuner.ui.jobs.services import Services
from fine_tuner.ui.jobs.setup_routes import SetupRoutes
from tests.ui.access.test_security import serve, shared_access, sign_in

GROUPS = {"head": 1e-2, "backbone": 1e-3}


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
    services = Services(runs=tmp_path, allowed=Allowed(roots=(tmp_path,)), ask=command_line)
    app.include_router(SetupRoutes(services).router())
    yield TestClient(app)
    services.close()


def rates(client: TestClient, *argv: str) -> dict:
    body = {"argv": ["sample", "train.epochs=12", *argv], "steps_per_epoch": 16, "group_lrs": GROUPS}
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
    [
        "/api/rates",
        "/api/plan",
        "/api/jobs/finder",
        "/api/preview",
        "/gradio_api/queue/join",
        "/gradio_api/run/changed",
    ],
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
