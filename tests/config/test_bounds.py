"""Files of settings that would fill the memory or never end are refused in words, at once."""

from __future__ import annotations

import os

import pytest

from fine_tuner.base.errors import ConfigError
from fine_tuner.base.files import MAX_JSON_BYTES, read_bounded, read_json
from fine_tuner.config.io import apply_overrides, dump_yaml, read_tree
from fine_tuner.config.settings import Settings

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LAUGHS, "no aliases"),
        ("a: &a\n  b: *a\n", "no aliases"),
        ("a: " + "[" * 30 + "]" * 30, "more than 20 levels"),
        ("a: " + "{b: " * 3000 + "1" + "}" * 3000, "more than 20 levels"),
        ("a: " + "9" * 5000, "is not YAML"),
        ("a: " + "x" * 300_000, "has more than 262,144 bytes"),
    ],
    ids=["laughs", "loop", "lists", "maps", "digits", "long"],
)
def test_settings_made_to_do_harm_are_refused_in_words(tmp_path, text, message):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_tree(path)


def test_what_is_no_plain_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder", "none"):
        with pytest.raises(ConfigError, match="cannot be read"):
            read_tree(tmp_path / name)
        assert read_json(tmp_path / name) is None


def test_an_override_with_an_alias_or_without_end_is_text(tmp_path):
    for value in ("*a", "[" * 5000, "9" * 5000):
        assert apply_overrides({}, [f"title={value}"])["title"] == value


def test_a_json_file_is_read_up_to_its_bound_and_not_beyond(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{"a": "' + "x" * (MAX_JSON_BYTES - 9) + '"}')
    assert path.stat().st_size == MAX_JSON_BYTES
    assert len(read_json(path)["a"]) == MAX_JSON_BYTES - 9
    path.write_text('{"a": "' + "x" * (MAX_JSON_BYTES - 8) + '"}')
    assert read_json(path) is None
    path.write_text("[" * 100_000)
    assert read_json(path) is None


def test_settings_of_ours_are_far_from_the_bounds(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(dump_yaml(Settings()))
    assert len(read_bounded(path, 1 << 18)) < (1 << 18) / 20
    assert read_tree(path)
