"""The network that settings and data ask for, with what is known about how it will learn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from fine_tuner.config.settings import Settings
from fine_tuner.data.records import DataSplits
from fine_tuner.models.batch_norm import quicken_statistics
from fine_tuner.models.build import BuiltModel, build_model, outline_model
from fine_tuner.tasks.standardise import in_own_units, is_standardised


def build_network(
    settings: Settings,
    data: DataSplits,
    on_progress: Callable[[str, float, float | None], None],
    *,
    outline: bool,
    checkpoint: Path | None,
) -> BuiltModel:
    """See ``build.assemble``."""
    model = settings.model
    wanted = {
        "task": settings.task,
        "num_outputs": data.num_outputs,
        "image_size": settings.data.image_size,
        "output_names": data.output_names,
    }
    if outline:
        built = outline_model(model.name, weights=model.weights, **wanted)
    elif checkpoint is not None:
        built = replace(build_model(model.name, weights=str(checkpoint), **wanted), weights=model.weights)
    else:
        built = build_model(model.name, weights=model.weights, progress=on_progress, **wanted)
    quickened = quicken_statistics(built.model) if model.weights == "none" else None
    if quickened:
        built = replace(built, notices=(*built.notices, quickened))
    built = in_own_units(built, data, is_standardised=is_standardised(settings))
    multiplier = settings.optim.backbone_multiplier
    if model.weights == "none" and multiplier < 1 and model.trainable != "head":
        slow = f"The network starts from random weights, yet all but its head learns at {multiplier:g} of the rate."
        built = replace(built, notices=(*built.notices, f"{slow} Consider optim.backbone_multiplier=1."))
    return built
