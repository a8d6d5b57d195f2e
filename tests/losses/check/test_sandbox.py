"""Whatever a user's loss does to its process ends as a message, and nothing is left of it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from fine_tuner.config.sections.loss_inputs import forms_of
from fine_tuner.config.sections.losses import CustomLoss
from fine_tuner.losses.check.batch import CheckBatch, synthetic
from fine_tuner.losses.check.sandbox import SandboxLimits, run_check
from fine_tuner.losses.verdicts import recall, remember, why_refused
from tests.losses.check.test_wrong_losses import assert_says
from tests.losses.check.wrong_losses import WRONG, Wrong

LETHAL = [w for w in WRONG if w.is_lethal]
LIMITS = SandboxLimits(memory_mib=2048)
MSE = "def my_loss(output, target):\n    return (output - target).square().mean()\n"
PRYING = (
    """
import os, subprocess, sys
print("SECRETS", [k for k in os.environ if "TOKEN" in k or "KEY" in k])
print("HOME", os.environ["HOME"] == os.getcwd())
print("SESSION", os.getsid(0) == os.getpid())
print("INPUT", repr(sys.stdin.read()))
open("left_behind.txt", "w").write("x")
print("FILES", os.listdir("."))
print("CHILD", subprocess.Popen(["sleep", "1000"]).pid)
"""
    + MSE
)


def provide(outputs: int) -> CheckBatch:
    """A batch as an application would provide it."""
    if outputs < 0:
        raise ValueError("a network needs at least one output")
    return synthetic("regression", outputs)


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """All checks that need a process of their own, two at a time."""
    folder = tmp_path_factory.mktemp("losses")
    provider = {"task": "regression", "provider": "tests.losses.check.test_sandbox:provide"}
    jobs: dict[str, dict[str, Any]] = {w.name: {"text": w.text, "task": w.task} for w in LETHAL}
    jobs["endless loop"]["limits"] = SandboxLimits(seconds=1)
    jobs["prying"] = {"text": PRYING, "arguments": {"outputs": 2}} | provider
    jobs["not provided"] = {"text": MSE, "arguments": {"outputs": -1}} | provider

    def check(item: tuple[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
        name, job = item
        file = folder / name.replace(" ", "_") / "my_code.py"
        file.parent.mkdir()
        file.write_text(job.pop("text"))
        return name, run_check(file, **{"limits": LIMITS} | job)

    before = os.environ.get("MY_TOKEN")
    os.environ["MY_TOKEN"] = "hush"
    try:
        with ThreadPoolExecutor(2) as pool:
            return dict(pool.map(check, jobs.items()))
    finally:
        os.environ.pop("MY_TOKEN") if before is None else os.environ.update(MY_TOKEN=before)


@pytest.mark.parametrize("wrong", LETHAL, ids=lambda w: w.name)
def test_what_would_end_the_app_ends_as_a_message(wrong: Wrong, reports: dict[str, dict[str, Any]]) -> None:
    report = reports[wrong.name]
    report["findings"] = [f for f in report["findings"] if f["kind"] != "prints" or f["level"] == wrong.level]
    assert_says(report, wrong)
    assert report["seconds"] < LIMITS.setup_seconds + LIMITS.passed_seconds
    assert json.loads(json.dumps(report, allow_nan=False)) == report


HOSTILE = {
    "exit": ("os._exit(7)", "exits", "exit code 7", {}),
    "loop": ("while True: pass", "time", "did not end within 1 s", {"seconds": 1}),
    "sleep": ("time.sleep(1000)", "time", "did not end within 1 s", {"passed_seconds": 1}),
    "memory": ("output.new_ones(10 * 2**28).sum()", "memory", "10.0 GiB", {}),
}
FORMS = [(form, 3) for form in forms_of("segmentation", 3)] + [
    (form, 2) for form in forms_of("segmentation", 2) if form.startswith("foreground")
]


@pytest.mark.slow
@pytest.mark.parametrize("act", HOSTILE)
@pytest.mark.parametrize(("form", "classes"), FORMS)
def test_a_hostile_loss_ends_as_a_message_under_each_form(form: str, classes: int, act: str, tmp_path: Path) -> None:
    what, kind, says, limits = HOSTILE[act]
    file = tmp_path / "my_code.py"
    file.write_text(f"import os, time\ndef my_loss(output, target):\n    {what}\n    return output.mean()\n")
    about = {"task": "segmentation", "num_outputs": classes, "given": {"inputs": form}}
    report = run_check(file, **about, limits=SandboxLimits(memory_mib=2048, **limits))
    error = report["findings"][0]
    assert (error["kind"], error["level"], error["line"]) == (kind, "error", 3)
    assert says in error["text"]
    assert not report["ok"]


def test_the_child_has_its_own_folder_session_and_no_secrets(reports: dict[str, dict[str, Any]]) -> None:
    report = reports["prying"]
    assert report["ok"]
    for line in ("SECRETS []", "HOME True", "SESSION True", "INPUT ''", "FILES ['left_behind.txt']"):
        assert line in report["printed"]
    (finding,) = report["findings"]
    assert (finding["kind"], finding["level"], finding["line"]) == ("prints", "note", 3)


@pytest.mark.parametrize("name", ["prying", "os._exit"])
def test_processes_that_the_code_started_are_ended(name: str, reports: dict[str, dict[str, Any]]) -> None:
    pid = int(reports[name]["printed"].split("CHILD ")[1].split()[0])
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_the_application_provides_data_and_network(reports: dict[str, dict[str, Any]]) -> None:
    assert reports["prying"]["batch"]["output"] == [8, 2]
    (finding,) = reports["not provided"]["findings"]
    assert finding["kind"] == "setup"
    assert "a network needs at least one output" in finding["text"]


def test_the_check_can_be_stopped(tmp_path: Path) -> None:
    file = tmp_path / "my_code.py"
    file.write_text(MSE)
    began = time.monotonic()
    report = run_check(file, task="regression", should_stop=lambda: True)
    assert [f["kind"] for f in report["findings"]] == ["stopped"]
    assert time.monotonic() - began < 2


def test_a_missing_file_starts_no_process() -> None:
    report = run_check("/nowhere/loss.py", task="regression")
    assert [f["kind"] for f in report["findings"]] == ["missing"]
    assert not report["ok"]


def test_the_page_side_imports_no_torch() -> None:
    code = (
        "import sys; import fine_tuner.losses.check.sandbox, fine_tuner.losses.templates, "
        "fine_tuner.losses.verdicts, "
        "fine_tuner.config.settings; sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# ------------------------------------------------------------------------ verdicts
def test_train_refuses_until_this_very_code_passed(tmp_path: Path) -> None:
    file, verdicts = tmp_path / "my_code.py", tmp_path / "verdicts"
    file.write_text(MSE)
    loss = CustomLoss(file=str(file))
    about = {"task": "regression", "folder": verdicts}
    assert "was not checked for regression" in (why_refused(loss, **about) or "")

    report = {
        "ok": False,
        "sha256": _hash(MSE),
        "task": "regression",
        "findings": [{"level": "error", "text": "it fails."}],
    }
    remember(verdicts, report, entry="")
    assert "failed its check: it fails." in (why_refused(loss, **about) or "")
    assert why_refused(CustomLoss(file=str(file), unchecked=True), **about) is None

    remember(verdicts, report | {"ok": True, "findings": []}, entry="")
    assert why_refused(loss, **about) is None
    assert recall(verdicts, sha256=_hash(MSE), task="regression", entry="other") is None
    assert "was not checked for multilabel" in (why_refused(loss, task="multilabel", folder=verdicts) or "")

    file.write_text(MSE + "\n")
    assert "since its last change" in (why_refused(loss, **about) or "")
    assert "No such file" in (why_refused(CustomLoss(file="/nowhere/x.py", unchecked=True), **about) or "")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
