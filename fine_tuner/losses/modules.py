"""Losses as modules: a formula with its parameters, a weighted sum, and the weights of classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from fine_tuner.losses.parts import (
    Loss,
    LossFn,
    MeansOverSplit,
    SplitLoss,
    SumOverSplit,
    counts_of,
    is_exact,
    means_of,
    over_split,
)


class FormulaLoss(Loss):
    """A formula of ``functional.py`` or ``overlap.py`` with its parameters, called as ``loss_fn(logits, targets)``.

    Args:
        formula: The function, with what it is a mean over (``counted_over``, ``of_regions``).
        weight: ``(K,)`` weights of the classes, moved with the module; None for formulas without.
        parameters: What the function takes by keyword.
    """

    def __init__(self, formula: Callable[..., Tensor], *, weight: Tensor | None = None, **parameters: Any) -> None:
        super().__init__()
        self.formula = formula
        self.parameters_of_formula = parameters
        self.register_buffer("weight", weight, persistent=False)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Scalar float32."""
        return self.formula(logits, targets, **self._arguments())

    def _arguments(self) -> dict[str, Any]:
        return ({} if self.weight is None else {"weight": self.weight}) | self.parameters_of_formula

    def means(self, logits: Tensor, targets: Tensor) -> Tensor:
        """See ``Loss``: one."""
        return self(logits, targets).reshape(1)

    def counts(self, targets: Tensor) -> Tensor:
        """See ``Loss``."""
        counted = self.formula.count(targets, **self._arguments()) if self.is_exact else len(targets)
        return torch.as_tensor(counted, dtype=torch.float64, device=targets.device).reshape(1)

    @property
    def is_exact(self) -> bool:
        """Whether it is a mean over positions or over images, not a comparison of whole batches."""
        return not hasattr(self.formula, "over_batch") or bool(self.parameters_of_formula.get("per_image"))

    def over_split(self) -> SplitLoss:
        """See ``Loss``."""
        return MeansOverSplit(self) if self.is_exact else self.formula.over_batch(**self._arguments())

    def extra_repr(self) -> str:
        """The formula as it would be called."""
        named = ", ".join(f"{name}={value!r}" for name, value in self.parameters_of_formula.items())
        return f"{self.formula.__name__}({named}{', weight=...' if self.weight is not None else ''})"


class LossSum(Loss):
    """``first + weight * second``, both of the same logits and targets.

    Args:
        first: A loss.
        second: Another.
        weight: How much the second counts.
    """

    def __init__(self, first: LossFn, second: LossFn, weight: float) -> None:
        super().__init__()
        self.first = first
        self.second = second
        self.weight = weight

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Scalar float32."""
        return self.first(logits, targets) + self.weight * self.second(logits, targets)

    def means(self, logits: Tensor, targets: Tensor) -> Tensor:
        """See ``Loss``: those of both."""
        first, second = means_of(self.first, logits, targets), means_of(self.second, logits, targets)
        return torch.cat([first, self.weight * second])

    def counts(self, targets: Tensor) -> Tensor:
        """See ``Loss``."""
        return torch.cat([counts_of(one, targets).to(targets.device) for one in (self.first, self.second)])

    @property
    def is_exact(self) -> bool:
        """Whether both are."""
        return is_exact(self.first) and is_exact(self.second)

    def over_split(self) -> SplitLoss:
        """See ``Loss``."""
        return SumOverSplit(over_split(self.first), over_split(self.second), self.weight)

    def extra_repr(self) -> str:
        """The weight."""
        return f"weight={self.weight!r}"


def balanced_weights(class_counts: Sequence[int]) -> Tensor:
    """``N / (K n_c)``: each class counts as much as every other, and the mean weight of an example is 1.

    Args:
        class_counts: Number of examples (images, pixels) of each class, n_c, with sum N. Of a class without any, which
            no training target has, the weight is 1; K counts the others.

    Returns:
        ``(K,)`` float32.

    Source: scikit-learn's ``class_weight="balanced"``; King and Zeng 2001.

    >>> balanced_weights([30, 10])
    tensor([0.6667, 2.0000])
    """
    counts = torch.as_tensor(class_counts, dtype=torch.float64)
    has_any = counts > 0
    weights = counts.sum() / (has_any.sum() * counts.clamp_min(1.0))
    return torch.where(has_any, weights, 1.0).float()
