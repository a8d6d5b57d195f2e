"""The source network that ships with the app: whose it is, what is copied of it, what is new, and what it never saw."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from fine_tuner.base.errors import ConfigError
from fine_tuner.data.readers.sample import SHAPES
from fine_tuner.models.build import build_model, outline_model
from fine_tuner.models.pretrained.choice import choose_weights
from fine_tuner.models.pretrained.state import read_state
from fine_tuner.models.source import ABOUT, source_file, source_networks

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", source_networks())
def test_all_but_the_output_layer_is_copied_and_the_output_layer_is_new(name: str) -> None:
    shipped = read_state(source_file(name))
    for num_outputs in (4, shipped.saved["num_outputs"]):
        built = build_model(name, task="classification", num_outputs=num_outputs, weights="source")
        assert built.new == {f"{layer}.{part}" for layer in built.head for part in ("weight", "bias")}
        for key, value in built.model.state_dict().items():
            if key not in built.new:
                assert torch.equal(value, shipped.tensors[key].to(value.dtype)), key
            elif num_outputs == shipped.saved["num_outputs"]:
                assert not torch.equal(value, shipped.tensors[key].float()), "as many outputs, of another meaning"
        assert built.weights == "source"
        assert any(ABOUT in notice for notice in built.notices)
        outline = outline_model(name, task="classification", num_outputs=num_outputs, weights="source")
        assert (outline.new, outline.preprocessing) == (built.new, built.preprocessing)


@pytest.mark.parametrize("name", source_networks())
def test_it_is_small_and_in_half_precision(name: str) -> None:
    path = source_file(name)
    assert path.stat().st_size <= 1.5e6
    assert {t.dtype for t in read_state(path).tensors.values()} == {torch.float16, torch.int64}


def test_it_learned_none_of_the_samples_classes() -> None:
    file = importlib.util.spec_from_file_location("source_pictures", ROOT / "tools" / "source_pictures.py")
    pictures = importlib.util.module_from_spec(file)
    file.loader.exec_module(pictures)
    assert not set(pictures.KINDS) & set(SHAPES)
    assert f"{len(pictures.KINDS)} kinds" in ABOUT
    for name in source_networks():
        assert sorted(read_state(source_file(name)).saved["classes"]) == sorted(pictures.KINDS)


def test_a_network_without_one_says_which_have_one() -> None:
    assert source_networks()
    with pytest.raises(ConfigError, match=rf"only for {', '.join(source_networks())}"):
        choose_weights("resnet18", "source")
