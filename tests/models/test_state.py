from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from fine_tuner.base.errors import WeightsError
from fine_tuner.models.pretrained.state import is_safetensors, read_state


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)).state_dict()


def wrapped(state, prefix):
    return {prefix + name: tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: {"state_dict": s, "epoch": 3},
        lambda s: {"model": {"state_dict": wrapped(s, "module.")}},
        lambda s: wrapped(s, "_orig_mod.module."),
        lambda s: {"state_dict": wrapped(s, "model."), "hyper": [1, 2]},
        lambda s: {**s, "epoch": 3},
    ],
    ids=["plain", "nested", "nested twice", "compiled", "lightning", "with other entries"],
)
def test_weights_are_found_wherever_trainers_put_them(wrap, layer, tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(wrap(layer), path)
    read = read_state(path)
    assert {n: t.tolist() for n, t in read.tensors.items()} == {n: t.tolist() for n, t in layer.items()}
    assert read.saved is None


def test_safetensors_are_told_by_their_content(layer, tmp_path):
    path = tmp_path / "weights.pth"
    save_file(wrapped(layer, "module."), path)
    assert is_safetensors(path)
    assert list(read_state(path).tensors) == sorted(layer)


def test_old_names_of_densenet_and_vit_are_understood(tmp_path):
    path = tmp_path / "weights.pth"
    old = [
        "features.denseblock1.denselayer2.norm.1.running_mean",
        "features.denseblock1.denselayer2.conv.2.weight",
        "encoder.layers.encoder_layer_0.mlp.linear_1.weight",
        "encoder.layers.encoder_layer_0.mlp.linear_2.bias",
    ]
    torch.save({name: torch.zeros(1) for name in old}, path)
    assert list(read_state(path).tensors) == [
        "features.denseblock1.denselayer2.norm1.running_mean",
        "features.denseblock1.denselayer2.conv2.weight",
        "encoder.layers.encoder_layer_0.mlp.0.weight",
        "encoder.layers.encoder_layer_0.mlp.3.bias",
    ]


class Payload:
    ran = False

    def __reduce__(self):
        return (setattr, (Payload, "ran", True))


def test_a_pickle_that_would_run_code_is_refused_and_not_run(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({"state_dict": Payload()}, path)
    with pytest.raises(
        WeightsError, match=r"weights\.pth holds more than weights .*torch\.save\(model\.state_dict\(\)"
    ):
        read_state(path)
    assert not Payload.ran


@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04 cut"], ids=["empty", "text", "zip"])
def test_a_damaged_file_is_told(content, tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"weights\.pth (cannot be read as weights|holds more than weights)"):
        read_state(path)


def test_cut_safetensors_are_told(layer, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file(layer, path)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(WeightsError, match=r"cannot be read as safetensors .* copy it again"):
        read_state(path)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ([torch.zeros(1)], "it holds a list"),
        ({"epoch": 3}, "its entries are epoch"),
        (torch.zeros(1), "holds a Tensor"),
    ],
)
def test_a_file_without_weights_by_name_says_what_it_holds(content, found, tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    with pytest.raises(WeightsError, match=f"holds no weights by name .*{found}"):
        read_state(path)
