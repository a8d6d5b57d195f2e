"""A network of torchvision with its head replaced to fit the data, its weights loaded, and its stages known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torchvision.models import WeightsEnum

from fine_tuner.base.errors import WeightsError
from fine_tuner.base.progress import OnProgress
from fine_tuner.config.tasks import TargetKind, target_kind
from fine_tuner.models.catalogue import backbone_enum, builder_of, cache_file, cached, weights_enum
from fine_tuner.models.preprocessing import Preprocessing
from fine_tuner.models.pretrained.choice import WeightsChoice, choose_weights
from fine_tuner.models.pretrained.classes import plan_head, reordered
from fine_tuner.models.pretrained.download import fetch
from fine_tuner.models.pretrained.fitting import (
    Fitted,
    WeightsReport,
    fit_backbone,
    fit_network,
    load_fitted,
    materialise,
)
from fine_tuner.models.pretrained.state import State, read_saved, read_state
from fine_tuner.models.probe import Options, construct, constructor_options
from fine_tuner.models.rescaling import rescale_as_saved
from fine_tuner.models.source import ABOUT
from fine_tuner.models.stages import Stage
from fine_tuner.models.structure import Structure, find_structure, unclip_outputs


@dataclass(kw_only=True)
class BuiltModel:
    """A network ready to train.

    Attributes:
        model: Takes images ``(B, 3, H, W)``; ``outputs.split_outputs`` tells its logits from auxiliary ones.
        head: Paths of the output layers, those of auxiliary heads included.
        new: Names of the parameters that no weights filled; all of them if the weights are random.
        stages: From input to head; each has a name and the names of its parameters, and every parameter is in one.
        preprocessing: How the weights want their images.
        weights: What the weights were: ``none``, ``source``, ``ResNet18_Weights.IMAGENET1K_V1``, or the path of a file.
        weights_report: What was found in them; None for random weights.
        options: Arguments that torchvision's builder was given, needed to build the same network again.
        notices: What a person should know: a part that was left out, an embedding that was stretched.
    """

    name: str
    task: str
    num_outputs: int
    model: nn.Module
    head: tuple[str, ...]
    new: frozenset[str]
    stages: tuple[Stage, ...]
    preprocessing: Preprocessing
    weights: str = "none"
    weights_report: WeightsReport | None = None
    options: Options = field(default_factory=dict)
    notices: tuple[str, ...] = ()

    @property
    def parameters(self) -> int:
        """How many numbers the network learns or has learned."""
        return sum(p.numel() for p in self.model.parameters())


def build_model(
    name: str,
    *,
    task: str,
    num_outputs: int,
    weights: str = "default",
    image_size: int | None = None,
    output_names: Sequence[str] = (),
    progress: OnProgress | None = None,
) -> BuiltModel:
    """Build a network whose output fits the data.

    Args:
        name: As torchvision's registry has it.
        task: ``classification``, ``multilabel``, ``regression`` or ``segmentation``.
        num_outputs: Classes, labels or numbers; for segmentation the classes with the background.
        weights: See ``choice.choose_weights``. With random weights torchvision's own initialisation is drawn from
            torch's generator, with others only what is new is.
        image_size: Side of the square the network is to see, in pixels; None: as the weights were made.
        output_names: Classes of the data in the order of the outputs: an output layer of earlier weights of ours goes
            on where it has the same classes, in whatever order. Empty: it goes on where it has as many.
        progress: Told of downloads, in MiB.

    Raises:
        ConfigError: At ``model.name``, ``model.weights`` or ``data.image_size``.
        WeightsError: If the weights cannot be had or do not fit.
    """
    builder_of(name, task)
    choice = choose_weights(name, weights)
    path = fetch(choice.entry, progress) if choice.entry is not None else choice.file
    state = read_state(path) if path is not None else None
    saved = _saved_for(name, choice, state and state.saved)
    preprocessing, structure = _outline(name, task, num_outputs, choice, saved, image_size)
    head = plan_head(state.saved if state and not choice.is_source else None, output_names)
    if state is not None and head.order is not None:
        state = reordered(state, structure.head_layers, head.order)
    if state is None:
        fitted, model = None, construct(name, num_outputs, structure.options)
        new = frozenset(n for n, _ in model.named_parameters())
    else:
        fitted = _fit(name, structure, choice, state, keep_head=head.is_kept)
        model, new = _with_weights(name, num_outputs, structure, fitted, state), fitted.new
    unclipped = unclip_outputs(model, structure.head_layers)
    if state is not None and target_kind(task) is TargetKind.NUMBERS:  # a head that goes on, in the units it learned
        kept = [path for path in structure.head_layers if f"{path}.weight" not in new]
        rescale_as_saved(model, kept, state.tensors)
    return BuiltModel(
        name=name,
        task=task,
        num_outputs=num_outputs,
        model=model,
        head=structure.head_layers,
        new=new,
        stages=tuple(structure.stages({*structure.head, *(fitted.new if fitted else ())})),
        preprocessing=preprocessing,
        weights=choice.label,
        weights_report=fitted.report if fitted else None,
        options=structure.options,
        notices=(
            *structure.notices,
            *(fitted.notices if fitted else ()),
            *unclipped,
            *_source_notice(choice),
            *filter(None, [head.notice]),
        ),
    )


def outline_model(
    name: str,
    *,
    task: str,
    num_outputs: int,
    weights: str = "default",
    image_size: int | None = None,
    output_names: Sequence[str] = (),
) -> BuiltModel:
    """What ``build_model`` would build, with parameters on the meta device: nothing is downloaded, read or initialised.

    Stages, sizes and preprocessing are those of the real network; what of a file's weights will fit is not known yet. A
    notice says if weights would be downloaded.

    Raises:
        ConfigError: At ``model.name``, ``model.weights`` or ``data.image_size``.
        WeightsError: If there is no such file of weights.
    """
    builder_of(name, task)
    choice = choose_weights(name, weights)
    saved = _saved_for(name, choice, read_saved(choice.file) if choice.file is not None else None)
    preprocessing, structure = _outline(name, task, num_outputs, choice, saved, image_size)
    names = [n for n, _ in structure.model.named_parameters()]
    new = [n for n in names if not n.startswith("backbone.")] if choice.backbone_only else structure.head
    head = plan_head(None if choice.is_source else saved, output_names)
    is_own = saved.get("network") == name and saved.get("num_outputs") == num_outputs
    if is_own and head.is_kept and not choice.is_source:
        new = []
    return BuiltModel(
        name=name,
        task=task,
        num_outputs=num_outputs,
        model=structure.model,
        head=structure.head_layers,
        new=frozenset(names if choice.is_random else new),
        stages=tuple(structure.stages(new)),
        preprocessing=preprocessing,
        weights=choice.label,
        options=structure.options,
        notices=(*structure.notices, *_download_notice(choice), *_source_notice(choice), *filter(None, [head.notice])),
    )


def find_preprocessing(name: str, *, task: str, weights: str, image_size: int | None = None) -> Preprocessing:
    """How ``build_model`` of the same arguments would want its images, without building, reading or downloading it.

    Raises:
        ConfigError: At ``model.name`` or ``model.weights``.
        WeightsError: If there is no such file of weights.
    """
    builder_of(name, task)
    choice = choose_weights(name, weights)
    saved = _saved_for(name, choice, read_saved(choice.file) if choice.file is not None else None)
    return _preprocessing(name, task, choice, saved, image_size)


def _outline(
    name: str, task: str, num_outputs: int, choice: WeightsChoice, saved: Mapping[str, Any], image_size: int | None
) -> tuple[Preprocessing, Structure]:
    preprocessing = _preprocessing(name, task, choice, saved, image_size)
    pretrained = saved.get("options", {}).get("transform_input", not choice.is_random)
    options = constructor_options(name, pretrained=pretrained, image_size=preprocessing.image_size)
    return preprocessing, find_structure(name, num_outputs, options, image_size=preprocessing.image_size)


def _saved_for(name: str, choice: WeightsChoice, saved: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Metadata of an earlier run's weights, which must be of this network or of its backbone; empty for others.

    Raises:
        WeightsError: If they are of another network.
    """
    if saved is None or saved["network"] == name:
        return saved or {}
    backbone = backbone_enum(name)
    if backbone is not None and backbone is weights_enum(saved["network"]):
        return saved
    raise WeightsError(
        f"{choice.label} holds weights of {saved['network']}, and the network is {name} (model.weights, model.name). "
        f"Choose model.name={saved['network']}, or other weights."
    )


def _is_backbone_of(name: str, state: State) -> bool:
    """Whether weights of a classification network were given to a segmentation network."""
    return backbone_enum(name) is not None and not any(key.startswith("backbone.") for key in state.tensors)


def _download_notice(choice: WeightsChoice) -> list[str]:
    if choice.entry is None or cached(choice.entry):
        return []
    return [
        f"The weights {choice.label} ({choice.entry.meta['_file_size']:.0f} MiB) are not on this machine and will be "
        "downloaded first. Without a connection set model.weights to a file, or to none."
    ]


def _source_notice(choice: WeightsChoice) -> list[str]:
    if not choice.is_source:
        return []
    return [f"The source network ships with the app. It learned {ABOUT}, and has seen no photograph."]


def _preprocessing(
    name: str, task: str, choice: WeightsChoice, saved: Mapping[str, Any], image_size: int | None
) -> Preprocessing:
    """As the weights were made; those of unknown make, and none, like torchvision's first ones for the network."""
    if "preprocessing" in saved:
        chosen = Preprocessing.from_dict(saved["preprocessing"])
    else:
        chosen = Preprocessing.from_entry(choice.entry or _entry_like(name, choice.file))
    chosen = chosen.at_size(image_size)
    return chosen.without_crop() if target_kind(task) is TargetKind.MASK else chosen


def _entry_like(name: str, file: Path | None) -> WeightsEnum:
    """The entry whose file has this name, else the network's (or its backbone's) first one."""
    own, backbone = weights_enum(name), backbone_enum(name)
    entries = [*own, *(backbone or ())]
    by_file = next((e for e in entries if file is not None and cache_file(e).name == file.name), None)
    first = next(iter(backbone if backbone is not None and file is None else own))
    return by_file or first


def _fit(name: str, structure: Structure, choice: WeightsChoice, state: State, *, keep_head: bool) -> Fitted:
    """Which of the weights go where; a release that holds only features has NaN in place of the rest."""
    if choice.backbone_only or _is_backbone_of(name, state):
        return fit_backbone(structure.model, state, source=choice.label)
    absent = []
    if choice.entry is not None and choice.entry.meta["categories"] is None:
        absent = [n for n, t in state.tensors.items() if not torch.isfinite(t).all()]
    return fit_network(
        structure.model,
        state,
        head=[*structure.head, *(n for n in absent if n not in structure.head)],
        keep_head=choice.file is not None and not choice.is_source and keep_head,
        source=choice.label,
    )


def _with_weights(name: str, num_outputs: int, structure: Structure, fitted: Fitted, state: State) -> nn.Module:
    """The network with weights in it.

    New output layers start as torch's layers do. If more is new, torchvision initialises the whole network first, so
    that each layer starts as its authors meant.
    """
    if not fitted.new <= set(structure.head):
        model = construct(name, num_outputs, structure.options)
        load_fitted(model, fitted, state)
        return model
    model = structure.model
    materialise(model)
    load_fitted(model, fitted, state)
    for path in dict.fromkeys(n.rpartition(".")[0] for n in structure.head if n in fitted.new):
        model.get_submodule(path).reset_parameters()
    return model
