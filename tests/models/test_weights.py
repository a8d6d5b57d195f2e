from __future__ import annotations

import json
import struct

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import fine_tuner
from fine_tuner.base.errors import WeightsError
from fine_tuner.models.build import build_model
from fine_tuner.models.saved import load_network, load_saved, metadata_of, save_model


@pytest.fixture(scope="module")
def built():
    torch.manual_seed(0)
    return build_model("squeezenet1_1", task="multilabel", num_outputs=3, weights="none", image_size=64)


@pytest.fixture
def saved(built, tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(built.model, path, metadata=metadata_of(built, classes=["a", "b", "c"], run_id="run-1"))
    return path


def test_a_file_says_what_it_is(saved):
    with safe_open(saved, framework="pt") as file:
        about = json.loads(file.metadata()["fine_tuner"])
    assert about["format_version"] == 1
    assert (about["network"], about["task"], about["num_outputs"]) == ("squeezenet1_1", "multilabel", 3)
    assert (about["classes"], about["run_id"], about["weights"]) == (["a", "b", "c"], "run-1", "none")
    assert about["preprocessing"]["image_size"] == 64
    assert about["versions"]["fine_tuner"] == fine_tuner.__version__


def test_nothing_but_the_file_is_left_and_it_is_replaced_whole(built, saved):
    save_model(built.model, saved, metadata={"note": 2})
    assert [p.name for p in saved.parent.iterdir()] == ["model.safetensors"]
    with pytest.raises(OSError, match="File exists"):
        save_model(built.model, saved / "below", metadata={})
    with pytest.raises(TypeError, match="not JSON serializable"):
        save_model(built.model, saved, metadata={"x": object()})
    assert [p.name for p in saved.parent.iterdir()] == ["model.safetensors"]


def test_the_network_is_built_again_from_its_file_alone(built, saved):
    loaded, about = load_network(saved)
    images = torch.rand(2, 3, 64, 64)
    assert torch.equal(loaded.model(images), built.model.eval()(images))
    assert not loaded.model.training
    assert about["classes"] == ["a", "b", "c"]
    assert loaded.new == frozenset()


def test_weights_go_in_whatever_the_network_is_wrapped_in_and_however_it_lies_in_memory(built, saved):
    other = build_model("squeezenet1_1", task="multilabel", num_outputs=3, weights="none", image_size=64).model
    other.to(memory_format=torch.channels_last)
    wrapped = torch.nn.Module()
    wrapped.module = other
    load_saved(saved, wrapped)
    assert all(torch.equal(a, b) for a, b in zip(other.parameters(), built.model.parameters(), strict=True))
    again = saved.with_name("again.safetensors")
    save_model(wrapped, again, metadata=load_saved(saved, other))
    load_network(again)


def test_weights_of_another_network_are_refused_by_name_and_shape(saved):
    other = build_model("squeezenet1_0", task="multilabel", num_outputs=3, weights="none", image_size=64).model
    with pytest.raises(
        WeightsError,
        match=r"holds the weights of another network: .*features\.0\.weight: \(64, 3, 3, 3\) in the file, "
        r"\(96, 3, 7, 7\) in the network",
    ):
        load_saved(saved, other)


def test_a_file_of_others_is_no_run_of_ours(built, tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({n: t.contiguous() for n, t in built.model.state_dict().items()}, path)
    for load in (load_network, lambda p: load_saved(p, built.model)):
        with pytest.raises(WeightsError, match=r"other\.safetensors was not written by Fine Tuner"):
            load(path)


def test_a_file_of_a_later_version_is_told(built, tmp_path):
    path = tmp_path / "later.safetensors"
    about = metadata_of(built) | {"format_version": 2, "versions": {"fine_tuner": "9.0"}}
    save_model(built.model, path, metadata=about)
    with pytest.raises(WeightsError, match=r"has format 2.*reads up to 1\. Update.*written by 9\.0"):
        load_network(path)


def test_a_header_that_lies_about_its_length_is_told(saved):
    saved.write_bytes(struct.pack("<Q", 1 << 40) + b"{}")
    with pytest.raises(WeightsError, match="cannot be read as safetensors"):
        load_network(saved)
