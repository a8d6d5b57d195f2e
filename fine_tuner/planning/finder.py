"""The learning-rate finder on the data and the network of given settings; writes nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from torch import Tensor

from fine_tuner.config.settings import Settings
from fine_tuner.models.forward import loss_of_outputs
from fine_tuner.planning.lr_finder import find_lr
from fine_tuner.tasks.build import assemble, build_data


def run_finder(settings: Settings, *, steps: int, on_point: Callable[[int, int, float, float], None]) -> dict[str, Any]:
    """Sweep the rate on the first batches of the training split; see ``FinderResult``. JSON-able.

    Raises:
        InputError: As training would.
    """
    data = build_data(settings)
    with assemble(settings, data) as assembly:
        device = assembly.device

        def loss_of(images: Tensor, targets: Tensor) -> Tensor:
            images, targets = images.to(device), targets.to(device)
            with assembly.precision.autocast():
                output = assembly.model(images)
            return loss_of_outputs(output, targets, assembly.loss_fn)

        result = find_lr(
            assembly.model,
            loss_of,
            assembly.train_batches.starting_at(0),
            assembly.optimizer,
            assembly.precision,
            steps=steps,
            accumulate=settings.train.accumulate,
            clip_norm=settings.optim.clip_norm,
            set_train_mode=assembly.freezing.set_train_mode,
            restore_also=[assembly.loss_fn],
            progress=on_point,
        )
    return dataclasses.asdict(result)


def finder_text(result: dict[str, Any]) -> str:
    """The suggestions for a terminal."""
    if result["valley"] is None and result["steepest"] is None:
        return "The loss never fell, so no rate can be suggested. Check the data and the loss."
    lines = [f"{name:9} optim.lr={result[name]:.2g}" for name in ("valley", "steepest") if result[name] is not None]
    if result["diverged_at"] is not None:
        lines.append(f"diverged at {result['diverged_at']:.2g}")
    return "\n".join(lines)
