"""Where an export goes: a file of the user's is never replaced unless told so, by the command or by the page."""

from __future__ import annotations

import pytest

from fine_tuner.cli.main import main
from fine_tuner.config.settings import Settings
from fine_tuner.runs.store import RunStore
from tests.runs.logs import finished, lines, started, steps

KINDS = {"yaml": "seed", "command": "fine_tuner train", "csv": "train/loss", "card": "# "}


@pytest.fixture
def run(tmp_path):
    """A completed run without a network."""
    run = RunStore(tmp_path / "runs").create(Settings(), argv=["train", "sample"])
    run.events.write_bytes(lines([started(20), *steps(1, 20), finished(20)]))
    return run


def export(run, kind, output, *more):
    return main(["export", str(run.path), "--format", kind, "--output", str(output), *more])


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_there_stays_unless_force_is_given(run, kind, tmp_path, capsys):
    mine = tmp_path / "mine"
    mine.write_text("mine")
    assert export(run, kind, mine) == 2
    assert capsys.readouterr().err == f"{mine} is there already. Give another --output, or --force to replace it.\n"
    assert mine.read_text() == "mine"
    assert export(run, kind, mine, "--force") == 0
    assert KINDS[kind] in mine.read_text()


def test_in_a_folder_too_a_file_of_the_same_name_stays(run, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    mine = tmp_path / "out" / f"{run.id}.yaml"
    mine.write_text("mine")
    assert export(run, "yaml", tmp_path / "out") == 2
    assert str(mine) in capsys.readouterr().err
    assert mine.read_text() == "mine"


def test_a_link_that_leads_nowhere_is_a_file_that_is_there(run, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    assert export(run, "yaml", link) == 2
    assert link.is_symlink()
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_of_the_users_is_never_replaced_by_a_file(run, tmp_path, capsys):
    """``--force`` with the name of a folder puts the file into it; what else lies there stays."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "other").write_text("mine")
    assert export(run, "yaml", tmp_path / "out", "--force") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"{run.id}.yaml", "other"]
    (tmp_path / "out" / f"{run.id}.yaml").unlink()
    (tmp_path / "out" / f"{run.id}.yaml").mkdir()
    (tmp_path / "out" / f"{run.id}.yaml" / "deep").write_text("mine")
    capsys.readouterr()
    assert export(run, "yaml", tmp_path / "out") == 2
    assert (tmp_path / "out" / f"{run.id}.yaml" / "deep").read_text() == "mine"


def test_on_a_disk_that_is_read_only_it_is_said_and_the_folder_of_runs_may_be_so(run, small_disk, tmp_path, capsys):
    small_disk.make_read_only()
    assert export(run, "yaml", small_disk.path / "mine") == 2
    assert "mine cannot be written (Read-only file system). Give another --output." in capsys.readouterr().err
