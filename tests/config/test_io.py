"""Settings survive every way in and out, and every wrong one is named with its dotted path."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fine_tuner.base.errors import ConfigError
from fine_tuner.config.io import (
    CHOICES,
    FIELDS,
    apply_overrides,
    dump_yaml,
    parse,
    read_tree,
    replace,
    to_tree,
)
from fine_tuner.config.knobs import Field
from fine_tuner.config.presets import describe_preset, list_presets, load_preset, nearest_preset
from fine_tuner.config.settings import Settings

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Zl", "Zp")), max_size=20)


def values_for(spec: Field) -> st.SearchStrategy:
    """Valid values of one setting, made from its own type and bounds."""
    low = spec.bounds.get("ge", spec.bounds.get("gt"))
    high = spec.bounds.get("le", spec.bounds.get("lt"))
    if spec.path == "model.trainable":
        value = st.sampled_from(["head", "all", "gradual", 1, 3])
    elif spec.choices:
        value = st.sampled_from(spec.choices)
    elif spec.type is bool:
        value = st.booleans()
    elif spec.type is int:
        value = st.integers(int(low or 0), int(high if high is not None else 10_000))
    elif spec.type is float:
        value = st.floats(
            low, high if high is not None else 1e6,
            exclude_min="gt" in spec.bounds, exclude_max="lt" in spec.bounds, allow_nan=False, allow_subnormal=False,
        )  # fmt: skip
    elif spec.type is tuple:
        value = st.just(spec.default)
    elif spec.path == "title":
        value = TEXT
    else:
        value = TEXT | st.sampled_from(
            ["/a folder/with space", "C:\\data", "it's", '"quoted"', "a: b", "[1, 2]", "null", "3e-4"]
        )
    return st.none() | value if spec.optional else value


@st.composite
def trees(draw: st.DrawFn) -> dict:
    """A nested mapping of valid settings: some variant of each choice, some of its fields set."""
    items: dict = {"task": draw(st.sampled_from(["classification", "segmentation", "regression", "multilabel"]))}
    tags = {}
    for path, choice in CHOICES.items():
        fitting = [t for t, cls in choice.variants.items() if items["task"] in getattr(cls, "tasks", (items["task"],))]
        tags[path] = draw(st.sampled_from(fitting))
        items[path] = {"name": tags[path]}
    for spec in FIELDS:
        section = spec.path.rpartition(".")[0]
        if spec.path == "task" or (spec.variant is not None and tags[section] != spec.variant) or draw(st.booleans()):
            continue
        node = items
        for key in spec.path.split(".")[:-1]:
            node = node.setdefault(key, {})
        node[spec.path.rpartition(".")[2]] = draw(values_for(spec))
    return items


RELAXED = hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


def valid(tree: dict) -> Settings | None:
    """The settings, or None where fields that are each valid do not go together."""
    try:
        return parse(tree)
    except ConfigError:
        return None


@RELAXED
@given(trees())
def test_settings_to_yaml_to_settings_is_the_identity(tmp_path_factory: pytest.TempPathFactory, tree: dict) -> None:
    settings = valid(tree)
    if settings is None:
        return
    path = tmp_path_factory.mktemp("config") / "config.yaml"
    path.write_text(dump_yaml(settings), encoding="utf-8")
    assert parse(read_tree(path)) == settings


@RELAXED
@given(trees())
def test_settings_to_command_line_to_settings_is_the_identity(tree: dict) -> None:
    settings = valid(tree)
    if settings is None:
        return
    preset, overrides = nearest_preset(settings)
    words = shlex.split(shlex.join(["train", preset, *overrides]))
    assert parse(apply_overrides(to_tree(load_preset(words[1])), words[2:])) == settings


def test_most_generated_settings_are_valid() -> None:
    """Guards the two identities above against passing on nothing."""
    seen: list[bool] = []

    @hypothesis_settings(RELAXED, max_examples=40, database=None, derandomize=True)
    @given(trees())
    def count(tree: dict) -> None:
        seen.append(valid(tree) is not None)

    count()
    assert sum(seen) > len(seen) / 2


WRONG = [
    ({"optim": {"lrr": 1}}, "optim.lrr", "Did you mean 'optim.lr'"),
    ({"optim": {"lr": "abc"}}, "optim.lr", "'abc' is not a number > 0"),
    ({"optim": {"lr": 0}}, "optim.lr", "0 is not a number > 0"),
    ({"optim": {"lr": float("nan")}}, "optim.lr", "nan is not a number"),
    ({"optim": {"lr": float("inf")}}, "optim.lr", "inf is not a number"),
    ({"train": {"batch_size": 0}}, "train.batch_size", "0 is not a whole number >= 1"),
    ({"train": {"epochs": 2.5}}, "train.epochs", "2.5 is not a whole number"),
    ({"train": 5}, "train", "5 is not a group of settings"),
    ({"trian": {}}, "trian", "Did you mean 'train'"),
    ({"loss": {"name": "focl"}}, "loss.name", "unknown loss 'focl'"),
    ({"loss": 5}, "loss.name", "unknown loss 5"),
    ({"loss": {"name": "mse", "label_smoothing": 0.1}}, "loss.label_smoothing", "belongs to cross_entropy"),
    ({"optim": {"name": "sgd", "momentum": 2}}, "optim.momentum", "2 is not a number >= 0 and < 1"),
    ({"model": {"trainable": "tail"}}, "model.trainable", "head, all, gradual, or a number"),
    ({"model": {"trainable": 0}}, "model.trainable", "0 is not"),
    ({"task": "regression", "loss": {"name": "cross_entropy"}}, "loss.name", "has no meaning for regression"),
    ({"precision": {"dtype": "half"}}, "precision.dtype", "one of auto, fp32, fp16, bf16"),
]


@pytest.mark.parametrize(
    ("tree", "path", "message"), WRONG, ids=[f"{path}-{i}" for i, (_, path, _) in enumerate(WRONG)]
)
def test_wrong_settings_are_named_by_path_with_what_to_do(tree: dict, path: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(tree)
    assert list(caught.value.fields) == [path]
    assert message in caught.value.fields[path]


def test_every_wrong_field_is_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse({"optim": {"lr": "abc"}, "train": {"epochs": 0}})
    assert set(caught.value.fields) == {"optim.lr", "train.epochs"}


@pytest.mark.parametrize("item", ["optim.lr", "=3", "optim.lr.x=3"])
def test_malformed_override_is_refused(item: str) -> None:
    with pytest.raises(ConfigError, match=r"section\.key=value|unknown setting"):
        apply_overrides(to_tree(Settings()), [item])


def test_choosing_another_optimizer_keeps_what_both_have() -> None:
    changed = replace(Settings(), "optim.lr=0.5", "optim.name=SGD", "optim.momentum=0.8")
    assert (changed.optim.name, changed.optim.lr, changed.optim.momentum) == ("SGD", 0.5, 0.8)


def test_names_are_found_whatever_their_case() -> None:
    assert replace(Settings(), "optim.name=adamw", "schedule.name=one_cycle_lr").schedule.name == "OneCycleLR"


def test_numbers_in_yaml_1_2_spelling(tmp_path: pytest.TempPathFactory) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("optim: {lr: 3e-4}\ntitle: no\n")
    settings = parse(read_tree(path))
    assert settings.optim.lr == 3e-4
    assert settings.title == "no"


@pytest.mark.parametrize(("text", "message"), [("[1, 2]", "holds list, not settings"), ("a: [", "is not YAML")])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: pytest.TempPathFactory, text: str, message: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_tree(path)


def test_yaml_tags_that_make_objects_are_refused(tmp_path: pytest.TempPathFactory) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("title: !!python/object/apply:os.system ['echo pwned']\n")
    with pytest.raises(ConfigError, match="is not YAML"):
        read_tree(path)


def test_every_preset_parses_is_described_and_is_its_own_nearest() -> None:
    presets = list_presets()
    assert {"sample", "sample-pretrained", "default"} <= set(presets)
    for name in presets:
        assert len(describe_preset(name)) > 30
        assert nearest_preset(load_preset(name)) == (name, [])


def test_unknown_preset_suggests_one() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'sample'"):
        load_preset("sampel")


def test_every_setting_says_in_one_line_what_it_does() -> None:
    assert len(FIELDS) >= 30
    for spec in FIELDS:
        assert spec.knob.label, spec.path
        assert spec.knob.help.rstrip().endswith("."), spec.path
        assert "\n" not in spec.knob.help, spec.path


def test_what_a_folder_from_before_calls_stop_is_called_for_what_it_does():
    former = parse({"train": {"on_nonfinite": "stop"}})
    assert former == parse({"train": {"on_nonfinite": "pass_over"}})
    assert "stop" not in next(spec.choices for spec in FIELDS if spec.path == "train.on_nonfinite")
