"""Every network that torchvision's registry lists keeps the promises of the models package.

The cases are found from the registry. All networks are checked on tensors without data; the small ones, and the
smallest of most families, also take real steps and are saved and loaded. ``-m slow`` takes the real steps of the rest.
"""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fine_tuner.base.errors import ConfigError
from fine_tuner.models.build import BuiltModel, build_model, outline_model
from fine_tuner.models.catalogue import list_models
from fine_tuner.models.freezing import Freezing, parameter_groups
from fine_tuner.models.outputs import split_outputs
from fine_tuner.models.probe import ShapesOnly
from fine_tuner.models.saved import load_network, metadata_of, save_model

TASKS = {"classification": 80, "segmentation": 6}
NETWORKS = {task: list_models(task) for task in TASKS}
CASES = [(task, info) for task, infos in NETWORKS.items() for info in infos]
SMALL, MEDIUM = 6_000_000, 40_000_000  # parameters; steps, files and random numbers cost well under a second, or one
K = 3


def ids(cases):
    return [info.name for _, info in cases]


def is_quick(info):
    """Small, or the smallest of a family that takes small images."""
    family = [other for _, other in CASES if other.family == info.family]
    is_smallest = info == min(family, key=lambda other: other.parameters)
    return info.parameters <= SMALL or (is_smallest and info.parameters <= MEDIUM and info.min_size < 224)


QUICK = [case for case in CASES if is_quick(case[1])]
LARGE = [case for case in CASES if case not in QUICK]


def outline_at_smallest(task, info):
    """The network, without data, for a small image size that it takes."""
    for size in (32, 112, 64, 224):
        try:
            return outline_model(info.name, task=task, num_outputs=K, weights="none", image_size=size)
        except ConfigError:
            continue
    raise AssertionError(f"{info.name} takes none of the sizes tried")


def batch(task, size):
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, size, size, generator=generator)
    targets = torch.tensor([0, K - 1])
    return images, targets if task == "classification" else targets[:, None, None].expand(2, size, size)


def total_loss(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    logits, auxiliary = split_outputs(model(images))
    return F.cross_entropy(logits, targets) + sum(w * F.cross_entropy(a, targets) for w, a in auxiliary)


def tensors(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_the_registry_lists_at_least_the_networks_promised():
    for task, count in TASKS.items():
        assert len(NETWORKS[task]) >= count
    names = {info.name for _, info in CASES}
    promised = (
        "resnet18 alexnet vgg16 squeezenet1_0 densenet161 inception_v3 googlenet shufflenet_v2_x1_0 mobilenet_v2 "
    )
    promised += "mobilenet_v3_large mobilenet_v3_small resnext50_32x4d wide_resnet50_2 mnasnet1_0 fcn_resnet50 "
    promised += "fcn_resnet101 deeplabv3_resnet50 deeplabv3_mobilenet_v3_large lraspp_mobilenet_v3_large"
    assert set(promised.split()) <= names
    assert len(QUICK) >= 20


@pytest.mark.parametrize(("task", "info"), CASES, ids=ids(CASES))
def test_head_and_stages_are_found_and_only_the_head_trains(task, info):
    built = outline_at_smallest(task, info)
    size = built.preprocessing.image_size

    names = [name for name, _ in built.model.named_parameters()]
    head = built.stages[-1]
    assert sorted(n for s in built.stages for n in s.parameter_names) == sorted(names)
    assert len({s.name for s in built.stages}) == len(built.stages) >= 4
    assert head.name == "head"
    assert all(s.parameter_names for s in built.stages)
    parameters = dict(built.model.named_parameters())
    assert all(parameters[f"{layer}.weight"].shape[0] == K for layer in built.head)
    assert all(f"{layer}.weight" in head.parameter_names for layer in built.head)

    freezing = Freezing(built, "head")
    freezing.set_train_mode()
    assert [n for n, p in parameters.items() if p.requires_grad] == [n for n in names if n in head.parameter_names]
    groups = parameter_groups(built, lr=0.1, trainable="head")
    assert {id(p) for g in groups for p in g["params"]} == {id(parameters[n]) for n in head.parameter_names}

    model = built.model.to("meta")
    images, _ = batch(task, size)
    with ShapesOnly():
        logits, auxiliary = split_outputs(model(images.to("meta")))
    expected = (2, K) if task == "classification" else (2, K, size, size)
    assert [tuple(t.shape) for t in (logits, *(a for _, a in auxiliary))] == [expected] * (1 + len(auxiliary))
    sum(t.sum() for t in (logits, *(a for _, a in auxiliary))).backward()
    assert all(p.grad is None for n, p in model.named_parameters() if n not in head.parameter_names)
    assert all(dict(model.named_parameters())[f"{layer}.weight"].grad is not None for layer in built.head)


def check_at_the_size_of_its_weights(task, info):
    """Every entry of its weights: a network with them sees what they were evaluated on."""
    for weights in info.weights:
        built = outline_model(info.name, task=task, num_outputs=K, weights=weights.name)
        assert built.preprocessing.image_size == weights.image_size, weights.full_name


def is_unusual(info):
    """The smallest of its family among networks whose weights do not see 224 px, or that name a least size near it."""
    family = [other for _, other in CASES if other.family == info.family and other.image_size != 224]
    return info.image_size != 224 and info == min(family, key=lambda other: other.parameters)


UNUSUAL = [case for case in CASES if is_unusual(case[1])]
USUAL = [case for case in CASES if case not in UNUSUAL]


@pytest.mark.parametrize(("task", "info"), UNUSUAL, ids=ids(UNUSUAL))
def test_network_of_an_unusual_size_builds_at_the_size_of_its_weights(task, info):
    check_at_the_size_of_its_weights(task, info)


@pytest.mark.slow
@pytest.mark.parametrize(("task", "info"), USUAL, ids=ids(USUAL))
def test_network_builds_at_the_size_of_its_weights(task, info):
    check_at_the_size_of_its_weights(task, info)


def check_real_steps(task, info, folder):
    """Train the head for a step, save, load, then train everything for a step."""
    size = outline_at_smallest(task, info).preprocessing.image_size
    torch.manual_seed(0)
    built = build_model(info.name, task=task, num_outputs=K, weights="none", image_size=size)
    images, targets = batch(task, size)
    check_only_the_head_moves(built, images, targets)
    check_saved_is_loaded(built, images, folder)
    Freezing(built, "all").set_train_mode()
    total_loss(built.model, images, targets).backward()
    assert [n for n, p in built.model.named_parameters() if p.grad is None] == []


def check_only_the_head_moves(built: BuiltModel, images: Tensor, targets: Tensor) -> None:
    """In float64: a deep network's features begin as small as 1e-15, and float32 would lose the step."""
    built.model.double()
    head = built.stages[-1].parameter_names
    freezing = Freezing(built, "head")
    optimizer = torch.optim.SGD(parameter_groups(built, lr=0.1, trainable="head"))
    before = tensors(built.model)
    freezing.set_train_mode()
    total_loss(built.model, images.double(), targets).backward()
    optimizer.step()
    optimizer.zero_grad()
    after = tensors(built.model)
    built.model.float()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    parameters = {name for name, _ in built.model.named_parameters()}
    assert moved & parameters == set(head)
    # statistics move only inside auxiliary heads, which train whole
    assert all(name.casefold().startswith("aux") for name in moved - parameters)


def check_saved_is_loaded(built: BuiltModel, images: Tensor, folder) -> None:
    path = folder / "model.safetensors"
    save_model(built.model, path, metadata=metadata_of(built, classes=["a", "b", "c"], run_id="test"))
    loaded, about = load_network(path)
    path.unlink()
    assert (about["network"], about["classes"], about["run_id"]) == (built.name, ["a", "b", "c"], "test")
    assert (loaded.stages, loaded.head, loaded.preprocessing) == (built.stages, built.head, built.preprocessing)
    built.model.eval()
    with torch.inference_mode():
        ours, _ = split_outputs(built.model(images))
        theirs, _ = split_outputs(loaded.model(images))
    assert torch.isfinite(ours).all()
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize(("task", "info"), QUICK, ids=ids(QUICK))
def test_real_steps_move_what_trains_and_the_file_gives_the_same_output(task, info, tmp_path):
    check_real_steps(task, info, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("task", "info"), LARGE, ids=ids(LARGE))
def test_real_steps_of_a_large_network(task, info, tmp_path):
    if info.parameters > 400_000_000:
        pytest.skip("needs more than 6 GB of memory")
    check_real_steps(task, info, tmp_path)
