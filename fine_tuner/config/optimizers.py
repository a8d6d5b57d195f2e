"""The optimizers on offer: ``torch.optim``'s, under their own names and parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import annotated_types as at
from pydantic import Field

from fine_tuner.config.knobs import Knob
from fine_tuner.config.losses import STRICT

DOCS = "https://docs.pytorch.org/docs/stable/generated/torch.optim."


@dataclass(frozen=True, kw_only=True)
class OptimizerBase:
    """Fields that every optimizer has; they survive a change of optimizer."""

    __pydantic_config__ = STRICT
    lr: Annotated[
        float,
        at.Gt(0),
        Knob(label="Learning rate", help="Peak rate of the new output layer (the head).", log_scale=True),
    ] = 1e-3
    backbone_multiplier: Annotated[
        float,
        at.Gt(0),
        at.Le(1),
        Knob(
            label="Rate of the pretrained part",
            help="The pretrained layers learn at the head's rate times this.",
            unit="× head",
            log_scale=True,
            unless=(("model.trainable", ("head",)),),
        ),
    ] = 0.1
    stage_decay: Annotated[
        float,
        at.Gt(0),
        at.Le(1),
        Knob(
            label="Decay toward the input",
            help="Each earlier stage learns at the rate of the next one times this; 1 gives all stages one rate.",
            advanced=True,
            unless=(("model.trainable", ("head",)),),
        ),
    ] = 1.0
    weight_decay: Annotated[
        float,
        at.Ge(0),
        Knob(label="Weight decay", help="Pulls weights toward zero; norms and biases are left out.", log_scale=True),
    ] = 1e-4
    decay_norms_and_biases: Annotated[
        bool,
        Knob(
            label="Decay norms and biases too",
            help="Apply weight decay to normalisation layers and biases as well.",
            advanced=True,
        ),
    ] = False
    clip_norm: Annotated[
        float | None,
        at.Gt(0),
        Knob(
            label="Clip gradient norm",
            help="Scale the gradient down to this norm if it is larger; empty: never.",
            advanced=True,
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class SGD(OptimizerBase):
    """Stochastic gradient descent with momentum: the classic for fine-tuning, needs a well-chosen rate."""

    name: Literal["SGD"] = "SGD"
    momentum: Annotated[
        float,
        at.Ge(0),
        at.Lt(1),
        Knob(label="Momentum", help="Share of the last update that is kept.", link=DOCS + "SGD.html"),
    ] = 0.9
    nesterov: Annotated[bool, Knob(label="Nesterov", help="Look ahead along the momentum.", advanced=True)] = False


@dataclass(frozen=True, kw_only=True)
class Adam(OptimizerBase):
    """Adam: adapts the rate per weight; forgiving of the rate chosen."""

    name: Literal["Adam"] = "Adam"
    betas: Annotated[
        tuple[float, float],
        Knob(
            label="Betas",
            help="Decay of the running means of gradient and squared gradient.",
            advanced=True,
            link=DOCS + "Adam.html",
        ),
    ] = (0.9, 0.999)
    eps: Annotated[float, at.Gt(0), Knob(label="Epsilon", help="Added to the denominator.", advanced=True)] = 1e-8


@dataclass(frozen=True, kw_only=True)
class AdamW(OptimizerBase):
    """AdamW: Adam with weight decay kept apart from the gradient; a good first choice."""

    name: Literal["AdamW"] = "AdamW"
    betas: Annotated[
        tuple[float, float],
        Knob(
            label="Betas",
            help="Decay of the running means of gradient and squared gradient.",
            advanced=True,
            link=DOCS + "AdamW.html",
        ),
    ] = (0.9, 0.999)
    eps: Annotated[float, at.Gt(0), Knob(label="Epsilon", help="Added to the denominator.", advanced=True)] = 1e-8


OptimizerSettings = Annotated[AdamW | SGD | Adam, Field(discriminator="name")]
