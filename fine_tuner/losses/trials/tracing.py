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


def names(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


SAME_MEANING = names(
    "reshape view flatten squeeze unsqueeze permute transpose movedim swapaxes contiguous expand expand_as clone T mT "
    "t float to double half bfloat16 long int type type_as cpu cuda clamp clamp_min clamp_max clip __getitem__ select "
    "narrow masked_select"
)
ACTIVATIONS = names("softmax sigmoid sigmoid_ softmax_ expit hardsigmoid")
LOG_ACTIVATIONS = names("log_softmax logsigmoid")
WITH_ACTIVATION = names(
    "cross_entropy binary_cross_entropy_with_logits multi_margin_loss multilabel_margin_loss soft_margin_loss "
    "multilabel_soft_margin_loss hinge_embedding_loss logsumexp tanh"
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
        return any(s.name in ACTIVATIONS | LOG_ACTIVATIONS | WITH_ACTIVATION for s in self.steps)


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
    if step.name in ("add", "__add__", "__radd__") and len(step.inputs) == 1:  # log(p + 1e-8)
        return first & {PROBS}
    if step.name == "exp" and LOG_PROBS in first:
        return frozenset([PROBS])
    if step.name == "one_hot":
        return frozenset([LABELS])
    return first if step.name in SAME_MEANING else frozenset()
