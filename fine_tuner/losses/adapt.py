"""What a loss of the user's own is given: output and target in the form that its code expects.

The forms are listed in ``config/sections/loss_inputs.py``. Each is one function here of the network's logits
``(B, K, ...)`` and the task's targets, both as training has them; an exported script holds the same functions.

Pixels to ignore are taken out of output and target before that, in one of two ways:

* *left out*: what remains stands in one column, ``(1, K, N, 1)`` and ``(1, N, 1)`` of N pixels (a row would lose an
  axis to ``target.squeeze(1)``). For a loss that flattens or averages this is exact; which image a pixel is of, and
  its neighbours, are lost.
* *answered*: every pixel stays in its place, and one to ignore counts as class 0, answered surely and rightly. It adds
  nothing to an error and nothing to a region of another class, but a mean counts it. For a loss that takes images
  apart or looks at neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from fine_tuner.config.tasks import TargetKind

Pair = tuple[Tensor, Tensor]
SURE = 30.0


def leave_out(logits: Tensor, targets: Tensor, ignore_index: int) -> Pair:
    """Logits ``(1, K, N, 1)`` and targets ``(1, N, 1)`` of the N pixels that count; both as they are if all count."""
    counts = targets != ignore_index
    if bool(counts.all()):
        return logits, targets
    return logits.movedim(1, -1)[counts].T[None, ..., None], targets[counts][None, :, None]


def answer_ignored(logits: Tensor, targets: Tensor, ignore_index: int) -> Pair:
    """Logits and targets in which a pixel to ignore is class 0, with a logit of ``SURE`` and the others ``-SURE``."""
    ignored = targets == ignore_index
    answer = torch.full_like(logits, -SURE)
    answer[:, 0] = SURE
    return torch.where(ignored.unsqueeze(1), answer, logits), torch.where(ignored, 0, targets)


def as_is(logits: Tensor, targets: Tensor) -> Pair:
    """Both as they are."""
    return logits, targets


def log_probs(logits: Tensor, targets: Tensor) -> Pair:
    """Log-softmax over the classes, and class numbers."""
    return logits.log_softmax(1), targets


def probs(logits: Tensor, targets: Tensor) -> Pair:
    """Softmax over the classes, and class numbers."""
    return logits.softmax(1), targets


def logits_one_hot(logits: Tensor, targets: Tensor) -> Pair:
    """Logits ``(B, K, ...)``, and targets ``(B, ...)`` as one-hot ``(B, K, ...)`` in the logits' dtype."""
    zeros = torch.zeros_like(logits, memory_format=torch.contiguous_format)
    return logits, zeros.scatter_(1, targets.unsqueeze(1), 1.0)


def probs_one_hot(logits: Tensor, targets: Tensor) -> Pair:
    """Softmax over the classes, and targets as one-hot."""
    logits, one_hot = logits_one_hot(logits, targets)
    return logits.softmax(1), one_hot


def margins_one_hot(logits: Tensor, targets: Tensor) -> Pair:
    """Each class's logit less the log-sum-exp of all others', whose sigmoid is the softmax; targets as one-hot."""
    top = logits.argmax(1, keepdim=True)
    below = logits.softmax(1).scatter(1, top, 0.0)  # log(1 - p) of a sure class would be -inf, so that one is summed up
    others = logits.logsumexp(1, keepdim=True) + torch.log1p(-below)
    others = others.scatter(1, top, logits.scatter(1, top, -torch.inf).logsumexp(1, keepdim=True))
    return logits_one_hot(logits - others, targets)


def probs_of_labels(logits: Tensor, targets: Tensor) -> Pair:
    """Sigmoid of each label's logit, and the labels ``(B, K)``."""
    return logits.sigmoid(), targets


def foreground_logit(logits: Tensor, targets: Tensor) -> Pair:
    """Of two classes: class 1 minus class 0 ``(B, 1, ...)``, whose sigmoid is the softmax of class 1; 1 for class 1."""
    return logits[:, 1:2] - logits[:, 0:1], targets.unsqueeze(1).to(logits.dtype)


def foreground_prob(logits: Tensor, targets: Tensor) -> Pair:
    """Of two classes: the probability of class 1 ``(B, 1, ...)``; 1 for class 1."""
    margin, mask = foreground_logit(logits, targets)
    return margin.sigmoid(), mask


def foreground_logit_squeezed(logits: Tensor, targets: Tensor) -> Pair:
    """As ``foreground_logit``, with the target ``(B, ...)``."""
    margin, mask = foreground_logit(logits, targets)
    return margin, mask.squeeze(1)


def foreground_prob_squeezed(logits: Tensor, targets: Tensor) -> Pair:
    """As ``foreground_prob``, with the target ``(B, ...)``."""
    prob, mask = foreground_prob(logits, targets)
    return prob, mask.squeeze(1)


def foreground_logit_both_squeezed(logits: Tensor, targets: Tensor) -> Pair:
    """As ``foreground_logit``, both ``(B, ...)``."""
    margin, mask = foreground_logit(logits, targets)
    return margin.squeeze(1), mask.squeeze(1)


def foreground_prob_both_squeezed(logits: Tensor, targets: Tensor) -> Pair:
    """As ``foreground_prob``, both ``(B, ...)``."""
    prob, mask = foreground_prob(logits, targets)
    return prob.squeeze(1), mask.squeeze(1)


def as_is_unsqueezed(logits: Tensor, targets: Tensor) -> Pair:
    """Logits, and class numbers ``(B, 1, ...)``."""
    return logits, targets.unsqueeze(1)


def probs_unsqueezed(logits: Tensor, targets: Tensor) -> Pair:
    """Softmax over the classes, and class numbers ``(B, 1, ...)``."""
    return logits.softmax(1), targets.unsqueeze(1)


def pixels(logits: Tensor, targets: Tensor) -> Pair:
    """Logits ``(N, K)`` and class numbers ``(N,)`` of all N pixels."""
    return logits.movedim(1, -1).reshape(-1, logits.shape[1]), targets.reshape(-1)


def pixels_one_hot(logits: Tensor, targets: Tensor) -> Pair:
    """As ``pixels``, with targets one-hot ``(N, K)``."""
    return logits_one_hot(*pixels(logits, targets))


def squeezed(numbers: Tensor, targets: Tensor) -> Pair:
    """Of one number an image: predictions ``(B, 1)``, and targets ``(B, 1)`` as ``(B,)``."""
    return numbers, targets.squeeze(1)


def both_squeezed(numbers: Tensor, targets: Tensor) -> Pair:
    """Of one number an image: predictions and targets ``(B, 1)``, both as ``(B,)``."""
    return numbers.squeeze(1), targets.squeeze(1)


def two_classes(logits: Tensor, labels: Tensor) -> Pair:
    """Each of K labels as an image of two classes: logits ``(B K, 2)``, 0 and its own; class numbers ``(B K,)``."""
    flat = logits.reshape(-1)
    return torch.stack([torch.zeros_like(flat), flat], 1), labels.reshape(-1).long()


def two_classes_one_hot(logits: Tensor, labels: Tensor) -> Pair:
    """As ``two_classes``, with targets one-hot ``(B K, 2)``."""
    return logits_one_hot(*two_classes(logits, labels))


_OF_CLASSES: dict[str, Callable[[Tensor, Tensor], Pair]] = {
    form.__name__: form
    for form in (
        as_is, log_probs, probs, logits_one_hot, probs_one_hot, margins_one_hot,
        foreground_logit, foreground_prob, foreground_logit_squeezed, foreground_prob_squeezed,
        foreground_logit_both_squeezed, foreground_prob_both_squeezed, as_is_unsqueezed, probs_unsqueezed,
        pixels, pixels_one_hot,
    )
}  # fmt: skip
_OF_LABELS = {
    "as_is": as_is, "logits_one_hot": as_is, "probs_one_hot": probs_of_labels,
    "two_classes": two_classes, "two_classes_one_hot": two_classes_one_hot,
}  # fmt: skip
_OF_NUMBERS = {"as_is": as_is, "squeezed": squeezed, "both_squeezed": both_squeezed}
_FORMS = {TargetKind.LABELS: _OF_LABELS, TargetKind.NUMBERS: _OF_NUMBERS}
_IGNORING = {"left_out": leave_out, "answered": answer_ignored}


@dataclass(frozen=True, kw_only=True, slots=True)
class Adaptation:
    """From logits and targets to what the user's code is given.

    Attributes:
        kind: What an image is labelled with.
        inputs: A form that has a meaning for it.
        ignored: What becomes of pixels to ignore: ``given`` to the code with their index, ``left_out``, ``answered``.
        ignore_index: Target of such pixels; used for masks alone.
    """

    kind: TargetKind
    inputs: str = "as_is"
    ignored: str = "given"
    ignore_index: int = 255

    @property
    def gives_probs(self) -> bool:
        """Whether the code is given probabilities."""
        return self.inputs.startswith(("probs", "foreground_prob"))

    @property
    def gives_log_probs(self) -> bool:
        """Whether the code is given logarithms of probabilities."""
        return self.inputs == "log_probs"

    @property
    def keeps_targets(self) -> bool:
        """Whether the code is given the values of the targets as the task has them, in whatever shape."""
        return self.inputs in ("as_is", "log_probs", "probs", "as_is_unsqueezed", "probs_unsqueezed", "pixels")

    @property
    def makes_two_classes(self) -> bool:
        """Whether each label is given as an image of two classes."""
        return self.inputs.startswith("two_classes")

    @property
    def calls(self) -> tuple[tuple[Callable[..., Pair], int | None], ...]:
        """The functions that make it, in their order; with the index of pixels to ignore for one that takes it."""
        form = _FORMS.get(self.kind, _OF_CLASSES)[self.inputs]
        ignoring = _IGNORING.get(self.ignored) if self.kind is TargetKind.MASK else None
        first = [] if ignoring is None else [(ignoring, self.ignore_index)]
        return (*first, *([] if form is as_is else [(form, None)]))

    @property
    def steps(self) -> tuple[Callable[..., Pair], ...]:
        """The functions of ``calls``."""
        return tuple(step for step, _ in self.calls)

    def __call__(self, logits: Tensor, targets: Tensor) -> Pair:
        """What the code is given; contiguous, since code that flattens with ``view`` needs that.

        Args:
            logits: ``(B, K, ...)``.
            targets: As the task has them.

        Returns:
            Output and target; without any pixel if all are left out.
        """
        for step, index in self.calls:
            logits, targets = step(logits, targets) if index is None else step(logits, targets, index)
        return logits.contiguous(), targets.contiguous()
