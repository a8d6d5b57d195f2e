"""A built network in words and plain values, for the page and the plan."""

from __future__ import annotations

from typing import Any

from torch import nn

from fine_tuner.models.build import BuiltModel
from fine_tuner.models.freezing import Trainable, stage_rates
from fine_tuner.models.stages import is_auxiliary


def describe_stages(
    built: BuiltModel,
    *,
    lr: float,
    backbone_multiplier: float = 1.0,
    stage_decay: float = 1.0,
    trainable: Trainable = "all",
    head_epochs: int = 1,
) -> list[dict[str, Any]]:
    """The network from input to head; JSON-able.

    Returns:
        For each stage ``name``; ``parameters``; ``new``, how many of them no weights filled; ``lr``, its peak rate,
        None if it is frozen throughout; and ``frozen_epochs``, how many epochs it waits before it trains.
    """
    sizes = {name: p.numel() for name, p in built.model.named_parameters()}
    rates = stage_rates(
        built.stages, lr=lr, backbone_multiplier=backbone_multiplier, stage_decay=stage_decay, trainable=trainable
    )
    waits = head_epochs if trainable == "gradual" else 0
    return [
        {
            "name": stage.name,
            "parameters": sum(sizes[n] for n in stage.parameter_names),
            "new": sum(sizes[n] for n in stage.parameter_names if n in built.new),
            "lr": rates.get(stage.name),
            "frozen_epochs": 0 if stage is built.stages[-1] else waits,
        }
        for stage in built.stages
    ]


def describe_head(built: BuiltModel) -> str:
    """What was replaced to fit the data, in one or two sentences."""
    was = {name: shape[0] for name, shape, _ in built.weights_report.mismatched} if built.weights_report else {}
    main = [path for path in built.head if not is_auxiliary(path)]
    parts = [f"{path} ({_sides(built.model.get_submodule(path), was.get(f'{path}.weight'))})" for path in main]
    auxiliary = [path for path in built.head if is_auxiliary(path)]
    also = f"; also in the auxiliary {_plural(auxiliary)}" if auxiliary else ""
    layers = f"output {_plural(main, 'layer')} {' and '.join(parts)}{also}"
    if len(built.new) == len(list(built.model.named_parameters())):
        return f"Every layer starts from random numbers, with the {layers}."
    if not any(n.startswith(f"{path}.") for n in built.new for path in main):
        return f"The weights fit as they are, with the {layers}."
    count = sum(p.numel() for n, p in built.model.named_parameters() if n in built.new)
    beyond = [n for n in built.new if n.rpartition(".")[0] not in built.head]
    rest = ", and the layers before it that the weights do not have" if beyond else ""
    return f"Replaced the {layers}{rest}: {count:,} of {built.parameters:,} parameters are new."


def _sides(layer: nn.Module, outputs_before: int | None) -> str:
    """``1280 to 2 outputs instead of 1000``."""
    inputs = getattr(layer, "in_features", None) or getattr(layer, "in_channels", None)
    outputs = getattr(layer, "out_features", None) or getattr(layer, "out_channels", None)
    instead = f" instead of {outputs_before}" if outputs_before not in (None, outputs) else ""
    return f"{inputs} to {outputs}{instead}"


def _plural(paths: list[str], noun: str = "head") -> str:
    return noun if len(paths) == 1 else f"{noun}s"
