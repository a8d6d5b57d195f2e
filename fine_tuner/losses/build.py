"""Settings become loss modules: a builder for each settings class. CONTRIBUTING says how to add a loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from fine_tuner.base.errors import ConfigError
from fine_tuner.base.registry import Registry
from fine_tuner.config.sections.loss_inputs import why_no_form
from fine_tuner.config.sections.losses import (
    BinaryCrossEntropyLoss,
    ClassWeighted,
    CrossEntropyLoss,
    CustomLoss,
    DiceCrossEntropyLoss,
    DiceLoss,
    DiceParameters,
    FocalLoss,
    HuberLoss,
    JaccardLoss,
    L1Loss,
    LossBase,
    LovaszLoss,
    MSELoss,
    Overlap,
    SmoothL1Loss,
    TverskyLoss,
)
from fine_tuner.config.sections.second_loss import SecondLossBase, without_weight
from fine_tuner.config.tasks import TargetKind, target_kind
from fine_tuner.losses import functional, overlap
from fine_tuner.losses.code import read_code
from fine_tuner.losses.formula_parts import NO_INDEX
from fine_tuner.losses.modules import FormulaLoss, LossSum, balanced_weights
from fine_tuner.losses.trials.meaning import LossUse, settle
from fine_tuner.losses.verdicts import checks_folder, why_not_run

LOSSES: Registry[nn.Module] = Registry("loss")


@dataclass(frozen=True, kw_only=True, slots=True)
class Targets:
    """What no loss settings can know: the task and what its targets look like.

    Attributes:
        class_counts: Examples of each class; None if not counted.
        ignore_index: Target of pixels that do not count; in masks alone, so class 255 of 1,000 counts like any other.
        path: Where the settings are, for messages: ``"loss"`` or ``"second_loss"``.
    """

    task: str
    num_outputs: int
    class_counts: Sequence[int] | None
    ignore_index: int
    path: str

    @property
    def are_masks(self) -> bool:
        """Whether there is a target per pixel."""
        return target_kind(self.task) is TargetKind.MASK


def build_loss(
    settings: LossBase,
    *,
    task: str,
    num_outputs: int,
    class_counts: Sequence[int] | None = None,
    ignore_index: int = 255,
    second: SecondLossBase | None = None,
) -> nn.Module:
    """The loss that the settings describe, called as ``loss_fn(logits, targets)``.

    Args:
        settings: One of the variants of ``LossSettings``.
        task: One of the four tasks.
        num_outputs: K classes or labels, or D numbers.
        class_counts: Training examples (images, or pixels of masks) of each class; needed by balanced weights only.
        ignore_index: Target of pixels that do not count; used for masks alone.
        second: Second loss of a weighted sum; None or its ``none`` variant for no sum.

    Returns:
        Module whose result is a scalar float32, computed in float32 also under autocast.

    Raises:
        ConfigError: If a loss has no meaning for the task, or its balanced weights have no counts.
        LossCodeError: If the user's own loss cannot be loaded.
    """
    about = {"task": task, "num_outputs": num_outputs, "class_counts": class_counts, "ignore_index": ignore_index}
    first_loss = _build(settings, Targets(**about, path="loss"))
    added = None if second is None else without_weight(second)
    if second is None or added is None:
        return first_loss
    return LossSum(first_loss, _build(added, Targets(**about, path="second_loss")), second.weight)


def _build(settings: LossBase, targets: Targets) -> nn.Module:
    if targets.task not in settings.tasks:
        message = f"{settings.name!r} has no meaning for {targets.task}. It is for {', '.join(settings.tasks)}."
        raise ConfigError({f"{targets.path}.name": message})
    if targets.are_masks and targets.num_outputs > targets.ignore_index >= 0:
        message = f"{targets.num_outputs} classes include {targets.ignore_index}, which means 'ignore' in masks."
        raise ConfigError({"data.path": f"{message} Use fewer classes."})
    return LOSSES.build(settings, targets=targets)


# ------------------------------------------------------------ shared parameters
def _ignore(targets: Targets) -> dict[str, Any]:
    return {"ignore_index": targets.ignore_index if targets.are_masks else NO_INDEX}


def _weight(settings: ClassWeighted, targets: Targets) -> Tensor | None:
    if settings.class_weights == "none" or target_kind(targets.task) is TargetKind.LABELS:
        return None
    if targets.class_counts is None or len(targets.class_counts) != targets.num_outputs:
        counted = "no class" if targets.class_counts is None else f"{len(targets.class_counts)} classes"
        message = f"'balanced' needs the examples of {targets.num_outputs} classes, and {counted} was counted."
        raise ConfigError({f"{targets.path}.class_weights": f"{message} Choose none."})
    return balanced_weights(targets.class_counts)


def _overlap(settings: Overlap, targets: Targets) -> dict[str, Any]:
    shared: dict[str, Any] = {"include_absent": settings.include_absent}
    if targets.are_masks:
        shared |= {"per_image": settings.per == "image", "include_background": settings.include_background}
        shared |= _ignore(targets)
    return shared


# -------------------------------------------------------------------- builders
@LOSSES.register(CrossEntropyLoss)
def _(settings: CrossEntropyLoss, *, targets: Targets) -> nn.Module:
    return _cross_entropy(settings, targets)


def _cross_entropy(settings: CrossEntropyLoss | DiceCrossEntropyLoss, targets: Targets) -> nn.Module:
    return FormulaLoss(
        functional.cross_entropy,
        weight=_weight(settings, targets),
        label_smoothing=settings.label_smoothing,
        **_ignore(targets),
    )


@LOSSES.register(BinaryCrossEntropyLoss)
def _(settings: BinaryCrossEntropyLoss, *, targets: Targets) -> nn.Module:
    return FormulaLoss(functional.binary_cross_entropy, positive_weight=settings.positive_weight)


@LOSSES.register(MSELoss)
def _(settings: MSELoss, *, targets: Targets) -> nn.Module:
    if target_kind(targets.task) is TargetKind.NUMBERS:
        return FormulaLoss(functional.mse_loss)
    return FormulaLoss(functional.brier_loss, **_ignore(targets))


@LOSSES.register(L1Loss)
def _(settings: L1Loss, *, targets: Targets) -> nn.Module:
    return FormulaLoss(functional.l1_loss)


@LOSSES.register(SmoothL1Loss)
def _(settings: SmoothL1Loss, *, targets: Targets) -> nn.Module:
    return FormulaLoss(functional.smooth_l1_loss, beta=settings.beta)


@LOSSES.register(HuberLoss)
def _(settings: HuberLoss, *, targets: Targets) -> nn.Module:
    return FormulaLoss(functional.huber_loss, delta=settings.delta)


@LOSSES.register(DiceLoss)
def _(settings: DiceLoss, *, targets: Targets) -> nn.Module:
    return _dice(settings, targets)


def _dice(settings: DiceParameters, targets: Targets) -> nn.Module:
    squared = settings.denominator == "squared"
    return FormulaLoss(overlap.dice_loss, smooth=settings.smooth, squared=squared, **_overlap(settings, targets))


@LOSSES.register(DiceCrossEntropyLoss)
def _(settings: DiceCrossEntropyLoss, *, targets: Targets) -> nn.Module:
    return LossSum(_cross_entropy(settings, targets), _dice(settings, targets), settings.dice_weight)


@LOSSES.register(FocalLoss)
def _(settings: FocalLoss, *, targets: Targets) -> nn.Module:
    if target_kind(targets.task) is TargetKind.LABELS:
        return FormulaLoss(functional.sigmoid_focal_loss, gamma=settings.gamma, alpha=settings.alpha)
    weight = _weight(settings, targets)
    return FormulaLoss(functional.focal_loss, weight=weight, gamma=settings.gamma, **_ignore(targets))


@LOSSES.register(TverskyLoss)
def _(settings: TverskyLoss, *, targets: Targets) -> nn.Module:
    return FormulaLoss(
        overlap.tversky_loss,
        alpha=settings.alpha,
        beta=settings.beta,
        smooth=settings.smooth,
        **_overlap(settings, targets),
    )


@LOSSES.register(JaccardLoss)
def _(settings: JaccardLoss, *, targets: Targets) -> nn.Module:
    return FormulaLoss(overlap.jaccard_loss, smooth=settings.smooth, **_overlap(settings, targets))


@LOSSES.register(LovaszLoss)
def _(settings: LovaszLoss, *, targets: Targets) -> nn.Module:
    return FormulaLoss(overlap.lovasz_loss, **_overlap(settings, targets))


@LOSSES.register(CustomLoss)
def _(settings: CustomLoss, *, targets: Targets) -> nn.Module:
    if why := why_no_form(settings.inputs, targets.task, targets.num_outputs):
        raise ConfigError({f"{targets.path}.inputs": why})
    code = read_code(settings.file)
    if why := why_not_run(code, settings, task=targets.task, folder=checks_folder()):
        raise ConfigError({f"{targets.path}.file": why})
    use = LossUse(
        task=targets.task,
        num_outputs=targets.num_outputs,
        ignore_index=targets.ignore_index,
        inputs=settings.inputs,
        ignored=settings.ignored,
    )
    return settle(code, settings.entry, settings.arguments, use).loaded.module
