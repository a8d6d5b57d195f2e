"""How a run is to answer is kept with it, and what is damaged or odd counts as trained."""

from __future__ import annotations

import json

import pytest

from fine_tuner.cli.main import main
from fine_tuner.runs.answering import Answering, choose_answering, read_answering
from fine_tuner.runs.layout import RunFolder


def test_a_choice_is_kept_and_the_rest_stays(tmp_path):
    run = RunFolder(tmp_path)
    assert read_answering(run) == Answering()
    choose_answering(run, temperature=1.5)
    choose_answering(run, thresholds={"cat": 0.3, "dog": 0.7})
    choose_answering(run, thresholds={"dog": 0.5})
    assert read_answering(run) == Answering(1.5, {"cat": 0.3})
    choose_answering(run, temperature=1.0)
    assert read_answering(run).temperature == 1


@pytest.mark.parametrize("text", ["{", "[]", '{"temperature": "hot"}', '{"temperature": -1}', '{"thresholds": [1]}'])
def test_what_is_damaged_is_as_trained(tmp_path, text):
    (tmp_path / "answering.json").write_text(text)
    assert read_answering(RunFolder(tmp_path)) == Answering()


def test_the_command_chooses_and_says_what_is_wrong(tmp_path, capsys):
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text("{}")
    figures = run / "results" / "val-best" / "figures.json"
    assert main(["answer", str(run), "--temperature", "auto"]) == 2
    assert "have no temperature" in capsys.readouterr().err
    figures.parent.mkdir(parents=True)
    figures.write_text(json.dumps({"calibration": {"temperature": 1.25}}))
    assert main(["answer", str(run), "--temperature", "auto", "--threshold", "a=b=0.2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"run": "run", "temperature": 1.25, "thresholds": {"a=b": 0.2}}
    assert main(["answer", str(run), "--threshold", "cat"]) == 2
    assert "is no number from 0 to 1" in capsys.readouterr().err
