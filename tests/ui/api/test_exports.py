"""A run as a file on the page: what ``export`` writes, with a name to save it under."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from fastapi import FastAPI
from fastapi.testclient import TestClient

from fine_tuner.cli.main import main
from fine_tuner.config.io import parse, read_tree, replace
from fine_tuner.config.presets import load_preset
from fine_tuner.launch.assistant import Reply
from fine_tuner.runs.log.events import EventWriter, Mark
from fine_tuner.runs.store import RunStore
from fine_tuner.ui.api.exports import KINDS, ExportRoutes
from fine_tuner.ui.jobs.questions import Questions

SETTINGS = replace(load_preset("sample"), "schedule.name=StepLR", "seed=5")


@pytest.fixture
def run(tmp_path: Path):
    """A run with two changes in its log."""
    run = RunStore(tmp_path / "runs").create(SETTINGS, argv=["train", "sample"])
    writer = EventWriter(run.events)
    writer.write(Mark(step=7, label="rate × 0.5", changes={"lr_factor": 0.5}))
    writer.write(Mark(step=9, label="unfreeze"))
    writer.write(Mark(step=12, label="3 epochs", changes={"train.epochs": 3}))
    writer.close()
    return run


@pytest.fixture
def client(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> TestClient:
    """The route, with the command line in this process."""

    def ask(argv) -> Reply:
        code = main(argv)
        printed = capsys.readouterr()
        return Reply(code, printed.out, printed.err)

    app = FastAPI()
    app.include_router(ExportRoutes(RunStore(tmp_path / "runs"), Questions(ask)).router())
    return TestClient(app)


def test_settings_are_handed_over_with_the_changes_and_a_name(client, run, tmp_path):
    answer = client.get(f"/api/runs/{run.id}/export/yaml")
    assert answer.headers["content-disposition"] == f'attachment; filename="{run.id}.yaml"'
    changed = "schedule.changes=['7:lr_factor=0.5', '12:train.epochs=3']"
    path = tmp_path / "again.yaml"
    path.write_text(answer.text)
    assert parse(read_tree(path)) == replace(SETTINGS, changed)
    assert "# schedule.changes holds what was changed" in answer.text
    assert yaml.safe_load(answer.text)["schedule"]["changes"] == ["7:lr_factor=0.5", "12:train.epochs=3"]
    assert not (run.path / "exports").exists()


def test_what_the_page_is_given_replaces_no_file(client, run, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (run.path / "exports").mkdir()
    for folder in (run.path / "exports", tmp_path / "here", tmp_path):
        (folder / f"{run.id}.yaml").write_text("mine")
    for query in ("", f"?output={tmp_path}", "?force=true"):  # the route takes nothing but run and format
        assert "schedule:" in client.get(f"/api/runs/{run.id}/export/yaml{query}").text
    for folder in (run.path / "exports", tmp_path / "here", tmp_path):
        assert [path.read_text() for path in folder.iterdir() if path.is_file()] == ["mine"]


def test_a_command_is_one_line_below_its_comment(client, run):
    comment, line = client.get(f"/api/runs/{run.id}/export/command").text.splitlines()
    assert comment.startswith(f"# The run {run.id}")
    assert line.startswith("python -m fine_tuner train default ")
    assert "seed=5" in line
    assert "lr_factor=0.5" in line


def test_what_cannot_be_written_is_said_in_words(client, run):
    answer = client.get(f"/api/runs/{run.id}/export/script")
    assert answer.status_code == 409
    assert "has not read its data yet" in answer.json()["detail"]


@pytest.mark.parametrize("kind", ["onnx", "html"])
def test_a_network_is_not_offered_before_there_are_weights(client, run, kind):
    answer = client.get(f"/api/runs/{run.id}/export/{kind}")
    assert answer.status_code == 409
    assert "no weights yet" in answer.json()["detail"]


@pytest.mark.parametrize("address", ["none/export/yaml", "{run}/export/tensorboard", "..%2F..%2Fetc/export/yaml"])
def test_there_is_nothing_else(client, run, address):
    assert client.get(f"/api/runs/{address.format(run=run.id)}").status_code == 404
    assert set(KINDS) == {"yaml", "command", "script", "onnx", "html", "csv"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("120", "'120' is not STEP:SETTING=VALUE, such as 120:lr_factor=0.5"),
        ("5:optim.name=2", "'optim.name' in '5:optim.name=2' cannot be changed while training"),
        ("5:lr_factor=0", "'0' in '5:lr_factor=0' is not a number above 0"),
        ("5:train.epochs=2.5", "'2.5' in '5:train.epochs=2.5' is not a whole number of epochs"),
        ("5:optim.lr=fast", "'fast' in '5:optim.lr=fast' is not a number above 0"),
    ],
)
def test_a_change_that_makes_no_sense_is_told_at_its_field(capsys, text, problem):
    assert main(["plan", "sample", f"schedule.changes=['{text}']", "--json"]) == 2
    assert f"schedule.changes: {problem}" in capsys.readouterr().err


def test_an_export_says_what_it_wrote_and_refuses_other_formats(run, tmp_path, capsys):
    assert main(["export", str(run.path), "--format", "yaml"]) == 0
    assert capsys.readouterr().out.strip() == str(run.path / "exports" / f"{run.id}.yaml")
    assert main(["export", str(run.path), "--format", "zip"]) == 2
    assert "Use one of safetensors, yaml, command, script" in capsys.readouterr().err
    assert main(["export", str(run.path), "--format", "safetensors"]) == 2
    assert "no weights yet" in capsys.readouterr().err
