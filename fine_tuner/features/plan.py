"""Whether the frozen part of a network runs once instead of in every epoch, and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from fine_tuner.features.split import CannotSplitError, Split, split_network

MOST_MIB = 2048  # of features in memory; deeper cuts have small ones: 512 numbers an image before resnet18's head
_MIB = 2**20
_BYTES = 4  # a number in float32, the largest type


@dataclass(frozen=True, kw_only=True, slots=True)
class FeaturePlan:
    """What a run does about its frozen part.

    Attributes:
        is_used: It runs once for each image and view.
        words: That, or why not, for a person; empty if nothing is ever frozen.
        views: Augmented views of each training image that are computed, and repeated in later epochs.
        epochs: So many, from the first on, train on them, those after it train everything; None: all train on them.
        mib: Memory of what is kept, at most.
    """

    is_used: bool = False
    words: str = ""
    views: int = 0
    epochs: int | None = None
    mib: float = 0.0

    def facts(self) -> dict[str, Any]:
        """For the run's log and its plan; JSON-able."""
        return {"is_used": self.is_used, "words": self.words, "views": self.views, "mib": round(self.mib, 1)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Splits:
    """A network in two, in both of its modes."""

    training: Split
    evaluation: Split


def split_in_both_modes(model: nn.Module, image_size: int, *, set_train_mode: Callable[[], None]) -> Splits:
    """Divide a network for training and for evaluation; it is left in training mode.

    Raises:
        CannotSplitError: See ``split_network``.
    """
    model.eval()
    try:
        evaluation = split_network(model, image_size)
    finally:
        set_train_mode()
    return Splits(training=split_network(model, image_size), evaluation=evaluation)


def plan_features(
    numbers: Callable[[], tuple[int, int]],
    *,
    views: int,
    epochs: int,
    is_for_a_time: bool,
    train_images: int,
    val_images: int,
    is_mixed: bool,
    frozen: str,
) -> FeaturePlan:
    """Decide; the same for the same run, wherever it goes on.

    Args:
        numbers: How many numbers the features of an image are, in training and in evaluation; raises
            ``CannotSplitError``. Called only if the rest speaks for it.
        views: Of each training image that are wanted, 1 if nothing is random.
        epochs: For which something is frozen at the input.
        is_for_a_time: Later epochs thaw it.
        train_images: Of the training split.
        val_images: Of the validation split.
        is_mixed: Training mixes images.
        frozen: Name of what is frozen, for the words.
    """
    begin = "The frozen part of the network runs in every epoch"
    if is_mixed:
        return FeaturePlan(words=f"{begin}: images are mixed before it (augment.mix).")
    if epochs <= views:
        return FeaturePlan(
            words=f"{begin}: there are no more epochs ({epochs}) than views of each image (train.views={views})."
        )
    try:
        in_training, in_evaluation = numbers()
    except CannotSplitError as reason:
        return FeaturePlan(words=f"{begin}, because {reason}.")
    mib = (views * train_images * in_training + val_images * in_evaluation) * _BYTES / _MIB
    if mib > MOST_MIB:
        return FeaturePlan(
            words=f"{begin}: what comes out of it would take {mib / 1024:.1f} GiB, more than {MOST_MIB // 1024}. "
            "Fewer train.views or fewer stages that train need less."
        )
    each = "once for each image" if views == 1 else f"once for each of {views} views of each image"
    words = f"What is frozen ({frozen}) runs {each}, not in every epoch; train.features=off changes that."
    return FeaturePlan(is_used=True, words=words, views=views, epochs=epochs if is_for_a_time else None, mib=mib)
