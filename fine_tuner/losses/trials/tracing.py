"""Watches a user's loss while it runs: which line did what to the output and the target.

``Trace`` is entered around a call; every torch operation that the user's file starts becomes a ``Step`` with its line.
From the steps the check names the line that cut the graph, made the first NaN, wrote over the output, or used class
numbers as amounts. Tensors are tagged with what they are and the tags follow through reshapes and casts.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode, resolve_name

MAX_STEPS = 5_000
OUTPUT, CLASSES, LABELS, PROBS, LOG_PROBS = "output", "class numbers", "labels", "probabilities", "log-probabilities"
EXPONENTIALS, THEIR_SUM, LOG_OF_SUM, ONE_MORE = "exponentials", "their sum", "its logarithm", "1 + exponentials"
"""Parts of a softmax or a sigmoid that is written by hand."""


def names(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


SAME_MEANING = names(
    "reshape view flatten squeeze unsqueeze permute transpose movedim swapaxes contiguous expand expand_as clone T mT "
    "t float to double half bfloat16 long int type type_as cpu cuda clamp clamp_min clamp_max clip __getitem__ select "
    "narrow masked_select"
)
LINEAR = names("neg negative mul multiply div true_divide add sub subtract rsub __rsub__ __radd__ __rmul__")
QUOTIENT, DIFFERENCE = names("div true_divide"), names("sub subtract")
IN_PIECES = names("unbind split chunk tensor_split")
ACTIVATIONS = names("softmax sigmoid sigmoid_ softmax_ expit hardsigmoid")
LOG_ACTIVATIONS = names("log_softmax logsigmoid")
WITH_ACTIVATION = names(
    "cross_entropy binary_cross_entropy_with_logits multi_margin_loss multilabel_margin_loss soft_margin_loss "
    "multilabel_soft_margin_loss hinge_embedding_loss logsumexp softplus tanh"
)
ARITHMETIC = names(
    "add sub rsub __rsub__ mul div true_divide __rtruediv__ pow subtract multiply mse_loss l1_loss smooth_l1_loss "
    "huber_loss binary_cross_entropy binary_cross_entropy_with_logits soft_margin_loss kl_div dot matmul einsum "
    "add_ sub_ mul_ div_ minimum maximum"
)


@dataclass(slots=True)
class Step:
    """One torch operation started by the user's file.

    Attributes:
        name: The operation's own name: ``"softmax"``, ``"__getitem__"``, ``"data"``.
        inputs: Tensors that went in.
        result: What came out.
        tags: What each input was known to be.
        result_tags: What the result is.
    """

    name: str
    line: int | None
    inputs: list[Tensor]
    result: Any
    tags: list[frozenset[str]]
    is_grad_enabled: bool
    has_device: bool
    result_tags: frozenset[str] = frozenset()
    is_finite: bool = True
    bad_gradient: bool = False
    shapes: list[tuple[int, ...]] = field(default_factory=list)

    @property
    def cuts_graph(self) -> bool:
        """Whether something with a gradient went in and something without came out."""
        if not any(t.requires_grad for t in self.inputs):
            return False
        if isinstance(self.result, Tensor):
            return not self.result.requires_grad
        return self.name in ("item", "__float__", "__int__", "numpy", "__array__", "tolist")

    @property
    def is_softmax_by_hand(self) -> bool:
        """Whether it divides exponentials by their sum, or takes the logarithm of that from what they are of."""
        first, second = [*self.tags, frozenset(), frozenset()][:2]
        return (self.name in QUOTIENT and EXPONENTIALS in first and THEIR_SUM in second) or (
            self.name in DIFFERENCE and OUTPUT in first and LOG_OF_SUM in second
        )


class Trace(TorchFunctionMode):
    """Records the operations of one user's file.

    Args:
        file: ``co_filename`` of the user's code.
        tags: What is known of the tensors that go in.
    """

    def __init__(self, file: str, tags: list[tuple[Tensor, str]]) -> None:
        super().__init__()
        self.file = file
        self.steps: list[Step] = []
        self._tags: dict[int, frozenset[str]] = {id(t): frozenset([tag]) for t, tag in tags}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the operation and note it, if the user's file started it."""
        kwargs = kwargs or {}
        line = _user_line(self.file, sys._getframe(1))
        inputs = [*_tensors(args), *_tensors(tuple(kwargs.values()))]
        shapes = [tuple(t.shape) for t in inputs]
        result = func(*args, **kwargs)
        if len(self.steps) < MAX_STEPS:
            step = Step(
                _name_of(func), line, inputs, result, [self.tags_of(t) for t in inputs], torch.is_grad_enabled(),
                "device" in kwargs, shapes=shapes,
            )  # fmt: skip
            self._finish(step)
            self.steps.append(step)
        return result

    def tags_of(self, tensor: Tensor) -> frozenset[str]:
        """What a tensor is known to be."""
        return self._tags.get(id(tensor), frozenset())

    def _finish(self, step: Step) -> None:
        result = step.result
        if isinstance(result, tuple | list) and step.name in IN_PIECES:
            self._tags |= {id(piece): step.tags[0] for piece in result}
        if not isinstance(result, Tensor):
            return
        step.result_tags = _result_tags(step)
        self._tags[id(result)] = step.result_tags
        if result.is_floating_point() and not result.is_meta:
            step.is_finite = bool(torch.isfinite(result.detach()).all())
        for tensor in step.inputs:
            if tensor.requires_grad and not tensor.is_leaf:
                tensor.register_hook(lambda gradient, step=step: _note_gradient(step, gradient))

    def first(self, wanted: Callable[[Step], bool]) -> Step | None:
        """The first step for which ``wanted`` holds."""
        return next((s for s in self.steps if wanted(s)), None)

    def last(self, wanted: Callable[[Step], bool]) -> Step | None:
        """The last step for which ``wanted`` holds."""
        return next((s for s in reversed(self.steps) if wanted(s)), None)

    @property
    def has_activation(self) -> bool:
        """Whether the output went through anything that turns logits into probabilities."""
        named = ACTIVATIONS | LOG_ACTIVATIONS | WITH_ACTIVATION
        return any(s.name in named or EXPONENTIALS in s.result_tags for s in self.steps)


def _note_gradient(step: Step, gradient: Tensor) -> None:
    step.bad_gradient = step.bad_gradient or not bool(torch.isfinite(gradient).all())


def _name_of(func: Callable[..., Any]) -> str:
    name = getattr(func, "__name__", "") or ""
    if name in ("__get__", "__set__"):  # a property such as Tensor.data
        return (resolve_name(func) or "").split(".")[-2]
    return name


def _user_line(file: str, frame: FrameType | None) -> int | None:
    """Line of the innermost frame of the user's file."""
    while frame is not None:
        if frame.f_code.co_filename == file:
            return frame.f_lineno
        frame = frame.f_back
    return None


def _tensors(values: tuple[Any, ...]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, tuple | list):
            yield from (v for v in value if isinstance(v, Tensor))


def _result_tags(step: Step) -> frozenset[str]:
    """What comes out, from the operation and what went in."""
    first = step.tags[0] if step.tags else frozenset()
    if step.name in ACTIVATIONS:
        return frozenset([PROBS])
    if step.name in LOG_ACTIVATIONS or (step.name == "log" and PROBS in first):
        return frozenset([LOG_PROBS])
    if step.name in ("add", "__add__", "__radd__") and len(step.inputs) == 1 and PROBS in first:  # log(p + 1e-8)
        return frozenset([PROBS])
    if step.name == "exp" and LOG_PROBS in first:
        return frozenset([PROBS])
    if step.name == "one_hot":
        return frozenset([LABELS])
    if step.name in SAME_MEANING:
        return first
    return _by_hand(step) or _scaled(step)


def _by_hand(step: Step) -> frozenset[str]:
    """Parts of a softmax or sigmoid that is written out, and its result."""
    first, second = [*step.tags, frozenset(), frozenset()][:2]
    name = step.name
    if step.is_softmax_by_hand:
        return frozenset([LOG_PROBS if name in DIFFERENCE else PROBS])
    if (name in QUOTIENT and EXPONENTIALS in first and ONE_MORE in second) or (
        name in ("reciprocal", "__rtruediv__", "rdiv") and ONE_MORE in first
    ):
        return frozenset([PROBS])
    if name == "exp" and first & {OUTPUT, PROBS}:
        return first & {PROBS} | {EXPONENTIALS}
    if name == "sum" and EXPONENTIALS in first:
        return frozenset([THEIR_SUM])
    if (name == "log" and THEIR_SUM in first) or (name == "logsumexp" and OUTPUT in first):
        return frozenset([LOG_OF_SUM])
    if name in LINEAR and len(step.inputs) == 1 and EXPONENTIALS in first:
        return frozenset([ONE_MORE])
    if name in LINEAR and len(step.inputs) == 1 and THEIR_SUM in first:  # exponentials.sum(1) + 1e-8
        return frozenset([THEIR_SUM])
    return frozenset()


def _scaled(step: Step) -> frozenset[str]:
    """Logits remain logits when they are scaled or moved as a whole, and class numbers remain such.

    Probabilities do when their largest is taken from them, as before exponentials.
    """
    first = step.tags[0] if step.tags else frozenset()
    others = step.inputs[1:]
    kept = {OUTPUT, CLASSES, PROBS} if step.name in DIFFERENCE and others else {OUTPUT, CLASSES}
    if step.name not in LINEAR or not first & kept:
        return frozenset()
    shape = step.shapes[0]
    of_target = any(tags & {CLASSES, LABELS} for tags in step.tags[1:])
    if of_target or any(tuple(t.shape) == shape for t in others) or (others and CLASSES in first):
        return frozenset()
    return first & kept
