"""A page that another start of the app made asks for what is not there: an answer, and a quiet terminal."""

from __future__ import annotations

import json

import pytest
from fastapi.testclient import TestClient

from fine_tuner.ui.app import build_app
from fine_tuner.ui.form.folders import Allowed
from fine_tuner.ui.stale_pages import STALE
from tests.ui.canned import Canned, in_a_loop

API = "/gradio_api"
ASKED = [
    ("queue/join", {"data": [], "fn_index": 9999, "session_hash": "old"}),
    ("call/nothing", {"data": []}),
    ("call/v2/nothing", {"data": []}),
    ("run/nothing", {"data": []}),
    ("api/nothing", {"data": []}),
    ("component_server", {"data": [], "component_id": 99999, "fn_name": "x", "session_hash": "old"}),
]


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    root = tmp_path_factory.mktemp("stale")
    make = lambda: build_app(runs=root / "runs", allowed=Allowed(roots=(root,)), ask=Canned())  # noqa: E731
    with TestClient(in_a_loop(make), base_url="http://127.0.0.1", headers={"Origin": "http://127.0.0.1"}) as client:
        yield client  # it raises what an answer raises


@pytest.mark.parametrize(("route", "body"), ASKED)
def test_what_no_page_of_this_app_asks_is_answered_in_a_sentence(client, capfd, route, body):
    answer = client.post(f"{API}/{route}", json=body)
    assert (answer.status_code, answer.json()) == (404, {"detail": STALE})
    assert "Traceback" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("route", ["queue/data?session_hash=old", "call/on_train/old", "call/v2/on_train/old"])
def test_a_session_of_another_start_is_told_as_ended(client, capfd, route):
    answer = client.get(f"{API}/{route}")
    assert answer.status_code == 200
    (line,) = [line for line in answer.text.splitlines() if line]
    told = json.loads(line.removeprefix("data: "))
    assert (told["msg"], told["message"], told["session_not_found"]) == ("unexpected_error", STALE, True)
    assert "Traceback" not in "".join(capfd.readouterr())


def test_a_function_is_not_called_with_fewer_values_than_it_takes(client, capfd):
    functions = client.get("/config").json()["dependencies"]
    taking = next(function for function in functions if function["inputs"] and function["backend_fn"])
    body = {"data": [], "fn_index": taking["id"], "session_hash": "old"}
    assert client.post(f"{API}/queue/join", json=body).json() == {"detail": STALE}
    assert "Traceback" not in "".join(capfd.readouterr())


def test_a_page_of_this_app_is_passed_on_with_its_whole_body(client):
    functions = client.get("/config").json()["dependencies"]
    taking = next(function for function in functions if function["inputs"] and function["backend_fn"])
    body = {"data": [None] * len(taking["inputs"]), "fn_index": taking["id"], "session_hash": "mine"}
    assert "event_id" in client.post(f"{API}/queue/join", json=body).json()
    assert client.post(f"{API}/queue/join", content=b"no json").status_code == 422
