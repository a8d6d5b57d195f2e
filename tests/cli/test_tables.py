"""What a person reads of ``list``: aligned columns with units; what a program reads is as it was."""

from __future__ import annotations

import doctest
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fine_tuner.cli import tables
from fine_tuner.cli.list_tables import COLUMNS
from fine_tuner.cli.listing import _LISTERS
from fine_tuner.cli.main import main
from fine_tuner.models.catalogue import list_models
from tests.cli.terminal import seen_in_terminal


def lines_of(capsys, *words: str) -> list[str]:
    assert main(list(words)) == 0
    return capsys.readouterr().out.splitlines()


def test_models_of_all_tasks_stand_in_columns_with_what_torchvision_publishes(capsys):
    head, *rows = lines_of(capsys, "list", "models")
    assert len(rows) == len(list_models("classification")) + len(list_models("segmentation"))
    for title in ("network", "family", "task", "parameters", "GFLOPs", "accuracy or mIoU", "image"):
        assert title in head
    row = next(row for row in rows if row.startswith("resnet50 "))
    assert re.split(r"\s{2,}", row)[:8] == [
        "resnet50", "resnet", "classification", "25.6 M", "4.09", "80.9 %", "98 MiB", "224 px",
    ]  # fmt: skip
    ends = {row.index(" px") for row in rows}
    assert len(ends) == 1, "numbers stand one under the other"
    assert not any(row != row.rstrip() for row in rows)
    only = lines_of(capsys, "list", "models", "--task", "segmentation")
    assert len(only) == 1 + len(list_models("segmentation"))


def test_what_lies_in_torchs_cache_is_said(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    default = next(w for m in list_models("classification") if m.name == "resnet18" for w in m.weights if w.is_default)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    assert "on this machine" not in lines_of(capsys, "list", "models")[0]
    (folder / default.file_name).touch()
    found = [line for line in lines_of(capsys, "list", "models") if line.endswith("yes")]
    assert [line.split()[0] for line in found] == ["resnet18"]


def test_runs_show_dates_and_times_that_a_person_reads(capsys, tmp_path):
    from tests.ui.hand_run import HandRun

    assert lines_of(capsys, "list", "runs", "--runs", str(tmp_path)) == [
        "There is no run yet. 'fine-tuner train sample' makes one."
    ]
    run = HandRun(tmp_path, "20261123-141502-[bold]x")
    run.begin()
    run.train(40)
    run.die()
    head, row = lines_of(capsys, "list", "runs", "--runs", str(tmp_path))
    assert {"run", "status", "begun", "epochs"} <= set(head.split())
    assert row.startswith("20261123-141502-[bold]x"), "a name is no markup"
    listed = json.loads(lines_of(capsys, "list", "runs", "--runs", str(tmp_path), "--json")[-1])["runs"]
    assert tables.date_text(listed[0]["created"]) in row
    assert f"{listed[0]['epoch']}/10" in row


@pytest.mark.parametrize("what", sorted(_LISTERS))
def test_every_kind_has_columns_of_which_some_are_filled(what, capsys, tmp_path):
    assert set(COLUMNS) == set(_LISTERS)
    assert len(lines_of(capsys, "list", what, "--runs", str(tmp_path))) >= (1 if what == "runs" else 3)


def test_the_examples_of_dates_times_and_counts_hold():
    assert doctest.testmod(tables).failed == 0
    assert doctest.testmod(tables).attempted >= 4


def test_a_terminal_gets_colour_and_its_own_width_and_a_pipe_gets_neither():
    program = "from fine_tuner.cli.main import main; main(['list', 'losses'])"
    environment = os.environ | {"COLUMNS": "60", "TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    plain = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    assert "\x1b[" not in plain.stdout
    assert max(map(len, plain.stdout.splitlines())) > 60
    text = seen_in_terminal(program, "stdout", environment)
    assert "\x1b[" in text
    assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in text.splitlines()) <= 60


def test_a_shell_completes_commands_options_presets_and_runs(capsys, tmp_path):
    main(["completion", "bash"])
    script = tmp_path / "completion.sh"
    script.write_text(capsys.readouterr().out)
    (tmp_path / "runs" / "20261123-141502-mine").mkdir(parents=True)
    if (bash := shutil.which("bash")) is None:
        pytest.skip("no bash")

    def completed(*words: str) -> set[str]:
        line = (
            f"source {script}; COMP_WORDS=({' '.join(words) or ''} ''); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1));"
            'f=$(complete -p fine-tuner | sed "s/.*-F \\([^ ]*\\).*/\\1/"); $f; printf "%s\\n" "${COMPREPLY[@]}"'
        )
        done = subprocess.run([bash, "-c", line], capture_output=True, text=True, cwd=tmp_path, check=False)
        return set(done.stdout.split())

    assert {"train", "list", "predict", "export"} <= completed("fine-tuner")
    assert {"models", "runs"} <= completed("fine-tuner", "list")
    assert "20261123-141502-mine" in completed("fine-tuner", "predict")
    assert Path(tmp_path / "completion.sh").read_text().count("fine_tuner") > 5
