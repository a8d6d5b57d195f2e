"""The form says exactly what the settings say, and what is wrong with it where it is wrong."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings

from fine_tuner.config.argv import argv_of, command_of, settings_of_argv
from fine_tuner.config.io import CHOICES, FIELDS, replace, to_tree
from fine_tuner.config.presets import list_presets, load_preset
from fine_tuner.config.settings import TASKS, Settings
from fine_tuner.ui.form import sections, texts
from fine_tuner.ui.form.folders import Allowed, find_below, list_folders, path_errors, resolve_roots
from fine_tuner.ui.form.form import for_task, offered, read, tree_of, values_of
from fine_tuner.ui.form.inputs import BY_KEY, INPUTS, SECTIONS, number_text, parsed_value, shown_value
from fine_tuner.ui.form.labels import label_of, placeholder_of, range_of
from tests.ui.settings_strategy import settings as any_settings

NOWHERE = Allowed(roots=())
SLOW_TO_DRAW = hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


def errors_of(settings: Settings, allowed: Allowed = NOWHERE, **shown: object) -> dict[str, str]:
    """What the form says after some of its inputs were changed; ``optim_lr`` is ``optim.lr``."""
    keys = {key.replace(".", "_").replace("@", "_").replace("#", "_"): key for key in BY_KEY}
    return dict(read(values_of(settings) | {keys[k]: v for k, v in shown.items()}, allowed).errors)


# ------------------------------------------------------------------ identity
def test_form_of_the_default_is_the_default():
    assert read(values_of(Settings()), NOWHERE).settings == Settings()


@SLOW_TO_DRAW
@given(any_settings())
def test_settings_to_form_to_settings_is_the_identity(settings):
    assert read(values_of(settings), NOWHERE).settings == settings


@SLOW_TO_DRAW
@given(any_settings())
def test_settings_to_command_to_settings_is_the_identity(settings):
    python, flag, module, command, *argv = shlex.split(command_of(argv_of(settings)))
    assert [python, flag, module, command] == ["python", "-m", "fine_tuner", "train"]
    assert settings_of_argv(argv) == settings


@pytest.mark.parametrize("name", list_presets())
def test_every_preset_is_its_own_command(name):
    assert command_of(argv_of(load_preset(name))) == f"python -m fine_tuner train {name}"


@pytest.mark.parametrize("value", [3e-4, 0.1, 1e-8, 25.0, 1e4, 0.003, 1 / 3, 5e-324, 1.7976931348623157e308, 7])
@pytest.mark.parametrize("log_scale", [True, False])
def test_a_number_reads_back_as_it_was_written(value, log_scale):
    assert float(number_text(value, log_scale=log_scale)) == value


def test_rates_are_written_as_people_write_them():
    assert [number_text(v, log_scale=True) for v in (0.001, 0.0003, 0.05, 1.0)] == ["1e-3", "3e-4", "0.05", "1"]


# ------------------------------------------------------------------ one input for each setting
def test_every_setting_has_exactly_one_input_that_writes_it():
    written = {(i.path, i.variant) for i in INPUTS if i.kind != "weights_file"}
    wanted = {(f.path, None if f.shared else f.variant) for f in FIELDS} | {(f"{c}.name", None) for c in CHOICES}
    assert written == wanted
    assert len(BY_KEY) == len(INPUTS) > 40


def test_every_input_has_an_element_of_its_own_and_a_section_with_a_title():
    assert len({i.elem_id for i in INPUTS}) == len(INPUTS)
    assert set(SECTIONS) <= set(texts.SECTION_TITLES)


def test_a_setting_nobody_thought_of_gets_a_section_of_its_own():
    assert sections.section_of("evaluation.every") == "evaluation"
    assert sections.title_of("evaluation") == "Evaluation"
    assert sections.summary("evaluation", {"evaluation": {"name": "often"}}) == "often"


def test_every_field_says_what_it_does():
    for spec in INPUTS:
        assert label_of(spec).strip(), spec.key
        assert spec.kind == "tag" or spec.knob.help.endswith("."), spec.key


def test_labels_carry_unit_and_range():
    assert label_of(BY_KEY["train.batch_size"]) == "Batch size, images (1 to 65,536)"
    assert label_of(BY_KEY["optim.lr"]) == "Learning rate (> 0)"
    assert range_of(BY_KEY["data.val_fraction"].field) == "> 0 to < 1"


def test_an_empty_number_says_what_it_means():
    assert placeholder_of(BY_KEY["optim.clip_norm"].field) == "(never)", "a meaning, not a value"
    assert placeholder_of(BY_KEY["train.epochs"].field) == "(chosen for the data)"
    assert placeholder_of(BY_KEY["data.image_size"].field) == "(empty)", "too long for the field; the help says it"
    assert placeholder_of(BY_KEY["train.accumulate"].field) is None


# ------------------------------------------------------------------ wrong values
@pytest.mark.parametrize(
    ("key", "typed", "message"),
    [
        ("optim.lr", "abc", "'abc' is not a number > 0"),
        ("optim.lr", "-1", "-1 is not a number > 0"),
        ("train.accumulate", "", "nothing is not a whole number"),
        ("optim.lr", "0,001", "'0,001' is not a number"),
        ("optim.lr", "nan", "'nan' is not a number"),
        ("optim.lr", "inf", "'inf' is not a number"),
        ("train.batch_size", "0", "0 is not a whole number"),
        ("train.batch_size", "1.5", "1.5 is not a whole number"),
        ("train.epochs", "ten", "'ten' is not a whole number"),
        ("optim.betas@AdamW", "0.9", "is not"),
        ("model.trainable", "most", "'most' is not head, all, gradual, or a number of stages"),
        ("data.path", "", "is empty"),
        ("data.path", "/nowhere/at/all", "no file or folder '/nowhere/at/all'"),
    ],
)
def test_a_wrong_value_is_told_at_its_field_and_gives_no_settings(key, typed, message):
    reading = read(values_of(Settings()) | {key: typed}, NOWHERE)
    assert reading.settings is None
    assert message in reading.errors[key]
    assert list(reading.errors) == [key]


def test_all_wrong_fields_are_told_at_once():
    assert set(errors_of(Settings(), optim_lr="abc", train_epochs="0", data_path="/x/y")) == {
        "optim.lr", "train.epochs", "data.path",
    }  # fmt: skip


@pytest.mark.parametrize("typed", ["3e-4", "0.0003", " 3E-4 ", ".0003", "+3e-4"])
def test_a_rate_may_be_typed_in_any_usual_way(typed):
    assert read(values_of(Settings()) | {"optim.lr": typed}, NOWHERE).settings == replace(Settings(), "optim.lr=3e-4")


@pytest.mark.parametrize("typed", ["0.9, 0.99", "0.9 0.99", "(0.9, 0.99)", "[0.9,0.99]", "0.9; 0.99"])
def test_a_list_may_be_typed_in_any_usual_way(typed):
    reading = read(values_of(Settings()) | {"optim.betas@AdamW": typed}, NOWHERE)
    assert reading.settings == replace(Settings(), "optim.betas=[0.9, 0.99]")


def test_a_wrong_value_in_a_field_without_effect_is_forgiven():
    values = values_of(Settings()) | {"optim.momentum@SGD": "x", "model.head_epochs": "x"}
    assert read(values, NOWHERE).settings == Settings()


def test_what_the_form_reads_is_what_its_widgets_show():
    values = values_of(Settings())
    for spec in INPUTS:
        if spec.field is not None and spec.kind not in ("weights", "weights_file"):
            assert shown_value(spec, parsed_value(spec, values[spec.key])) == values[spec.key], spec.key
    assert tree_of(values)["optim"]["lr"] == 1e-3


# ------------------------------------------------------------------ what is offered
@pytest.mark.parametrize("task", TASKS)
def test_only_losses_that_mean_something_for_the_task_are_offered(task):
    spec = BY_KEY["loss.name"]
    tags = [tag for _, tag in offered(spec, task, NOWHERE)]
    assert tags
    assert {t for t in tags if task not in spec.choice.variants[t].tasks} == set()
    assert len(tags) < len(spec.choice.variants)


def test_a_change_of_task_moves_the_loss_to_one_that_means_something():
    values = values_of(Settings()) | {"task": "regression"}
    values |= for_task(values, NOWHERE, before="classification")
    settings = read(values, NOWHERE).settings
    assert settings is not None
    assert "regression" in settings.loss.tasks


def test_a_change_of_task_takes_its_own_loss_and_a_network_that_serves_it():
    values = values_of(Settings()) | {"model.weights": "IMAGENET1K_V2"}
    there = {**values, "task": "segmentation"}
    there |= for_task(there, NOWHERE, before="classification")
    assert (there["loss.name"], there["model.name"]) == ("dice_cross_entropy", "lraspp_mobilenet_v3_large")
    assert there["model.weights"] == "default"
    back = {**there, "task": "classification"}
    back |= for_task(back, NOWHERE, before="segmentation")
    assert (back["loss.name"], back["model.name"]) == ("cross_entropy", "mobilenet_v2")
    focal = {**values, "task": "segmentation", "loss.name": "focal"}
    assert "loss.name" not in for_task(focal, NOWHERE, before="classification")


def test_code_of_the_users_own_is_offered_and_accepted_only_where_it_is_allowed():
    forbidden = Allowed(roots=(), code=False)
    assert "custom" in [tag for _, tag in offered(BY_KEY["loss.name"], "classification", NOWHERE)]
    assert "custom" not in [tag for _, tag in offered(BY_KEY["loss.name"], "classification", forbidden)]
    assert "--allow-code" in errors_of(Settings(), forbidden, loss_name="custom")["loss.name"]


# ------------------------------------------------------------------ weights from a file
def test_weights_from_a_file_are_one_setting_in_two_inputs(tmp_path):
    file = tmp_path / "w.safetensors"
    file.touch()
    settings = replace(Settings(), f"model.weights={file}")
    values = values_of(settings)
    assert values["model.weights"] == "file"
    assert values["model.weights#file"] == str(file)
    assert read(values, Allowed(roots=(tmp_path,))).settings == settings
    assert errors_of(settings) == {"model.weights#file": errors_of(settings)["model.weights#file"]}


def test_from_a_file_without_a_file_is_told_at_the_file():
    assert "is empty" in errors_of(Settings(), model_weights="file")["model.weights#file"]


# ------------------------------------------------------------------ folders
def test_a_path_must_lie_below_a_root_also_through_links_and_dots(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "in").mkdir(parents=True)
    outside.mkdir()
    (root / "link").symlink_to(outside)
    (root / "good").symlink_to(root / "in")
    roots = resolve_roots([root])
    assert find_below(str(root / "in"), roots) == root / "in"
    assert find_below(str(root / "good"), roots) == root / "in"
    for bad in (outside, root / "link", root / "in" / ".." / ".." / "outside", root / "none", "\0", "~nobody-here/x"):
        assert find_below(str(bad), roots) is None, bad


@pytest.mark.parametrize("written", ["'{}'", '"{}"', "\u201c{}\u201d", " {} ", "file://{}", "escaped"])
def test_a_path_is_taken_as_people_paste_it(tmp_path, written):
    (tmp_path / "my set").mkdir()
    escaped = str(tmp_path / "my set").replace(" ", "\\ ")
    shown = {"data.path": escaped if written == "escaped" else written.format(tmp_path / "my set")}
    reading = read(values_of(Settings()) | shown, Allowed(roots=resolve_roots([tmp_path])))
    assert "data.path" not in reading.errors
    assert reading.tree["data"]["path"] == str(tmp_path / "my set")


@pytest.mark.skipif(os.name == "nt", reason="such a path means something there")
@pytest.mark.parametrize("typed", ["C:\\data\\set", '"D:/data/set"', "\\\\server\\share"])
def test_a_path_of_windows_is_named_as_such_elsewhere(typed):
    assert (
        "is a path of Windows, and this machine runs another system"
        in errors_of(Settings(), data_path=typed)["data.path"]
    )


def test_missing_and_forbidden_look_the_same(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret").mkdir()
    allowed = Allowed(roots=(root,))
    there = errors_of(Settings(), allowed, data_path=str(tmp_path / "secret"))["data.path"]
    not_there = errors_of(Settings(), allowed, data_path=str(tmp_path / "nobody"))["data.path"]
    assert there.replace("secret", "nobody") == not_there


def test_browsing_shows_folders_only_and_never_leads_out(tmp_path):
    root = tmp_path / "root"
    for name in ("b", "A", ".hidden"):
        (root / name).mkdir(parents=True)
    (root / "file.txt").touch()
    (root / "out").symlink_to(tmp_path)
    assert list_folders(str(root), (root,)) == (str(root), ["A", "b"])
    assert list_folders(str(tmp_path), (root,)) is None
    assert list_folders(str(root / "file.txt"), (root,)) is None


@pytest.mark.parametrize("text", ["torchvision:CIFAR10@{outside}", "{outside}/data.zip", "{outside}/labels.csv"])
def test_no_spelling_of_the_data_leads_out_of_the_roots(tmp_path, text):
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "data.zip").touch()
    (outside / "labels.csv").touch()
    tree = to_tree(Settings()) | {"data": {"path": text.format(outside=outside)}}
    allowed = Allowed(roots=resolve_roots([root]))
    assert "data.path" in path_errors(tree, allowed)
    assert path_errors(tree, Allowed(roots=resolve_roots([outside]))) == {}


def test_data_that_the_app_makes_or_downloads_into_its_cache_needs_no_root(tmp_path):
    for name in ("builtin:sample", "torchvision:CIFAR10"):
        tree = to_tree(Settings()) | {"data": {"path": name}}
        assert path_errors(tree, Allowed(roots=())) == {}


def test_roots_that_do_not_exist_are_left_out(tmp_path):
    assert resolve_roots([tmp_path, tmp_path / "none", tmp_path / "."]) == (tmp_path.resolve(),)
    assert resolve_roots([Path("~")])


def test_the_preset_that_a_form_starts_from_stays_whatever_is_changed():
    masks = load_preset("sample-masks")
    assert argv_of(masks, start="default")[0] == "default"
    assert settings_of_argv(argv_of(masks, start="default")) == masks
    assert argv_of(masks, start="no such preset") == argv_of(masks) == ["sample-masks"]
