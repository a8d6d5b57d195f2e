"""Settings of the numbers a run computes in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from fine_tuner.config.knobs import STRICT, Knob


@dataclass(frozen=True, kw_only=True)
class PrecisionSettings:
    """How numbers are represented."""

    __pydantic_config__ = STRICT
    dtype: Annotated[
        Literal["auto", "fp32", "fp16", "bf16"],
        Knob(
            label="Half precision",
            help="auto: what is fastest for this network here, measured in the first seconds of a run and remembered. "
            "fp32: off.",
        ),
    ] = "auto"
    channels_last: Annotated[
        Literal["auto", "on", "off"],
        Knob(
            label="Channels last",
            help="Keep the channels of a pixel side by side in memory, which many convolutions want. auto: what was "
            "measured to be fastest here, else on for half precision on a GPU.",
            advanced=True,
            link="https://docs.pytorch.org/tutorials/intermediate/memory_format_tutorial.html",
        ),
    ] = "auto"
    tf32: Annotated[
        bool,
        Knob(
            label="TF32",
            help="On NVIDIA GPUs since 2020, multiply float32 numbers with ten bits after the point: much faster. "
            "Elsewhere it changes nothing.",
            advanced=True,
            link="https://docs.pytorch.org/docs/stable/notes/cuda.html",
        ),
    ] = True
    compile: Annotated[
        bool,
        Knob(
            label="Compile",
            help="Let torch.compile make one program of the network: faster steps after a first one that takes a "
            "minute. Needs a compiler on this machine.",
            advanced=True,
            link="https://docs.pytorch.org/docs/stable/generated/torch.compile.html",
        ),
    ] = False
