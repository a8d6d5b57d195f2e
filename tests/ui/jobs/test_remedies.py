"""Every remedy that a check can offer is a setting of the form, so that one click can set it."""

from __future__ import annotations

import pytest

from fine_tuner.config.io import parse
from fine_tuner.data.checks.check import _OF_KIND
from fine_tuner.ui.form.folders import Allowed, path_errors
from fine_tuner.ui.form.form import read, values_of, with_settings
from fine_tuner.ui.form.updates import answer

NOWHERE = Allowed(roots=())
MASKS = parse({"task": "segmentation", "model": {"name": "lraspp_mobilenet_v3_large"}})
REMEDIES = [remedy.settings for *_, remedies in _OF_KIND.values() for remedy in remedies] + [
    {"data.duplicates": "drop"},
    {"data.mask_values": [0, 255], "data.mask_unknown": "nearest"},
    {"loss.class_weights": "balanced"},
    {"train.batch_size": 7},
]


@pytest.mark.parametrize("settings", REMEDIES, ids=lambda settings: next(iter(settings)))
def test_remedy_sets_fields_that_read_back_as_the_settings(settings):
    values = values_of(MASKS)
    changed = with_settings(values, settings)
    assert len(changed) == len(settings)
    tree = read({**values, **changed}, NOWHERE).tree
    for path, value in settings.items():
        section, _, leaf = path.partition(".")
        assert tree[section][leaf] == value


def test_click_on_a_remedy_changes_the_field_and_the_command():
    first = answer(values_of(MASKS), {}, allowed=NOWHERE, weights_of=lambda _: ())
    stamp = first.state | {"set": {"data.mask_resize": True, "no.such": 1}}
    after = answer(values_of(MASKS), stamp, allowed=NOWHERE, weights_of=lambda _: ())
    assert after.updates["data.mask_resize"] == {"value": True}
    assert "data.mask_resize=true" in after.state["argv"]
    assert "data.mask_resize=true" in after.state["check"]


def test_task_that_the_data_asks_for_brings_loss_and_network_along():
    first = answer(values_of(parse({})), {}, allowed=NOWHERE, weights_of=lambda _: ())
    after = answer(
        values_of(parse({})), first.state | {"set": {"task": "segmentation"}}, allowed=NOWHERE, weights_of=lambda _: ()
    )
    shown = {key: update["value"] for key, update in after.updates.items() if "value" in update}
    assert shown["task"] == "segmentation"
    assert shown["loss.name"] == "dice_cross_entropy"
    assert shown["model.name"] == "lraspp_mobilenet_v3_large"


@pytest.mark.parametrize("file", ["/etc/passwd", "~/colours.txt", "../colours.txt"])
def test_a_colour_table_lies_beside_the_data_or_below_the_allowed_folders(file, tmp_path):
    allowed = Allowed(roots=(tmp_path,))
    assert "data.colour_table" in path_errors({"data": {"path": "builtin:sample", "colour_table": file}}, allowed)
    (tmp_path / "own.txt").write_text("sky,1,2,3")
    for name in ("colours.txt", str(tmp_path / "own.txt")):
        assert path_errors({"data": {"path": "builtin:sample", "colour_table": name}}, allowed) == {}
