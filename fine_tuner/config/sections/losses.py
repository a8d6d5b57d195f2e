"""The losses on offer and their parameters. ``losses/`` builds them; a class's first docstring line is its description.

``tasks`` says where a loss has a meaning; it is offered nowhere else. ``formula`` and ``source`` are shown on the page.
In the formulas p is the predicted probability, t the target (0 or 1), p_t the probability given to the true answer,
e = prediction - target; sums run over images and pixels. The second loss of a sum is in ``second_loss.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Annotated, ClassVar, Literal

import annotated_types as at
from pydantic import Field

from fine_tuner.config.knobs import STRICT, Knob
from fine_tuner.config.sections.loss_inputs import IgnoredPixels, LossInputs
from fine_tuner.config.tasks import TASK_SPECS, TargetKind, tasks_with

CLASSES = tasks_with(TargetKind.CLASS, TargetKind.MASK)
LABELS = tasks_with(TargetKind.LABELS)
NUMBERS = tasks_with(TargetKind.NUMBERS)
MASKS = tasks_with(TargetKind.MASK)
DENSE = (*CLASSES, *LABELS)
ALL_TASKS = tuple(TASK_SPECS)
TORCH = "https://docs.pytorch.org/docs/stable/generated/torch.nn."


@dataclass(frozen=True, kw_only=True)
class LossBase:
    """Fields that every loss has."""

    __pydantic_config__ = STRICT
    tasks: ClassVar[tuple[str, ...]] = ()
    formula: ClassVar[str] = ""
    source: ClassVar[str] = ""


@dataclass(frozen=True, kw_only=True)
class ClassWeighted(LossBase):
    """Losses that can count some classes more than others."""

    class_weights: Annotated[
        Literal["none", "balanced"],
        Knob(label="Class weights", help="Balanced: a class counts in inverse proportion to its number of examples."),
    ] = "none"


@dataclass(frozen=True, kw_only=True)
class SmoothedLabels(ClassWeighted):
    """Losses with a cross entropy in them."""

    label_smoothing: Annotated[
        float,
        at.Ge(0),
        at.Lt(1),
        Knob(label="Label smoothing", help="Probability taken from the true class and spread over all classes."),
    ] = 0.0


@dataclass(frozen=True, kw_only=True)
class Overlap(LossBase):
    """Losses that compare the predicted region of each class with the true one."""

    per: Annotated[
        Literal["batch", "image"],
        Knob(
            label="Overlap per",
            help="Overlap over the whole batch, or per image and then averaged.",
            advanced=True,
            when=(("task", MASKS),),
        ),
    ] = "batch"
    include_background: Annotated[
        bool,
        Knob(
            label="Score class 0",
            help="Off: class 0 is background, scored only through the others. On: a class like any other.",
            advanced=True,
            when=(("task", MASKS),),
        ),
    ] = False
    include_absent: Annotated[
        bool,
        Knob(
            label="Score absent classes",
            help="Off: classes that the batch lacks are left out. On: predicting one of them is a full error.",
            advanced=True,
        ),
    ] = False


@dataclass(frozen=True, kw_only=True)
class SmoothOverlap(Overlap):
    """Overlap losses that are a quotient and may be smoothed."""

    smooth: Annotated[
        float,
        at.Ge(0),
        Knob(label="Smoothing", help="Added to numerator and denominator; steadies small regions.", advanced=True),
    ] = 0.0


@dataclass(frozen=True, kw_only=True)
class CrossEntropyLoss(SmoothedLabels):
    """Cross entropy: minus the log of the probability given to the true class."""

    tasks = CLASSES
    formula = "mean of -log p_t"
    source = TORCH + "CrossEntropyLoss.html"
    name: Literal["cross_entropy"] = "cross_entropy"


@dataclass(frozen=True, kw_only=True)
class BinaryCrossEntropyLoss(LossBase):
    """Binary cross entropy: minus the log of the probability given to the right answer, label by label."""

    tasks = LABELS
    formula = "mean of -(w t log p + (1 - t) log(1 - p))"
    source = TORCH + "BCEWithLogitsLoss.html"
    name: Literal["binary_cross_entropy"] = "binary_cross_entropy"
    positive_weight: Annotated[
        float,
        at.Gt(0),
        Knob(label="Positive weight", help="w: how much a label that is there counts against one that is not."),
    ] = 1.0


@dataclass(frozen=True, kw_only=True)
class MSELoss(LossBase):
    """Mean squared error; for classes the Brier score: probabilities against one-hot targets."""

    tasks = ALL_TASKS
    formula = "mean of (p - t)^2; numbers: mean of e^2"
    source = TORCH + "MSELoss.html; Brier 1950"
    name: Literal["mse"] = "mse"


@dataclass(frozen=True, kw_only=True)
class L1Loss(LossBase):
    """Mean absolute error: large errors count in proportion, so outliers pull less than with MSE."""

    tasks = NUMBERS
    formula = "mean of |e|"
    source = TORCH + "L1Loss.html"
    name: Literal["l1"] = "l1"


@dataclass(frozen=True, kw_only=True)
class SmoothL1Loss(LossBase):
    """Smooth L1: squared for small errors, absolute beyond, with slope 1 there."""

    tasks = NUMBERS
    formula = "mean of e^2 / (2 beta) where |e| < beta, else |e| - beta / 2"
    source = TORCH + "SmoothL1Loss.html; Girshick 2015, https://arxiv.org/abs/1504.08083"
    name: Literal["smooth_l1"] = "smooth_l1"
    beta: Annotated[
        float, at.Gt(0), Knob(label="Beta", help="Error at which squared turns into absolute.", unit="as the target")
    ] = 1.0


@dataclass(frozen=True, kw_only=True)
class HuberLoss(LossBase):
    """Huber: half the squared error for small errors, absolute beyond, with slope delta there."""

    tasks = NUMBERS
    formula = "mean of e^2 / 2 where |e| < delta, else delta (|e| - delta / 2)"
    source = TORCH + "HuberLoss.html; Huber 1964"
    name: Literal["huber"] = "huber"
    delta: Annotated[
        float, at.Gt(0), Knob(label="Delta", help="Error at which squared turns into absolute.", unit="as the target")
    ] = 1.0


@dataclass(frozen=True, kw_only=True)
class DiceParameters(SmoothOverlap):
    """Fields of every loss that has a Dice in it."""

    denominator: Annotated[
        Literal["plain", "squared"],
        Knob(label="Denominator", help="Plain sums of p and t, or sums of their squares (V-Net).", advanced=True),
    ] = "plain"


@dataclass(frozen=True, kw_only=True)
class DiceLoss(DiceParameters):
    """Soft Dice: one minus the overlap of predicted probabilities and target, per class."""

    tasks = DENSE
    formula = "1 - (2 sum p t + s) / (sum p + sum t + s), mean over classes"
    source = "Milletari et al. 2016, https://arxiv.org/abs/1606.04797"
    name: Literal["dice"] = "dice"


@dataclass(frozen=True, kw_only=True)
class DiceCrossEntropyLoss(SmoothedLabels, DiceParameters):
    """Dice + cross entropy: overlap for the shape, cross entropy for steady gradients; the usual for masks."""

    tasks = CLASSES
    formula = "cross entropy + w (1 - (2 sum p t + s) / (sum p + sum t + s))"
    source = "Isensee et al. 2018 (nnU-Net), https://arxiv.org/abs/1809.10486"
    name: Literal["dice_cross_entropy"] = "dice_cross_entropy"
    dice_weight: Annotated[
        float, at.Gt(0), Knob(label="Weight of Dice", help="w: how much Dice counts against cross entropy.")
    ] = 1.0


@dataclass(frozen=True, kw_only=True)
class FocalLoss(ClassWeighted):
    """Focal: cross entropy that discounts what is easy already, for rare classes and small objects."""

    tasks = DENSE
    formula = "mean of -(1 - p_t)^gamma log p_t"
    source = "Lin et al. 2017, https://arxiv.org/abs/1708.02002"
    name: Literal["focal"] = "focal"
    gamma: Annotated[
        float, at.Ge(0), at.Le(10), Knob(label="Gamma", help="How much easy examples are discounted; 0: not at all.")
    ] = 2.0
    class_weights: Annotated[
        Literal["none", "balanced"],
        Knob(
            label="Class weights",
            help="Balanced: a class counts in inverse proportion to its number of examples.",
            when=(("task", CLASSES),),
        ),
    ] = "none"
    alpha: Annotated[
        float | None,
        at.Gt(0),
        at.Lt(1),
        Knob(
            label="Alpha",
            help="Weight of labels that are there; those that are not get the rest of 1. Empty: all count 1.",
            when=(("task", LABELS),),
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class TverskyLoss(SmoothOverlap):
    """Tversky: Dice in which false alarms and misses weigh differently."""

    tasks = DENSE
    formula = "1 - (TP + s) / (TP + alpha FP + beta FN + s), TP = sum p t, FP = sum p (1 - t), FN = sum (1 - p) t"
    source = "Salehi et al. 2017, https://arxiv.org/abs/1706.05721"
    name: Literal["tversky"] = "tversky"
    alpha: Annotated[float, at.Gt(0), Knob(label="Weight of false alarms", help="alpha; 0.5 and 0.5 is Dice.")] = 0.3
    beta: Annotated[float, at.Gt(0), Knob(label="Weight of misses", help="beta; above alpha: fewer misses.")] = 0.7


@dataclass(frozen=True, kw_only=True)
class JaccardLoss(SmoothOverlap):
    """Soft Jaccard (IoU): one minus intersection over union of probabilities and target, per class."""

    tasks = DENSE
    formula = "1 - (sum p t + s) / (sum p + sum t - sum p t + s), mean over classes"
    source = "Rahman and Wang 2016, https://doi.org/10.1007/978-3-319-50835-1_22"
    name: Literal["jaccard"] = "jaccard"


@dataclass(frozen=True, kw_only=True)
class LovaszLoss(Overlap):
    """Lovasz: the convex extension of the Jaccard index of hard predictions; slow on large masks (it sorts)."""

    tasks = DENSE
    formula = "Lovasz extension of 1 - IoU at the errors |t - p|, mean over classes"
    source = "Berman et al. 2018 (Lovasz-Softmax), https://arxiv.org/abs/1705.08790"
    name: Literal["lovasz"] = "lovasz"


@dataclass(frozen=True, kw_only=True)
class CustomLoss(LossBase):
    """Your own code: a function my_loss(output, target), an nn.Module class or an object of one, from a Python file."""

    tasks = ALL_TASKS
    formula = "yours"
    source = "the file named below"
    name: Literal["custom"] = "custom"
    file: Annotated[
        str,
        Knob(
            label="Python file",
            help="File that defines the loss; the page has an editor that saves one.",
            widget="path",
        ),
    ] = ""
    entry: Annotated[
        str,
        Knob(label="Name in the file", help="Function, class or object to use; empty: the only one.", advanced=True),
    ] = ""
    inputs: Annotated[
        LossInputs,
        Knob(
            label="The code is given",
            help="What output and target are. Auto: the first form in which the code has a meaning; Check says which "
            "and shows all on your data.",
            when=(("task", DENSE),),
        ),
    ] = "auto"
    arguments: Annotated[
        str,
        Knob(
            label="Arguments",
            help="For the constructor, or beside output and target, as in a call: gamma=2.0, weight=[1.0, 2.0].",
        ),
    ] = ""
    ignored: Annotated[
        IgnoredPixels,
        Knob(
            label="Pixels to ignore",
            help="Given: the code sees 255. Left out: it gets the others in one column. Answered: they stay in place "
            "as class 0, rightly answered. Auto: as suits the code.",
            advanced=True,
            when=(("task", MASKS),),
        ),
    ] = "auto"
    unchecked: Annotated[
        bool,
        Knob(label="Train without a passed check", help="Train even if Check fails or was not run.", advanced=True),
    ] = False


CUSTOM = CustomLoss.name  # the variant that runs code of the user's


VARIANTS: tuple[type[LossBase], ...] = (
    CrossEntropyLoss, DiceCrossEntropyLoss, DiceLoss, BinaryCrossEntropyLoss, MSELoss, L1Loss, SmoothL1Loss, HuberLoss,
    FocalLoss, TverskyLoss, JaccardLoss, LovaszLoss, CustomLoss,
)  # fmt: skip
LossSettings = Annotated[reduce(or_, VARIANTS), Field(discriminator="name")]
