"""Settings of the length of a run and its portions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import annotated_types as at

from fine_tuner.config.knobs import Knob
from fine_tuner.config.losses import STRICT


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """How long to train and in which portions."""

    __pydantic_config__ = STRICT
    epochs: Annotated[int, at.Ge(1), at.Le(100_000), Knob(label="Epochs", help="Passes over the training images.")] = 10
    batch_size: Annotated[
        int,
        at.Ge(1),
        at.Le(65_536),
        Knob(label="Batch size", help="Images in one forward pass on one device.", unit="images"),
    ] = 32
    accumulate: Annotated[
        int,
        at.Ge(1),
        at.Le(4096),
        Knob(
            label="Accumulate",
            help="Forward passes whose gradients make one step; a large batch in little memory.",
            advanced=True,
        ),
    ] = 1
