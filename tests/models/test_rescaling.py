"""Numbers come out in their own units, and a file of weights brings the units along."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fine_tuner.models.build import build_model
from fine_tuner.models.outputs import split_outputs
from fine_tuner.models.rescaling import is_rescaled, rescale_outputs
from fine_tuner.models.saved import load_network, metadata_of, save_model

MEAN, SD = (300.0, -2.0), (40.0, 0.0)


def built_for_numbers(name="shufflenet_v2_x0_5", weights="none", num_outputs=2):
    torch.manual_seed(0)
    return build_model(name, task="regression", num_outputs=num_outputs, weights=weights, image_size=64)


@pytest.mark.parametrize("layer", [nn.Linear(5, 2), nn.Conv2d(5, 2, 1)], ids=["linear", "convolution"])
def test_output_is_mean_plus_sd_times_the_layer(layer):
    images = torch.randn(3, 5) if isinstance(layer, nn.Linear) else torch.randn(3, 5, 4, 4)
    model = nn.Sequential(nn.Identity(), layer)
    before = model(images)
    rescale_outputs(model, ["1"], MEAN, SD)
    shape = (1, 2) if isinstance(layer, nn.Linear) else (1, 2, 1, 1)
    scale = torch.tensor([40.0, 1.0])  # a number that never varies has nothing to scale by
    assert torch.allclose(model(images), torch.tensor(MEAN).view(shape) + scale.view(shape) * before)
    assert [id(p) for p in model.parameters()] == [id(layer.weight), id(layer.bias)]
    assert [name for name, _ in model.named_parameters()] == ["1.weight", "1.bias"]


def test_half_precision_does_not_round_the_numbers():
    model = nn.Sequential(nn.Linear(4, 1))
    rescale_outputs(model, ["0"], [20_001.0], [1e-3])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(torch.zeros(1, 4))
    assert output.dtype == torch.float32
    assert abs(output.item() - 20_001) < 0.01  # bfloat16 itself knows 19,968 and 20,096 only


@pytest.mark.parametrize("name", ["shufflenet_v2_x0_5", "squeezenet1_1"])
def test_saved_network_gives_the_same_numbers(name, tmp_path):
    built = built_for_numbers(name)
    rescale_outputs(built.model, built.head, MEAN, SD)
    images = torch.randn(2, 3, 64, 64)
    expected, _ = split_outputs(built.model.eval()(images))
    save_model(built.model, tmp_path / "model.safetensors", metadata=metadata_of(built, classes=["a", "b"]))
    loaded, _ = load_network(tmp_path / "model.safetensors")
    assert torch.equal(split_outputs(loaded.model(images))[0], expected)


def test_warm_start_keeps_head_and_units_and_another_number_of_outputs_neither(tmp_path):
    built = built_for_numbers()
    rescale_outputs(built.model, built.head, MEAN, SD)
    file = tmp_path / "model.safetensors"
    save_model(built.model, file, metadata=metadata_of(built, classes=["a", "b"]))
    images = torch.randn(2, 3, 64, 64)
    again = built_for_numbers(weights=str(file))
    assert torch.equal(again.model.eval()(images), built.model.eval()(images))
    other = built_for_numbers(weights=str(file), num_outputs=3)
    assert not is_rescaled(other.model)
    assert other.new == {"fc.weight", "fc.bias"}


def test_auxiliary_heads_speak_in_the_same_units():
    built = build_model("googlenet", task="regression", num_outputs=1, weights="none", image_size=96)
    rescale_outputs(built.model, built.head, [1000.0], [1.0])
    logits, auxiliary = split_outputs(built.model.train()(torch.randn(2, 3, 96, 96)))
    assert len(auxiliary) == 2
    for numbers in (logits, *(a for _, a in auxiliary)):
        assert (numbers - 1000).abs().max() < 100
