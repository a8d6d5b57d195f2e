"""The forms in which a loss of the user's own can be given the network's output and the target. No torch here.

==================================  ==================================  =======================================
form                                output                              target
==================================  ==================================  =======================================
``as_is``                           logits (numbers: as predicted)      class numbers; 0 and 1 a label; numbers
``log_probs``                       log-softmax of them                 class numbers
``probs``                           softmax of them                     class numbers
``logits_one_hot``                  logits                              one-hot, float32, in the logits' shape
``probs_one_hot``                   softmax (labels: sigmoid) of them   one-hot, float32, in the logits' shape
``margins_one_hot``                 each class's logit over all others  one-hot, float32, in the logits' shape
``foreground_logit``                ``(B, 1, ...)`` class 1 - class 0   ``(B, 1, ...)`` 1 where class 1 is
``foreground_prob``                 ``(B, 1, ...)`` sigmoid of that     ``(B, 1, ...)`` 1 where class 1 is
``foreground_logit_squeezed``       ``(B, 1, ...)`` class 1 - class 0   ``(B, ...)`` 1 where class 1 is
``foreground_prob_squeezed``        ``(B, 1, ...)`` sigmoid of that     ``(B, ...)`` 1 where class 1 is
``foreground_logit_both_squeezed``  ``(B, ...)`` class 1 - class 0      ``(B, ...)`` 1 where class 1 is
``foreground_prob_both_squeezed``   ``(B, ...)`` sigmoid of that        ``(B, ...)`` 1 where class 1 is
``as_is_unsqueezed``                logits                              ``(B, 1, ...)`` class numbers
``probs_unsqueezed``                softmax of them                     ``(B, 1, ...)`` class numbers
``pixels``                          ``(N, K)`` logits of N pixels       ``(N,)`` class numbers
``pixels_one_hot``                  ``(N, K)`` logits of N pixels       ``(N, K)`` one-hot, float32
``squeezed``                        ``(B, 1)`` the predicted number     ``(B,)`` the true number
``both_squeezed``                   ``(B,)`` the predicted number       ``(B,)`` the true number
``two_classes``                     ``(B K, 2)`` of K labels: 0, logit  ``(B K,)`` class 1 where the label is
``two_classes_one_hot``             the same                            ``(B K, 2)`` one-hot, float32
==================================  ==================================  =======================================

A squeezed target has no channel, for code that gives it one (``target.unsqueeze(1)``) or takes that of the output away
(``output.squeeze(1)``); both are squeezed for code that wants images ``(B, H, W)`` or numbers ``(B,)``. Class numbers
with a channel are for code that takes it away or indexes by it (``target.squeeze(1)``, ``target[:, 0]``, ``scatter_(1,
target, 1)``). Pixels as rows are for code of classification, whose classes are the last dimension. Labels as two
classes, no and yes, are for code with a softmax: that of 0 and the logit is the sigmoid of the logit, while a softmax
over labels makes them compete and says of none whether it is there.

``losses/adapt.py`` computes them.
"""

from __future__ import annotations

from typing import Literal

from fine_tuner.config.tasks import TargetKind, target_kind

LossInputs = Literal[
    "auto", "as_is", "log_probs", "probs", "logits_one_hot", "probs_one_hot", "margins_one_hot", "foreground_logit",
    "foreground_prob", "foreground_logit_squeezed", "foreground_prob_squeezed", "foreground_logit_both_squeezed",
    "foreground_prob_both_squeezed", "as_is_unsqueezed", "probs_unsqueezed", "pixels", "pixels_one_hot", "squeezed",
    "both_squeezed", "two_classes", "two_classes_one_hot",
]  # fmt: skip
IgnoredPixels = Literal["auto", "given", "left_out", "answered"]

_OF_CLASSES = {
    "as_is": "logits and class numbers",
    "log_probs": "log-probabilities and class numbers",
    "probs": "probabilities and class numbers",
    "logits_one_hot": "logits and one-hot targets",
    "probs_one_hot": "probabilities and one-hot targets",
}
_WITH_A_CHANNEL = {
    "as_is_unsqueezed": "logits and class numbers with a channel",
    "probs_unsqueezed": "probabilities and class numbers with a channel",
}
_OF_PIXELS = {
    "pixels": "each pixel as a row: logits and class numbers",
    "pixels_one_hot": "each pixel as a row: logits and one-hot targets",
}
_OF_TWO_CLASSES = _OF_CLASSES | {
    "foreground_logit": "the logit of class 1 and a 0/1 target",
    "foreground_prob": "the probability of class 1 and a 0/1 target",
    "foreground_logit_squeezed": "the logit of class 1 and a 0/1 target without its channel",
    "foreground_prob_squeezed": "the probability of class 1 and a 0/1 target without its channel",
}
_WITHOUT_CHANNELS = {
    "foreground_logit_both_squeezed": "the logit of class 1 and a 0/1 target, both without a channel",
    "foreground_prob_both_squeezed": "the probability of class 1 and a 0/1 target, both without a channel",
}
_OF_MORE_CLASSES = _OF_CLASSES | {"margins_one_hot": "each class's logit against all others and one-hot targets"}
_OF_LABELS = {
    "as_is": "logits and labels of 0 and 1",
    "probs_one_hot": "probabilities and labels of 0 and 1",
    "two_classes": "each label as two classes, no and yes: logits and class numbers",
    "two_classes_one_hot": "each label as two classes, no and yes: logits and one-hot targets",
}
_OF_NUMBERS = {"as_is": "predicted and true numbers"}
_OF_ONE_NUMBER = _OF_NUMBERS | {
    "squeezed": "a column of predicted numbers and true ones that are no column",
    "both_squeezed": "predicted and true numbers, both without a column",
}


def forms_of(task: str, num_outputs: int) -> dict[str, str]:
    """The forms that have a meaning for a task, in the order in which ``auto`` tries them, with their names for people.

    For labels, ``logits_one_hot`` is ``as_is``; it is accepted and not listed.
    """
    match target_kind(task):
        case TargetKind.NUMBERS:
            return dict(_OF_ONE_NUMBER if num_outputs == 1 else _OF_NUMBERS)
        case TargetKind.LABELS:
            return dict(_OF_LABELS)
        case kind:
            of_pixels = _OF_PIXELS if kind is TargetKind.MASK else {}
            if num_outputs == 2:
                return _OF_TWO_CLASSES | _WITH_A_CHANNEL | _WITHOUT_CHANNELS | of_pixels
            return _OF_MORE_CLASSES | _WITH_A_CHANNEL | of_pixels


def why_no_form(inputs: str, task: str, num_outputs: int) -> str | None:
    """Why a form has no meaning for a task; None if it has one, or is ``auto``."""
    forms = forms_of(task, num_outputs)
    is_same = inputs == "logits_one_hot" and target_kind(task) is TargetKind.LABELS
    if inputs == "auto" or inputs in forms or is_same:
        return None
    about = f"{task} with {num_outputs} outputs"
    return f"{inputs!r} has no meaning for {about}. Choose auto, {', '.join(forms)}."
