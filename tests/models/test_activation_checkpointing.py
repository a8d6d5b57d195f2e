"""A network whose blocks make their activations again trains as without, to the last bit, and keeps less."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from fine_tuner.models.activation_checkpointing import blocks_of, checkpoint_activations
from fine_tuner.models.build import BuiltModel, build_model
from fine_tuner.models.catalogue import list_models
from fine_tuner.models.freezing import Freezing
from fine_tuner.models.outputs import split_outputs

TASKS = ("classification", "segmentation")
ALL = [(task, info.name) for task in TASKS for info in list_models(task) if info.parameters < 150_000_000]
TELLING = {"resnet18", "densenet121", "lraspp_mobilenet_v3_large"}  # BatchNorm; lists that grow; outputs of two depths
WITHOUT_BLOCKS = ("alexnet", "vgg", "squeezenet")


def network(task: str, name: str) -> BuiltModel:
    torch.manual_seed(0)
    size = 64 if "inception" not in name else 96
    size = 224 if name.startswith(("vit", "maxvit")) else size
    return build_model(name, task=task, num_outputs=3, weights="none", image_size=size)


def checkpointed(built: BuiltModel) -> nn.Module:
    model = copy.deepcopy(built.model)
    checkpoint_activations(model, blocks_of(model, built.stages[-1].parameter_names))
    return model


def step(model: nn.Module, images: Tensor) -> tuple[float, dict[str, Tensor], int]:
    """Loss, gradients and bytes kept for the backward pass of one step."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    torch.manual_seed(1)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits, auxiliary = split_outputs(model(images))
        loss = logits.square().mean() + sum(weight * out.square().mean() for weight, out in auxiliary)
    loss.backward()
    return loss.item(), {n: p.grad for n, p in model.named_parameters() if p.grad is not None}, sum(kept.values())


def check(task: str, name: str) -> None:
    built = network(task, name)
    images = torch.randn(2, 3, built.preprocessing.image_size, built.preprocessing.image_size)
    again = checkpointed(built)
    Freezing(built, "all").set_train_mode()
    again.train()

    loss, gradients, kept = step(built.model, images)
    loss_again, gradients_again, kept_again = step(copy.deepcopy(again), images)

    assert loss_again == loss
    assert gradients_again.keys() == gradients.keys()
    assert all(torch.equal(gradients_again[name], gradients[name]) for name in gradients)
    assert list(again.state_dict()) == list(built.model.state_dict())
    step(again, images)
    statistics = dict(built.model.named_buffers())
    assert all(torch.equal(value, statistics[name]) for name, value in again.named_buffers())
    assert kept_again < 0.8 * kept


@pytest.mark.parametrize(("task", "name"), [case for case in ALL if case[1] in TELLING])
def test_loss_gradients_and_statistics_are_the_same_bits_and_less_is_kept(task: str, name: str) -> None:
    check(task, name)


@pytest.mark.slow
@pytest.mark.parametrize(("task", "name"), [case for case in ALL if case[1] not in TELLING])
def test_every_network_with_blocks_does_the_same(task: str, name: str) -> None:
    if not name.startswith(WITHOUT_BLOCKS):
        check(task, name)


def test_nothing_is_made_again_in_evaluation() -> None:
    built = network("classification", "resnet18")
    images = torch.randn(2, 3, 64, 64)
    again = checkpointed(built).eval()
    built.model.eval()
    assert step(again, images)[2] == step(built.model, images)[2]


def test_single_layers_in_a_row_are_no_blocks() -> None:
    built = network("classification", "alexnet")
    assert blocks_of(built.model, built.stages[-1].parameter_names) == ()
