"""Which networks and weights there are, by torchvision's own registry and metadata; nothing is built or downloaded."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import get_args
from urllib.parse import urlparse

import torch
import torchvision.models
from torch import nn
from torchvision.models import WeightsEnum, get_model_builder, get_model_weights

from fine_tuner.base.errors import ConfigError
from fine_tuner.base.registry import suggest
from fine_tuner.base.text import some
from fine_tuner.config.tasks import CLASSIFICATION, SEGMENTATION, TargetKind, target_kind


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightInfo:
    """One entry of a network's weights.

    Attributes:
        name: As written in ``model.weights``, such as ``IMAGENET1K_V2``.
        full_name: With its enum, such as ``ResNet50_Weights.IMAGENET1K_V2``.
        file_name: What torch's cache calls the file.
        size_mib: Of the file.
        gflops: Of one forward pass at the weights' image size, as published.
        top1: ImageNet top-1 accuracy in percent, as published; None for segmentation weights.
        miou: Mean IoU in percent on COCO with VOC labels, as published; None for classification weights.
        image_size: Side of the square that the weights were evaluated on, in pixels.
        min_size: Smallest side in pixels that torchvision names; a network may take smaller images.
        backbone_only: They fill a segmentation network's backbone and leave the rest random.
        is_default: torchvision's choice, taken for ``default``.
        is_cached: The file is in torch's cache, so no network is needed.
    """

    name: str
    full_name: str
    url: str
    file_name: str
    size_mib: float
    gflops: float
    top1: float | None
    top5: float | None
    miou: float | None
    pixel_accuracy: float | None
    image_size: int
    min_size: int
    backbone_only: bool
    is_default: bool
    is_cached: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelInfo:
    """One network, with the numbers of its default weights; ``dataclasses.asdict`` of it is JSON-able.

    Attributes:
        family: torchvision's module, such as ``resnet``.
        parameters: With the original output layer.
    """

    name: str
    family: str
    parameters: int
    gflops: float
    size_mib: float
    top1: float | None
    miou: float | None
    image_size: int
    min_size: int
    weights: tuple[WeightInfo, ...]


def model_names(task: str) -> list[str]:
    """Names of all networks for ``task``, sorted.

    >>> "resnet18" in model_names("multilabel"), "resnet18" in model_names("segmentation")
    (True, False)
    """
    is_per_pixel = target_kind(task) is TargetKind.MASK
    module = torchvision.models.segmentation if is_per_pixel else torchvision.models
    return torchvision.models.list_models(module=module)


def list_models(task: str) -> list[ModelInfo]:
    """All networks for ``task`` (multi-label classification and regression have those of classification)."""
    return [model_info(name) for name in model_names(task)]


def model_info(name: str) -> ModelInfo:
    """What torchvision publishes about one network."""
    default = default_entry(name)
    weights = tuple(
        weight_info(entry, is_default=entry is default, backbone_only=enum is not weights_enum(name))
        for enum in filter(None, (weights_enum(name), backbone_enum(name)))
        for entry in enum
    )
    chosen = next(w for w in weights if w.is_default)
    return ModelInfo(
        name=name,
        family=get_model_builder(name).__module__.rsplit(".", 1)[-1],
        parameters=default.meta["num_params"],
        gflops=chosen.gflops,
        size_mib=chosen.size_mib,
        top1=chosen.top1,
        miou=chosen.miou,
        image_size=chosen.image_size,
        min_size=chosen.min_size,
        weights=weights,
    )


def weight_info(entry: WeightsEnum, *, is_default: bool = False, backbone_only: bool = False) -> WeightInfo:
    """What torchvision publishes about one entry, and whether its file is in the cache."""
    metrics: dict[str, float] = {}
    for values in entry.meta["_metrics"].values():  # NaN where nothing is published
        metrics |= {key: value for key, value in values.items() if math.isfinite(value)}
    transforms = entry.transforms()
    return WeightInfo(
        name=entry.name,
        full_name=f"{type(entry).__name__}.{entry.name}",
        url=entry.url,
        file_name=cache_file(entry).name,
        size_mib=entry.meta["_file_size"],
        gflops=entry.meta["_ops"],
        top1=metrics.get("acc@1"),
        top5=metrics.get("acc@5"),
        miou=metrics.get("miou"),
        pixel_accuracy=metrics.get("pixel_acc"),
        image_size=getattr(transforms, "crop_size", transforms.resize_size)[0],
        min_size=max(entry.meta["min_size"]),
        backbone_only=backbone_only,
        is_default=is_default,
        is_cached=cached(entry),
    )


def cache_file(entry: WeightsEnum) -> Path:
    """Where torch keeps the file of ``entry``, whether it is there or not."""
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(entry.url).path).name


def cached(entry: WeightsEnum) -> bool:
    """Whether the file of ``entry`` is in torch's cache."""
    return cache_file(entry).is_file()


def weights_enum(name: str) -> type[WeightsEnum]:
    """The weights of a network."""
    return get_model_weights(name)


def default_entry(name: str) -> WeightsEnum:
    """The weights that ``default`` stands for."""
    return weights_enum(name)["DEFAULT"]


def backbone_enum(name: str) -> type[WeightsEnum] | None:
    """The weights of a segmentation network's backbone; None for other networks."""
    parameter = builder_parameters(name).get("weights_backbone")
    if parameter is None:
        return None
    kinds = (parameter.annotation, *get_args(parameter.annotation))
    return next(k for k in kinds if isinstance(k, type) and issubclass(k, WeightsEnum))


def default_backbone_entry(name: str) -> WeightsEnum | None:
    """The weights that torchvision gives a segmentation network's backbone; None for other networks."""
    parameter = builder_parameters(name).get("weights_backbone")
    return None if parameter is None else parameter.default


@cache
def builder_parameters(name: str) -> dict[str, inspect.Parameter]:
    """Parameters of a network's builder."""
    return dict(inspect.signature(get_model_builder(name)).parameters)


@cache
def class_parameters(name: str) -> frozenset[str]:
    """Names that the constructor of a network's class takes; its builder passes them on."""
    cls: type[nn.Module] = inspect.signature(get_model_builder(name)).return_annotation
    return frozenset(inspect.signature(cls).parameters)


def builder_of(name: str, task: str) -> Callable[..., nn.Module]:
    """Torchvision's builder of a network for ``task``.

    Raises:
        ConfigError: At ``model.name``, if there is no such network for the task.
    """
    names = model_names(task)
    if name in names:
        return get_model_builder(name)
    other = (CLASSIFICATION if target_kind(task) is TargetKind.MASK else SEGMENTATION).name
    if name in model_names(other):
        raise ConfigError(
            {"model.name": f"{name!r} is a {other} network and the task is {task}. Choose one of: {some(names, 6)}."}
        )
    raise ConfigError(
        {
            "model.name": f"there is no network {name!r} for {task}.{suggest(name, names)} "
            f"`python -m fine_tuner list models` shows all {len(names)}."
        }
    )
