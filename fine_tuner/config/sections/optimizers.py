"""The optimizers on offer: ``torch.optim``'s, under their own names and parameters.

Left out, because a run by mini-batches of a convolutional network has no use for them: LBFGS (needs a closure), Rprop
(full batches only), SparseAdam (sparse gradients), ASGD (its averaged weights would be thrown away) and Muon (matrices
only). A class's first docstring line is its description.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, get_args

import annotated_types as at
from pydantic import Field

from fine_tuner.base.errors import ConfigError
from fine_tuner.config.knobs import STRICT, Knob

DOCS = "https://docs.pytorch.org/docs/stable/generated/torch.optim."

_Beta = Annotated[float, at.Ge(0), at.Lt(1)]
_Betas = tuple[_Beta, _Beta]
_BETAS_HELP = "Decay of the running means of gradient and squared gradient, each in [0, 1)."
_EPS = Knob(label="Epsilon", help="Added to the denominator, for numerical stability.", log_scale=True, advanced=True)
_AMSGRAD = Knob(
    label="AMSGrad", help="Divide by the largest squared gradient seen, not by its running mean.", advanced=True
)
_DECOUPLED = Knob(
    label="Decoupled decay", help="Weight decay acts on the weights as in AdamW, not on the gradient.", advanced=True
)


@dataclass(frozen=True, kw_only=True)
class OptimizerBase:
    """Fields that every optimizer has; they survive a change of optimizer.

    Attributes:
        has_momentum: Whether a schedule can cycle its momentum (``momentum``, or the first of ``betas``).
        num_states: Tensors of the parameter's shape, in float32, that torch's optimizer keeps; momentum that may be 0
            is one more where it is used.
    """

    __pydantic_config__ = STRICT
    has_momentum: ClassVar[bool] = True
    num_states: ClassVar[int]
    lr: Annotated[
        float | None,
        at.Gt(0),
        Knob(
            label="Learning rate",
            help="Peak rate of the new output layer (the head); empty: chosen for the data.",
            log_scale=True,
        ),
    ] = 1e-3
    backbone_multiplier: Annotated[
        float | None,
        at.Gt(0),
        at.Le(1),
        Knob(
            label="Rate of the pretrained part",
            help="The pretrained layers learn at the head's rate times this; empty: chosen for the weights.",
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
class AdamW(OptimizerBase):
    """AdamW: Adam with weight decay kept apart from the gradient; a good first choice."""

    name: Literal["AdamW"] = "AdamW"
    num_states: ClassVar[int] = 2
    betas: Annotated[_Betas, Knob(label="Betas", help=_BETAS_HELP, advanced=True, link=DOCS + "AdamW.html")] = (
        0.9,
        0.999,
    )
    eps: Annotated[float, at.Gt(0), _EPS] = 1e-8
    amsgrad: Annotated[bool, _AMSGRAD] = False


@dataclass(frozen=True, kw_only=True)
class SGD(OptimizerBase):
    """Stochastic gradient descent with momentum: the classic for fine-tuning, needs a well-chosen rate."""

    name: Literal["SGD"] = "SGD"
    num_states: ClassVar[int] = 0
    momentum: Annotated[
        float,
        at.Ge(0),
        at.Lt(1),
        Knob(label="Momentum", help="Share of the last update that is kept.", link=DOCS + "SGD.html"),
    ] = 0.9
    dampening: Annotated[
        float,
        at.Ge(0),
        at.Le(1),
        Knob(label="Dampening", help="Share of the new gradient that the momentum leaves out.", advanced=True),
    ] = 0.0
    nesterov: Annotated[
        bool,
        Knob(label="Nesterov", help="Look ahead along the momentum; needs momentum > 0 and no dampening."),
    ] = False


@dataclass(frozen=True, kw_only=True)
class Adam(OptimizerBase):
    """Adam: adapts the rate per weight; forgiving of the rate chosen."""

    name: Literal["Adam"] = "Adam"
    num_states: ClassVar[int] = 2
    betas: Annotated[_Betas, Knob(label="Betas", help=_BETAS_HELP, advanced=True, link=DOCS + "Adam.html")] = (
        0.9,
        0.999,
    )
    eps: Annotated[float, at.Gt(0), _EPS] = 1e-8
    amsgrad: Annotated[bool, _AMSGRAD] = False


@dataclass(frozen=True, kw_only=True)
class NAdam(OptimizerBase):
    """NAdam: Adam that looks ahead along its momentum, as Nesterov does."""

    name: Literal["NAdam"] = "NAdam"
    num_states: ClassVar[int] = 2
    betas: Annotated[_Betas, Knob(label="Betas", help=_BETAS_HELP, advanced=True, link=DOCS + "NAdam.html")] = (
        0.9,
        0.999,
    )
    eps: Annotated[float, at.Gt(0), _EPS] = 1e-8
    momentum_decay: Annotated[
        float, at.Ge(0), Knob(label="Momentum decay", help="How fast the momentum warms up.", advanced=True)
    ] = 4e-3
    decoupled_weight_decay: Annotated[bool, _DECOUPLED] = False


@dataclass(frozen=True, kw_only=True)
class RAdam(OptimizerBase):
    """RAdam: Adam that holds back its adaptive rate until it has seen enough gradients; needs no warm-up."""

    name: Literal["RAdam"] = "RAdam"
    num_states: ClassVar[int] = 2
    betas: Annotated[_Betas, Knob(label="Betas", help=_BETAS_HELP, advanced=True, link=DOCS + "RAdam.html")] = (
        0.9,
        0.999,
    )
    eps: Annotated[float, at.Gt(0), _EPS] = 1e-8
    decoupled_weight_decay: Annotated[bool, _DECOUPLED] = False


@dataclass(frozen=True, kw_only=True)
class Adamax(OptimizerBase):
    """Adamax: Adam that scales by the largest recent gradient; calm where gradients are spiky."""

    name: Literal["Adamax"] = "Adamax"
    num_states: ClassVar[int] = 2
    betas: Annotated[
        _Betas,
        Knob(
            label="Betas",
            help="Decay of the running mean of the gradient and of its largest size, each in [0, 1).",
            advanced=True,
            link=DOCS + "Adamax.html",
        ),
    ] = (0.9, 0.999)
    eps: Annotated[float, at.Gt(0), _EPS] = 1e-8


@dataclass(frozen=True, kw_only=True)
class RMSprop(OptimizerBase):
    """RMSprop: divides by the recent size of the gradient; what MobileNet and EfficientNet were trained with."""

    name: Literal["RMSprop"] = "RMSprop"
    num_states: ClassVar[int] = 1
    alpha: Annotated[
        float,
        at.Ge(0),
        at.Lt(1),
        Knob(label="Alpha", help="Decay of the running mean of the squared gradient.", link=DOCS + "RMSprop.html"),
    ] = 0.99
    momentum: Annotated[
        float, at.Ge(0), at.Lt(1), Knob(label="Momentum", help="Share of the last update that is kept.")
    ] = 0.0
    eps: Annotated[float, at.Gt(0), _EPS] = 1e-8
    centered: Annotated[
        bool, Knob(label="Centered", help="Divide by the gradient's spread about its mean.", advanced=True)
    ] = False


@dataclass(frozen=True, kw_only=True)
class Adagrad(OptimizerBase):
    """Adagrad: each weight's rate falls with the gradients it has seen; wants a larger rate, about 1e-2."""

    name: Literal["Adagrad"] = "Adagrad"
    num_states: ClassVar[int] = 1
    has_momentum: ClassVar[bool] = False
    lr_decay: Annotated[
        float,
        at.Ge(0),
        Knob(
            label="Rate decay",
            help="The rate is also divided by 1 + this × steps, on top of the schedule.",
            advanced=True,
            link=DOCS + "Adagrad.html",
        ),
    ] = 0.0
    initial_accumulator_value: Annotated[
        float, at.Ge(0), Knob(label="First sum", help="Squared gradients to start from.", advanced=True)
    ] = 0.0
    eps: Annotated[float, at.Gt(0), _EPS] = 1e-10


@dataclass(frozen=True, kw_only=True)
class Adadelta(OptimizerBase):
    """Adadelta: finds its own scale of update; its rate is a factor near 1."""

    name: Literal["Adadelta"] = "Adadelta"
    num_states: ClassVar[int] = 2
    has_momentum: ClassVar[bool] = False
    lr: Annotated[
        float | None,
        at.Gt(0),
        Knob(
            label="Learning rate",
            help="Factor of the update that Adadelta finds by itself, for the head, near 1; empty: chosen.",
            log_scale=True,
        ),
    ] = 1.0
    rho: Annotated[
        float,
        at.Ge(0),
        at.Lt(1),
        Knob(label="Rho", help="Decay of the running mean of the squared gradient.", link=DOCS + "Adadelta.html"),
    ] = 0.9
    eps: Annotated[float, at.Gt(0), _EPS] = 1e-6


@dataclass(frozen=True, kw_only=True)
class Adafactor(OptimizerBase):
    """Adafactor: Adam's adaptation in little memory, by rows and columns; slow on a CPU."""

    name: Literal["Adafactor"] = "Adafactor"
    num_states: ClassVar[int] = 0
    has_momentum: ClassVar[bool] = False
    beta2_decay: Annotated[
        float,
        at.Le(0),
        Knob(
            label="Beta2 decay",
            help="Exponent of the step that makes the running mean longer as training goes on.",
            advanced=True,
            link=DOCS + "Adafactor.html",
        ),
    ] = -0.8
    d: Annotated[
        float, at.Ge(1), Knob(label="Update limit", help="Updates larger than this are scaled down.", advanced=True)
    ] = 1.0


OptimizerSettings = Annotated[
    AdamW | SGD | Adam | NAdam | RAdam | Adamax | RMSprop | Adagrad | Adadelta | Adafactor,
    Field(discriminator="name"),
]
WITHOUT_MOMENTUM: tuple[str, ...] = tuple(
    v.name for v in get_args(get_args(OptimizerSettings)[0]) if not v.has_momentum
)


def check_optimizer(settings: OptimizerSettings, *, path: str = "optim") -> None:
    """Check parameters against each other; their own bounds were checked when they were parsed.

    Raises:
        ConfigError: At the dotted path of the parameter to change.
    """
    if isinstance(settings, SGD) and settings.nesterov and (settings.momentum == 0 or settings.dampening != 0):
        raise ConfigError(
            {
                f"{path}.nesterov": f"needs momentum > 0 and dampening 0, not momentum {settings.momentum:g} and "
                f"dampening {settings.dampening:g}. Set {path}.momentum=0.9 {path}.dampening=0, or turn it off."
            }
        )
