"""A folder of runs that cannot be written: what changes a run says so in a sentence, what reads one works."""

from __future__ import annotations

import pytest

from fine_tuner.cli.main import main
from fine_tuner.config.io import replace
from fine_tuner.config.settings import Settings
from fine_tuner.runs.store import RunStore
from tests.runs.logs import finished, lines, started, steps

CHANGES = {
    "rename": ["A title"], "tag": ["good"], "note": ["a note"], "publish": [], "unpublish": [], "delete": [],
    "answer": ["--temperature", "2"], "resume": [],
}  # fmt: skip


@pytest.fixture
def stores(small_disk):
    """A run that has ended and one that was killed, in a folder that has become read-only."""
    store = RunStore(small_disk.path / "runs")
    settings = replace(Settings(), "devices=cpu")
    ended, killed = (store.create(settings, argv=["train"]) for _ in range(2))
    ended.events.write_bytes(lines([started(20), *steps(1, 20), finished(20)]))
    killed.events.write_bytes(lines([started(40), *steps(1, 20)]))
    small_disk.make_read_only()
    return store, ended, killed


def test_each_change_is_refused_in_a_sentence_and_nothing_is_other_than_before(stores, capsys):
    store, ended, killed = stores
    before = [line.to_json() for line in store.list()]
    for word, more in CHANGES.items():
        run = killed if word == "resume" else ended
        assert main([word, run.id, *more, "--runs", str(store.root)]) == 2, word
        said = capsys.readouterr().err
        assert "Read-only file system" in said, word
        assert str(store.root) in said, word
        assert "Traceback" not in said, word
    assert [line.to_json() for line in RunStore(store.root).list()] == before


def test_runs_are_listed_and_read(stores, capsys):
    store, ended, killed = stores
    assert main(["list", "runs", "--runs", str(store.root)]) == 0
    assert main(["compare", ended.id, killed.id, "--runs", str(store.root)]) == 0
    listed = capsys.readouterr().out
    assert ended.id in listed
    assert killed.id in listed
