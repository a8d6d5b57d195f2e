"""A bundle repeats the first steps of its run bit for bit, or says where and why they part."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from fine_tuner.cli.main import main
from fine_tuner.export.bundle import differences
from tests.export.conftest import PIN


@pytest.fixture
def bundle(train, classes_folder, tmp_path):
    """Of a run on pictures of its own, with augmentation; six steps."""
    data = shutil.copytree(classes_folder, tmp_path / "data")
    run = train(f"data.path={data}", *PIN, "train.epochs=3", "augment.name=standard", "seed=7")
    assert main(["export", str(run.path), "--format", "bundle", "--output", str(tmp_path / "bundle")]) == 0
    return tmp_path / "bundle"


def verdict(capsys, *words: object) -> tuple[int, dict]:
    capsys.readouterr()
    code = main(["verify", *map(str, words), "--json"])
    return code, json.loads(capsys.readouterr().out.splitlines()[-1])


def test_first_steps_are_equal_and_where_something_changed_it_is_said_where_they_part(bundle, tmp_path, capsys):
    assert {path.name for path in bundle.iterdir()} == {
        "bundle.json", "config.yaml", "run.json", "script.py", "splits",
    }  # fmt: skip
    code, found = verdict(capsys, bundle, "--steps", 4)
    assert (code, found["is_equal"], found["steps"]) == (0, True, 4)
    assert (found["pictures"], found["versions"], found["parts_at"]) == ([], {}, None)

    moved = (tmp_path / "data").rename(tmp_path / "moved")
    code, found = verdict(capsys, bundle, "--data", moved)
    assert (code, found["is_equal"], found["steps"]) == (0, True, 6)

    facts = json.loads((bundle / "bundle.json").read_text())
    victim = moved / next(iter(facts["pictures"]))
    Image.new("RGB", (32, 32), "yellow").save(victim)
    info = json.loads((bundle / "run.json").read_text())
    info["versions"]["torch"] = "1.0"
    (bundle / "run.json").write_text(json.dumps(info))
    assert main(["verify", str(bundle), "--data", str(moved)]) == 1
    said = capsys.readouterr().out
    assert re.match(r"They part at step [12]: the loss was \S+ and is \S+ here\.\n", said), "an epoch has two steps"
    assert "1 of 22 pictures is changed" in said
    assert "torch was 1.0 and is" in said


def test_what_is_no_bundle_and_a_run_without_steps_are_sentences(tmp_path, capsys):
    assert main(["verify", str(tmp_path)]) == 2
    assert "is no bundle" in capsys.readouterr().err


def test_every_kind_of_difference_is_counted():
    assert differences({"a": "1", "b": "2"}, {"a": "1", "b": "2"}) == []
    assert differences({"a": "1", "b": "2", "c": "3"}, {"b": "9", "d": "4"}) == [
        "2 of 3 pictures are missing, such as a.",
        "1 of 3 pictures is new, such as d.",
        "1 of 3 pictures is changed, such as b.",
    ]


def test_the_script_of_a_bundle_is_that_of_the_run(bundle):
    assert "def main" in Path(bundle / "script.py").read_text()
