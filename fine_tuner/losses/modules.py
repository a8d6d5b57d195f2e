"""Losses as modules: a formula with its parameters, a weighted sum, and the weights of classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class FormulaLoss(nn.Module):
    """A formula of ``functional.py`` or ``overlap.py`` with its parameters, called as ``loss_fn(logits, targets)``.

    Args:
        formula: The function.
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
        weight = {} if self.weight is None else {"weight": self.weight}
        return self.formula(logits, targets, **weight, **self.parameters_of_formula)

    def extra_repr(self) -> str:
        """The formula as it would be called."""
        named = ", ".join(f"{name}={value!r}" for name, value in self.parameters_of_formula.items())
        return f"{self.formula.__name__}({named}{', weight=...' if self.weight is not None else ''})"


class LossSum(nn.Module):
    """``first + weight * second``, both of the same logits and targets.

    Args:
        first: A loss.
        second: Another.
        weight: How much the second counts.
    """

    def __init__(self, first: nn.Module, second: nn.Module, weight: float) -> None:
        super().__init__()
        self.first = first
        self.second = second
        self.weight = weight

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Scalar float32."""
        return self.first(logits, targets) + self.weight * self.second(logits, targets)

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
