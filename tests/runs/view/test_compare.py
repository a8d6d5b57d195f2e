"""Runs side by side: only the settings that differ, and the best that each reached."""

from __future__ import annotations

import json

import pytest

from fine_tuner.base.errors import InputError
from fine_tuner.cli.comparison import compare_text
from fine_tuner.cli.main import main
from fine_tuner.config.io import replace
from fine_tuner.config.settings import Settings
from fine_tuner.evaluation.paired import compare_pair
from fine_tuner.runs.view.compare import compare_runs
from tests.runs.logs import finished, lines, started, steps


@pytest.fixture
def pair(store):
    """Two runs that differ in their rate and their optimizer; the second went on for longer."""
    made = []
    for overrides, last in ((["optim.lr=0.1"], 20), (["optim.name=SGD", "title=other"], 40)):
        run = store.create(replace(Settings(), *overrides), argv=["train"])
        run.events.write_bytes(lines([started(40), *steps(1, last), finished(last)]))
        made.append(run)
    return made


def test_only_settings_that_differ_are_listed_with_the_value_of_each_run(store, pair):
    rows = {row["path"]: row["values"] for row in compare_runs(pair, store.view_of)["settings"]}
    assert rows["optim.name"] == ["AdamW", "SGD"]
    assert rows["optim.lr"][0] == 0.1
    assert rows["optim.momentum"][0] is None, "AdamW has no momentum"
    assert all(path.startswith("optim.") for path in rows), "the title is no setting"
    assert all(a != b for a, b in rows.values())


def test_the_best_of_each_run_is_the_greatest_or_the_least_as_its_metric_wants(store, pair):
    rows = {row["key"]: row for row in compare_runs(pair, store.view_of)["metrics"]}
    assert next(iter(rows)) == "val/accuracy", "the metric that chooses the best checkpoint comes first"
    assert rows["val/accuracy"]["best"] == [1 - 1 / 20, 1 - 1 / 40]
    assert rows["val/accuracy"]["epochs"] == [2, 4]
    assert rows["val/loss"]["best"] == [1 / 20, 1 / 40]
    assert [rows[key]["kind"] for key in ("val/accuracy", "val/loss")] == ["fraction", "number"]
    assert [rows[key]["higher_is_better"] for key in ("val/accuracy", "val/loss")] == [True, False]


def test_one_run_alone_or_a_crowd_cannot_be_compared(store, pair):
    for runs in ([pair[0]], [pair[0], pair[0]], []):
        with pytest.raises(InputError, match="from 2 to 8"):
            compare_runs(runs, store.view_of)


def test_the_command_prints_the_same_as_text_and_as_json(store, pair, capsys):
    ids = [run.id for run in pair]
    assert main(["compare", *ids, "--runs", str(store.root), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    paired = {"paired": compare_pair(*pair, ("[1]", "[2]"))}
    assert found == json.loads(json.dumps(compare_runs(pair, store.view_of) | paired))
    assert main(["compare", *ids, "--runs", str(store.root)]) == 0
    assert capsys.readouterr().out.strip() == compare_text(found)
    assert main(["compare", ids[0], "--runs", str(store.root)]) == 2


def test_commands_name_tag_note_delete_and_restore_a_run(store, pair, capsys):
    run, options = pair[0], ["--runs", str(store.root)]
    assert main(["rename", run.id, "A better name", *options]) == 0
    assert main(["tag", run.id, "b", "a", *options]) == 0
    assert main(["note", run.id, "why it was made", *options, "--json"]) == 0
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (line["title"], line["tags"], line["note"]) == ("A better name", ["a", "b"], "why it was made")
    assert main(["delete", run.id, *options]) == 0
    assert [one.id for one in store.list()] == [pair[1].id]
    assert main(["restore", run.id, *options]) == 0
    assert store.summary(run.id).title == "A better name"
    assert main(["restore", run.id, *options]) == 2, "it is there already"
