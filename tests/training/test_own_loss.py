"""A loss of one's own on the command line: its check on the user's data, what Train refuses, what a run keeps."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from fine_tuner.cli.main import main
from fine_tuner.config.io import read_tree, replace
from fine_tuner.config.presets import load_preset
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.log.events import RunStarted, read_events
from fine_tuner.runs.store import RunStore

from .conftest import fine_tuner, run_folder

GOOD = """\
from torch.nn import functional as F


def my_loss(output, target):
    return F.cross_entropy(output, target)
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No check of another test counts."""
    monkeypatch.setenv("FINE_TUNER_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def code(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(GOOD)
    return path


def custom(code: Path, section: str = "loss") -> tuple[str, str]:
    return f"{section}.name=custom", f"{section}.file={code}"


def test_a_check_takes_the_user_s_batch_and_network(tiny_settings: tuple[str, ...], code: Path) -> None:
    done = fine_tuner("check-loss", str(code), "--config", "default", *tiny_settings, "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    report = json.loads(done.stdout)
    assert report["batch"]["origin"] == "your data and network"
    assert (report["batch"]["images"], report["batch"]["output"]) == ([4, 3, 32, 32], [4, 2])
    assert report["parameters"]["reached"] == report["parameters"]["trainable"] > 100
    assert set(report["values"]) == {"fp32", "bf16", "fp16"}


def test_a_check_that_fails_is_code_2_and_names_the_line(tiny_settings: tuple[str, ...], code: Path) -> None:
    code.write_text(GOOD.rstrip() + ".detach()\n")
    done = fine_tuner("check-loss", str(code), "--config", "default", *tiny_settings)
    assert done.returncode == 2
    assert "mine.py, line 5" in done.stdout


def test_train_refuses_code_until_it_passed_its_check_and_after_every_change(
    tiny_settings: tuple[str, ...], code: Path, tmp_path: Path
) -> None:
    train = ("train", "default", *tiny_settings, "train.epochs=1", *custom(code), "--runs", str(tmp_path / "runs"))
    refused = fine_tuner(*train)
    assert refused.returncode == 2
    for part in ("mine.py was not checked for classification", f"check-loss {code}", "loss.unchecked=true"):
        assert part in refused.stderr
    assert not (tmp_path / "runs").exists()

    assert fine_tuner("check-loss", str(code)).returncode == 0
    done = fine_tuner(*train)
    assert done.returncode == 0, done.stderr
    run = RunFolder(run_folder(done.stdout))
    (started,) = (e.payload for e in read_events(run.events)[0] if isinstance(e.payload, RunStarted))
    sha256 = hashlib.sha256(GOOD.encode()).hexdigest()
    assert started.facts["loss_code"]["loss"] == {
        "file": "mine.py", "entry": "", "sha256": sha256, "kept": "code/loss.py",
        "inputs": "as_is",
    }  # fmt: skip
    assert (run.code / "loss.py").read_text() == GOOD
    assert any(sha256 in notice for notice in started.facts["notices"])

    code.write_text(GOOD + "# changed\n")
    assert fine_tuner(*train).returncode == 2
    clone = fine_tuner(
        "train", str(run.config), "--runs", str(tmp_path / "clones")
    )  # what trained, not what is there now
    assert clone.returncode == 0, clone.stderr
    assert (RunFolder(run_folder(clone.stdout)).code / "loss.py").read_text() == GOOD
    assert read_tree(run.config)["loss"]["file"] == str(code)


def test_code_that_came_with_a_run_s_folder_is_run_by_no_command(
    tiny_settings: tuple[str, ...], code: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As somebody who can write to the folder of runs would leave it: settings that insist, and code."""
    run = RunStore(tmp_path / "runs").create(
        replace(load_preset("default"), *tiny_settings, *custom(code), "loss.unchecked=true"), argv=["train"]
    )
    run.code.mkdir()
    (run.code / "loss.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n{GOOD}")
    for command in (
        ("train", str(run.path)), ("resume", str(run.path)), ("clone", str(run.path)),
        ("train", str(run.config)), ("find-lr", str(run.config)), ("plan", str(run.config)),
        ("find-batch", str(run.config)), ("compare-precisions", str(run.config)),
    ):  # fmt: skip
        assert main([*command, "--runs", str(tmp_path / "others")]) == 2, command
        said = capsys.readouterr().err
        assert "loss.file" in said
        assert "check" in said
    assert not (tmp_path / "ran").exists()
    assert not run.events.exists()
    assert not (tmp_path / "others").exists()


def test_a_second_loss_is_refused_in_the_same_way(tiny_settings: tuple[str, ...], code: Path, tmp_path: Path) -> None:
    done = fine_tuner(
        "train", "default", *tiny_settings, *custom(code, "second_loss"), "--runs", str(tmp_path / "runs")
    )
    assert done.returncode == 2
    assert "second_loss.unchecked=true" in done.stderr


def test_the_curve_of_a_loss_is_plain_numbers() -> None:
    done = fine_tuner("loss-curve", "sample", "loss.name=focal", "loss.gamma=0", "--json")
    focal = json.loads(done.stdout)
    cross_entropy = json.loads(fine_tuner("loss-curve", "sample", "--json").stdout)
    (one,), (other,) = focal["panels"], cross_entropy["panels"]
    assert one["value"] == pytest.approx(other["value"], abs=1e-6)
    assert "arxiv.org" in focal["source"]


def test_the_curve_of_one_s_own_code_is_not_computed_outside_its_check(code: Path) -> None:
    done = fine_tuner("loss-curve", "sample", *custom(code), "--json")
    assert done.returncode == 2
    assert "part of its check" in done.stderr
