"""A network in two gives, bit for bit, what the whole network gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from fine_tuner.features.split import CannotSplitError, split_network
from fine_tuner.models.build import BuiltModel, build_model, outline_model
from fine_tuner.models.catalogue import model_names
from fine_tuner.models.freezing import Freezing

# Dropout before the head; between frozen layers; in blocks; a row of tokens; two depths at once; auxiliary heads.
FAST = ("mobilenet_v3_small", "alexnet", "efficientnet_b0", "vit_b_32", "lraspp_mobilenet_v3_large", "googlenet")
SIZE = 64
SIZE_OF = {"inception_v3": 96}
ALL = [*model_names("classification"), *model_names("segmentation")]


def tensors(output: Any) -> list[Tensor]:
    match output:
        case dict():
            return list(output.values())
        case tuple():
            return [t for t in output if t is not None]
    return [output]


def build(name: str, make: Callable[..., BuiltModel] = build_model) -> BuiltModel:
    torch.manual_seed(0)
    task = "segmentation" if name in model_names("segmentation") else "classification"
    return make(name, task=task, num_outputs=3, weights="none", image_size=SIZE_OF.get(name, SIZE))


@pytest.mark.parametrize("is_training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in ALL])
def test_both_parts_together_are_the_network(name: str, is_training: bool) -> None:
    built = build(name)
    images = torch.randn(3, 3, built.preprocessing.image_size, built.preprocessing.image_size)
    for trainable in {"head", 2, len(built.stages) - 1}:
        freezing = Freezing(built, trainable)
        freezing.set_train_mode() if is_training else built.model.eval()
        split = split_network(built.model, built.preprocessing.image_size)
        with torch.random.fork_rng():
            whole = built.model(images)
        with torch.inference_mode():
            features = split.features(images)
        kept = features.clone()
        with torch.random.fork_rng():
            apart = split.output(kept)
        for one, other in zip(tensors(apart), tensors(whole), strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0)
        assert torch.equal(kept, features), "the rest changed what is kept"
        assert features.shape == (3, split.numbers)


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in ALL])
def test_a_plan_s_outline_is_split_where_the_network_is(name: str) -> None:
    numbers = []
    for make in (build_model, outline_model):
        built = build(name, make)
        Freezing(built, "head").set_train_mode()
        training = split_network(built.model, built.preprocessing.image_size)
        built.model.eval()
        evaluation = split_network(built.model, built.preprocessing.image_size)
        numbers.append((training.shapes, evaluation.shapes))
    assert numbers[0] == numbers[1]


def test_the_rest_trains_exactly_what_trains() -> None:
    built = build("mobilenet_v3_small")
    freezing = Freezing(built, 2)
    freezing.set_train_mode()
    split = split_network(built.model, SIZE)
    trained = {id(p) for p in built.model.parameters() if p.requires_grad}
    assert {id(p) for p in split.rest.parameters() if p.requires_grad} == trained
    assert not any(p.requires_grad for p in split.frozen.parameters())


def test_a_network_that_trains_from_its_first_layer_on_is_not_split() -> None:
    built = build("mobilenet_v3_small")
    Freezing(built, "all")
    with pytest.raises(CannotSplitError, match="its first layer trains"):
        split_network(built.model, SIZE)
