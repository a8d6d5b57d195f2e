"""The Loss section's routes: curves, the user's files, checks; who may, and what never runs in the app."""

from __future__ import annotations

import hashlib
import threading
import time

import pytest
from fastapi.testclient import TestClient

from fine_tuner.config.argv import argv_of, without_code
from fine_tuner.config.io import replace
from fine_tuner.config.presets import load_preset
from fine_tuner.losses.verdicts import remember
from fine_tuner.planning.loss_checks import checks_folder, refusals
from fine_tuner.runs.store import RunStore
from fine_tuner.ui.environment import private_environment
from fine_tuner.ui.form.code_state import code_state
from fine_tuner.ui.form.folders import Allowed
from fine_tuner.ui.form.form import read, values_of
from fine_tuner.ui.jobs.kinds import JobQuestion, Jobs
from fine_tuner.ui.jobs.questions import Questions
from fine_tuner.ui.jobs.start import RunStarter
from tests.ui.canned import Canned, in_a_loop, printed

HOME = "http://127.0.0.1:7860"
CODE = "def my_loss(output, target):\n    return output.sum() * 0\n"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("losses")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FINE_TUNER_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def canned():
    return Canned()


def client(root, canned, **allowed) -> TestClient:
    from fine_tuner.ui.app import build_app

    make = lambda: build_app(runs=root / "runs", allowed=Allowed(roots=(root,), **allowed), ask=canned)  # noqa: E731
    return TestClient(in_a_loop(make), base_url=HOME)


@pytest.fixture(scope="module")
def owner(root, canned):
    with private_environment():
        yield client(root, canned)


@pytest.fixture(scope="module")
def without_permission(root, canned):
    with private_environment():
        yield client(root, canned, code=False)


@pytest.fixture
def file(root):
    path = root / "own.py"
    path.write_text(CODE)
    return path


def custom(path, **more):
    changes = [f"loss.{key}={value}" for key, value in more.items()]
    return ["sample", "loss.name=custom", f"loss.file={path}", *changes]


def settings_with(path):
    return replace(load_preset("sample"), "loss.name=custom", f"loss.file={path}")


# ------------------------------------------------------------------ who may
def test_without_permission_no_code_is_read_written_or_checked(without_permission, file):
    offered = without_permission.get("/api/loss/code", params={"task": "classification"}).json()
    assert (offered["allowed"], offered["templates"]) == (False, [])
    assert "--allow-code" in offered["reason"]
    answers = [
        without_permission.get("/api/loss/file", params={"path": str(file)}),
        without_permission.post("/api/loss/file", json={"path": "x.py", "text": CODE}),
        without_permission.post("/api/jobs/loss", json={"argv": custom(file)}),
        without_permission.get("/api/jobs/loss"),
        without_permission.post("/api/jobs/loss/cancel"),
    ]
    assert [answer.status_code for answer in answers] == [403] * 5
    assert "ft-loss-editor" not in without_permission.get("/config").text
    assert "is not offered" in without_permission.get("/config").text


@pytest.mark.parametrize("path", ["/api/loss/file", "/api/jobs/loss", "/api/jobs/loss/cancel", "/api/loss/curve"])
def test_another_site_can_ask_nothing(owner, path):
    assert owner.post(path, json={}, headers={"Origin": "https://evil.example"}).status_code == 403


# ------------------------------------------------------------------ files
def test_a_name_is_saved_below_the_runs_and_can_be_read_back(owner, root):
    saved = owner.post("/api/loss/file", json={"path": "new.py", "text": CODE}).json()
    assert saved["path"] == str((root / "runs" / "losses" / "new.py").resolve())
    assert saved["sha256"] == hashlib.sha256(CODE.encode()).hexdigest()
    assert owner.get("/api/loss/file", params={"path": saved["path"]}).json() == {**saved, "text": CODE}
    assert RunStore(root / "runs").ids() == []


def test_a_file_that_something_else_changed_is_not_overwritten(owner, file):
    known = owner.get("/api/loss/file", params={"path": str(file)}).json()["sha256"]
    file.write_text(CODE + "# by another\n")
    body = {"path": str(file), "text": CODE + "# mine\n", "base": known}
    answer = owner.post("/api/loss/file", json=body)
    assert (answer.status_code, file.read_text()) == (409, CODE + "# by another\n")


@pytest.mark.parametrize("path", ["/etc/x.py", "../../x.py", "own.txt", "/no/such/folder/x.py", "~root/x.py", "\0.py"])
def test_files_elsewhere_are_neither_written_nor_read(owner, path):
    assert owner.post("/api/loss/file", json={"path": path, "text": CODE}).status_code == 422
    assert owner.get("/api/loss/file", params={"path": path}).status_code == 404


def test_a_link_out_of_the_allowed_folders_is_not_followed(owner, root, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (root / "link").symlink_to(outside)
    answer = owner.post("/api/loss/file", json={"path": str(root / "link" / "x.py"), "text": CODE})
    assert (answer.status_code, list(outside.iterdir())) == (422, [])


def test_every_task_has_templates(owner):
    offered = owner.get("/api/loss/code", params={"task": "segmentation"}).json()
    assert any("Dice" in template["label"] for template in offered["templates"])
    assert owner.get("/api/loss/code", params={"task": "detection"}).status_code == 404


def test_a_loss_without_a_name_of_its_own_takes_the_next_free_one(owner):
    names = []
    for text in (CODE, CODE + "# another\n", CODE, CODE + "# a third\n"):
        saved = owner.post("/api/loss/file", json={"path": "mine.py", "text": text, "free": True}).json()
        names.append(saved["path"].rpartition("/")[2])
        assert owner.get("/api/loss/file", params={"path": saved["path"]}).json()["text"] == text
    assert names == ["mine.py", "mine_2.py", "mine.py", "mine_3.py"]  # the same text is the same loss


# --------------------------------------------------------- what the code is, and is given
def test_a_text_is_told_apart_without_being_run(owner, root):
    text = (
        f"open({str(root / 'ran')!r}, 'w')\n"
        "class Focal(nn.Module):\n    def __init__(self, gamma=2.0): ...\n"
        "    def forward(self, inputs, targets, smooth=1): ...\n"
        "criterion = nn.MSELoss()\n"
    )
    body = {"text": text, "arguments": "gamma=3, smooth=torch.tensor([1.0])"}
    told = owner.post("/api/loss/signature", json=body).json()
    focal, criterion = told["losses"]
    assert [(a["name"], a["default"], a["role"]) for a in focal["arguments"]] == [
        ("gamma", "2.0", "constructor"), ("smooth", "1", "forward"),
    ]  # fmt: skip
    assert (focal["style"], criterion["name"], criterion["style"]) == ("class", "criterion", "object")
    assert told["values"] == {"gamma": "3", "smooth": "torch.tensor([1.0])"}
    assert not (root / "ran").exists()


@pytest.mark.parametrize("text", ["", "def (", "x" * 1000, "\0", "(" * 500, "!pip install x\n"])
def test_a_text_that_is_no_python_defines_no_loss(owner, text):
    assert owner.post("/api/loss/signature", json={"text": text, "arguments": "gamma="}).json() == {
        "losses": [],
        "values": {},
    }


def test_what_code_can_be_given_is_asked_of_the_assistant_without_the_code(owner, canned, file):
    answer = owner.post("/api/loss/inputs", json={"argv": custom(file)}).json()
    assert [form["inputs"] for form in answer["value"]["forms"]] == ["as_is", "probs_one_hot"]
    assert canned.asked[-1][0] == "loss-inputs"
    assert not any("custom" in word or str(file) in word for word in canned.asked[-1])


@pytest.mark.parametrize("path", ["signature", "inputs", "file"])
def test_without_permission_nothing_of_code_is_answered(without_permission, path):
    body = {"text": CODE, "path": "x.py", "argv": ["sample"]}
    assert without_permission.post(f"/api/loss/{path}", json=body).status_code == 403


# ------------------------------------------------------------------ curves
def test_a_curve_is_asked_of_the_assistant(owner, canned):
    answer = owner.post("/api/loss/curve", json={"argv": ["sample", "loss.name=focal"]}).json()
    assert answer["value"]["name"] == "focal"
    assert canned.asked[-1] == ["loss-curve", "sample", "loss.name=focal", "--json"]


def test_code_is_never_passed_to_the_assistant(owner, canned, file):
    before = len(canned.asked)
    curve = owner.post("/api/loss/curve", json={"argv": custom(file)}).json()
    assert (curve["value"]["panels"], len(canned.asked)) == ([], before)
    assert owner.post("/api/plan", json={"argv": custom(file)}).json()["value"]["total_steps"] == 160
    owner.post("/api/preview", json={"argv": custom(file)})
    assert not any("custom" in word for argv in canned.asked for word in argv)


def test_the_curve_of_own_code_is_that_of_its_last_check(owner, file):
    panels = [{"key": "probability"}]
    report = {
        "ok": True, "findings": [], "task": "classification", "entry": "my_loss", "panels": panels,
        "sha256": hashlib.sha256(CODE.encode()).hexdigest(),
    }  # fmt: skip
    remember(checks_folder(), report, entry="")
    value = owner.post("/api/loss/curve", json={"argv": custom(file)}).json()["value"]
    assert (value["name"], value["panels"]) == ("my_loss", panels)


# ------------------------------------------------------------------ checks
def loss_jobs(root, check):
    return Jobs(Allowed(roots=(root,)), check_loss=check)


def test_a_check_tells_its_stage_and_its_report_and_a_newer_one_ends_it(root, file):
    go, stopped = threading.Event(), []

    def check(path, *, should_stop, on_stage, **about):
        on_stage("calling the loss")
        while not go.is_set() and not should_stop():
            time.sleep(0.01)
        stopped.append(should_stop())
        return {"file": path, "task": about["task"]}

    jobs, question = loss_jobs(root, check), JobQuestion(argv=custom(file))
    first = jobs.start("loss", question)
    second = jobs.start("loss", question)
    assert (first["status"], second["number"]) == ("running", first["number"] + 1)
    wait_for(lambda: stopped == [True])
    wait_for(lambda: jobs["loss"].state()["says"] == "calling the loss")
    assert "result" not in jobs["loss"].state()
    go.set()
    wait_for(lambda: not jobs["loss"].is_running)
    assert jobs["loss"].state()["result"] == {"file": str(file), "task": "classification"}
    assert stopped == [True, False]
    jobs.close()


def test_a_check_that_breaks_says_so(root, file):
    def check(*_, **__):
        raise OSError("no space left")

    jobs = loss_jobs(root, check)
    jobs.start("loss", JobQuestion(argv=custom(file)))
    wait_for(lambda: not jobs["loss"].is_running)
    assert "no space left" in jobs["loss"].state()["errors"][""]
    jobs.close()


def wait_for(condition, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_check_needs_code_that_is_there(owner, root):
    for argv, path in (
        (["sample"], "loss.name"),
        (custom(root / "none.py"), "loss.file"),
        (["sample", "loss.name=nothing"], "loss.name"),
    ):
        answer = owner.post("/api/jobs/loss", json={"argv": argv}).json()
        assert (answer["status"], list(answer["errors"])) == ("failed", [path])


# ------------------------------------------------------------------ Train
def test_train_on_the_page_refuses_what_was_not_checked_and_says_the_way_on(tmp_path, file):
    started = []

    class Launcher:
        start = started.append

    store = RunStore(tmp_path / "runs")
    starter = RunStarter(store, Launcher, Questions(lambda _: printed({})))
    refused = starter.start(settings_with(file))
    assert (refused.run, store.ids(), started) == (None, [], [])
    assert "Press Check" in refused.errors["loss.file"]
    assert "Train without a passed check" in refused.errors["loss.file"]
    insisting = replace(settings_with(file), "loss.unchecked=true")
    assert starter.start(insisting).run in store.ids()
    assert refusals(load_preset("sample")) == {}


# ------------------------------------------------------------------ the form
def test_the_form_tells_the_editor_what_to_check_even_before_there_is_a_file(root):
    shown = values_of(load_preset("sample")) | {"loss.name": "custom"}
    state = code_state(read(shown, Allowed(roots=(root,))))
    part = {"section": "loss", "file": "", "entry": "", "keep": []}
    assert state == {"task": "classification", "argv": ["sample"], "parts": [part]}
    wrong = code_state(read(shown | {"train.epochs": "0"}, Allowed(roots=(root,))))
    assert wrong["argv"] is None
    assert code_state(read(values_of(load_preset("sample")), Allowed(roots=(root,)))) is None


def test_the_editor_hears_of_both_losses_and_keeps_what_else_is_set_there(root):
    shown = values_of(replace(load_preset("sample"), "second_loss.name=mse", "second_loss.weight=0.25"))
    changed = {"second_loss.name": "custom", "loss.name": "custom", "second_loss.unchecked@custom": True}
    state = code_state(read(shown | changed, Allowed(roots=(root,))))
    assert [part["section"] for part in state["parts"]] == ["loss", "second_loss"]
    assert state["parts"][1]["keep"] == ["second_loss.weight=0.25", "second_loss.unchecked=true"]
    assert state["argv"] == ["sample"]


def test_what_stands_in_for_code_is_the_task_s_own_loss(file):
    assert argv_of(without_code(settings_with(file))) == ["sample"]
    assert without_code(load_preset("sample")) == load_preset("sample")
