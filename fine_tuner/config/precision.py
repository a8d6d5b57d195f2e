"""Settings of the numbers a run computes in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from fine_tuner.config.knobs import Knob
from fine_tuner.config.losses import STRICT


@dataclass(frozen=True, kw_only=True)
class PrecisionSettings:
    """How numbers are represented."""

    __pydantic_config__ = STRICT
    dtype: Annotated[
        Literal["auto", "fp32", "fp16", "bf16"],
        Knob(
            label="Half precision",
            help="fp32: off. auto: bf16 where the device does it well, else fp16 on a GPU, else off.",
        ),
    ] = "fp32"
