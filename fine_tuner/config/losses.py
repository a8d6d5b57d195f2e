"""The losses on offer and their parameters. ``losses/`` builds them; a class's first docstring line is its description.

``tasks`` says where a loss has a meaning; it is offered nowhere else. ``formula`` and ``source`` are shown on the page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import annotated_types as at
from pydantic import ConfigDict, Field

from fine_tuner.config.knobs import Knob

STRICT = ConfigDict(extra="forbid", coerce_numbers_to_str=True)
DENSE = ("classification", "multilabel", "segmentation")
ALL_TASKS = (*DENSE, "regression")
TORCH = "https://docs.pytorch.org/docs/stable/generated/torch.nn."


@dataclass(frozen=True, kw_only=True)
class LossBase:
    """Fields that every loss has."""

    __pydantic_config__ = STRICT
    tasks: ClassVar[tuple[str, ...]] = ()
    formula: ClassVar[str] = ""
    source: ClassVar[str] = ""


@dataclass(frozen=True, kw_only=True)
class CrossEntropyLoss(LossBase):
    """Cross entropy: minus the log of the probability given to the true class."""

    tasks = ("classification", "segmentation")
    formula = "-log p_t"
    source = TORCH + "CrossEntropyLoss.html"
    name: Literal["cross_entropy"] = "cross_entropy"
    label_smoothing: Annotated[
        float,
        at.Ge(0),
        at.Lt(1),
        Knob(label="Label smoothing", help="Probability taken from the true class and spread over all classes."),
    ] = 0.0
    class_weights: Annotated[
        Literal["none", "balanced"],
        Knob(label="Class weights", help="Balanced: a class counts in inverse proportion to its number of examples."),
    ] = "none"


@dataclass(frozen=True, kw_only=True)
class MSELoss(LossBase):
    """Mean squared error; for classes the Brier score: probabilities against one-hot targets."""

    tasks = ALL_TASKS
    formula = "mean (p - t)^2"
    source = TORCH + "MSELoss.html"
    name: Literal["mse"] = "mse"


@dataclass(frozen=True, kw_only=True)
class DiceLoss(LossBase):
    """Soft Dice: one minus the overlap of predicted probabilities and target, per class."""

    tasks = DENSE
    formula = "1 - (2 sum p t + s) / (sum p + sum t + s)"
    source = "Milletari et al. 2016, https://arxiv.org/abs/1606.04797"
    name: Literal["dice"] = "dice"
    smooth: Annotated[
        float,
        at.Ge(0),
        Knob(label="Smoothing", help="Added to numerator and denominator; steadies small regions.", advanced=True),
    ] = 0.0
    denominator: Annotated[
        Literal["plain", "squared"],
        Knob(label="Denominator", help="Plain sums of p and t, or sums of their squares (V-Net).", advanced=True),
    ] = "plain"
    per: Annotated[
        Literal["batch", "image"],
        Knob(label="Overlap per", help="Overlap over the whole batch, or per image and then averaged.", advanced=True),
    ] = "batch"


@dataclass(frozen=True, kw_only=True)
class CustomLoss(LossBase):
    """Your own code: a function my_loss(output, target) or an nn.Module class, from a Python file."""

    tasks = ALL_TASKS
    formula = "yours"
    name: Literal["custom"] = "custom"
    file: Annotated[str, Knob(label="Python file", help="File that defines the loss.", widget="path")] = ""
    entry: Annotated[
        str,
        Knob(
            label="Name in the file", help="Function or class to use; empty takes the only one defined.", advanced=True
        ),
    ] = ""


LossSettings = Annotated[CrossEntropyLoss | MSELoss | DiceLoss | CustomLoss, Field(discriminator="name")]
