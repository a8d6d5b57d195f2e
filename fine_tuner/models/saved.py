"""Weights of our own: safetensors that say what they are, so that the network can be built again from them alone.

::

    __metadata__
      format        pt
      fine_tuner    JSON: format_version, network, task, num_outputs, classes, preprocessing, options, last_stage,
                    weights, run_id, versions (fine_tuner, torch, torchvision)
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torchvision
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from fine_tuner.base.errors import WeightsError
from fine_tuner.base.files import replacing
from fine_tuner.base.version import __version__
from fine_tuner.models.build import BuiltModel
from fine_tuner.models.catalogue import builder_of
from fine_tuner.models.preprocessing import Preprocessing
from fine_tuner.models.pretrained.fitting import materialise
from fine_tuner.models.pretrained.state import METADATA_KEY, read_state
from fine_tuner.models.rescaling import rescale_as_saved
from fine_tuner.models.structure import find_structure, unclip_outputs

FORMAT_VERSION = 1
_SHOWN = 8
_OS_ERROR = re.compile(r"\(os error (\d+)\)")  # how safetensors tells of a full disk
_WRAPPERS = ("module.", "_orig_mod.")


def metadata_of(built: BuiltModel, *, classes: Sequence[str] = (), run_id: str | None = None) -> dict[str, Any]:
    """What ``save_model`` should write beside the weights of ``built``; JSON-able.

    Args:
        built: The network.
        classes: Names of the outputs: classes, labels or numbers.
        run_id: Of the run that trained it.
    """
    return {
        "format_version": FORMAT_VERSION,
        "network": built.name,
        "task": built.task,
        "num_outputs": built.num_outputs,
        "classes": list(classes),
        "preprocessing": built.preprocessing.to_dict(),
        "options": built.options,
        "last_stage": list(built.stages[-1].parameter_names),
        "weights": built.weights,
        "run_id": run_id,
        "versions": {
            "fine_tuner": __version__,
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
        },
    }


def save_model(model: nn.Module, path: Path, *, metadata: Mapping[str, Any], is_durable: bool = True) -> None:
    """Write a network's weights and ``metadata``, whole or not at all; see ``replacing``.

    Raises:
        OSError: As the file system says; nothing is left behind.
    """
    tensors = {_bare(name): t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    about = {"format": "pt", METADATA_KEY: json.dumps(dict(metadata), sort_keys=True)}
    try:
        with replacing(path, is_durable=is_durable) as temporary:
            save_file(tensors, temporary, metadata=about)
    except SafetensorError as error:
        if number := _OS_ERROR.search(str(error)):
            raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from None
        raise


def read_about(path: Path) -> dict[str, Any]:
    """The metadata of a file of ours.

    Raises:
        WeightsError: If the file is damaged or not ours.
    """
    saved = read_state(path).saved
    if saved is None:
        raise WeightsError(f"{path} was not written by Fine Tuner. Give weights of one of your runs.")
    return saved


def load_saved(path: Path, model: nn.Module) -> dict[str, Any]:
    """Load what ``save_model`` wrote into the same network: every name and shape must agree.

    Returns:
        The metadata.

    Raises:
        WeightsError: If the file is damaged, not ours, or of another network.
    """
    state = read_state(path)
    if state.saved is None:
        raise WeightsError(f"{path} was not written by Fine Tuner. To start from it, give it as model.weights.")
    _copy_strictly(path, state.tensors, model)
    return state.saved


def load_network(path: Path) -> tuple[BuiltModel, dict[str, Any]]:
    """Build the network that a file of ours describes, with its weights, in evaluation mode; and its metadata.

    Stages and preprocessing are those of the run that wrote it, whose first weights are not needed any more.

    Raises:
        WeightsError: If the file is damaged, not ours, or of a newer version.
        ConfigError: If this torchvision has no such network.
    """
    state = read_state(path)
    saved = state.saved
    if saved is None:
        raise WeightsError(f"{path} was not written by Fine Tuner. Give weights of one of your runs.")
    if saved["format_version"] > FORMAT_VERSION:
        raise WeightsError(
            f"{path} has format {saved['format_version']}, and this Fine Tuner ({__version__}) reads up to "
            f"{FORMAT_VERSION}. Update Fine Tuner; the file was written by {saved['versions']['fine_tuner']}."
        )
    name, num_outputs = saved["network"], saved["num_outputs"]
    builder_of(name, saved["task"])
    preprocessing = Preprocessing.from_dict(saved["preprocessing"])
    options = {k: tuple(v) if isinstance(v, list) else v for k, v in saved["options"].items()}
    structure = find_structure(name, num_outputs, options, image_size=preprocessing.image_size)
    materialise(structure.model)
    rescale_as_saved(structure.model, structure.head_layers, state.tensors)
    _copy_strictly(path, state.tensors, structure.model)
    unclip_outputs(structure.model, structure.head_layers)
    built = BuiltModel(
        name=name,
        task=saved["task"],
        num_outputs=num_outputs,
        model=structure.model.eval(),
        head=structure.head_layers,
        new=frozenset(),
        stages=tuple(structure.stages(saved["last_stage"])),
        preprocessing=preprocessing,
        weights=str(path),
        options=options,
    )
    return built, saved


def _copy_strictly(path: Path, tensors: Mapping[str, Tensor], model: nn.Module) -> None:
    """Copy every tensor into the network, which may be wrapped for several devices or compiled."""
    ours = {_bare(name): tensor for name, tensor in model.state_dict().items()}
    wrong = [
        f"{n}: {tuple(tensors[n].shape)} in the file, {tuple(t.shape)} in the network"
        for n, t in ours.items()
        if n in tensors and tensors[n].shape != t.shape
    ]
    wrong += [f"{n}: not in the file" for n in ours if n not in tensors]
    wrong += [f"{n}: not in the network" for n in tensors if n not in ours]
    if wrong:
        more = f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise WeightsError(
            f"{path} holds the weights of another network: {'; '.join(wrong[:_SHOWN])}{more}. Build the network that "
            "its metadata names."
        )
    with torch.no_grad():
        for name, tensor in ours.items():
            tensor.copy_(tensors[name])


def _bare(name: str) -> str:
    """A name without what wrappers put before it."""
    for prefix in _WRAPPERS:
        name = name.removeprefix(prefix)
    return name
