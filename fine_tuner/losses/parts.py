"""The loss of many images from parts of them: micro-batches that make one step, batches that make a whole split.

A loss here is a sum of means: cross entropy is one, over pixels by their weight; Dice plus cross entropy are two, over
different things. The mean of parts' means is not the mean of the whole: void pixels, rare classes and absent ones give
each part another denominator. So every loss tells its denominators (``counts``), which depend on the targets alone::

    loss(whole) = sum over means t and parts p of  n_t(p) / n_t(whole) * mean_t(p)

A loss that compares regions of a whole batch has no such form. Its parts count by their images, and it says so
(``is_exact``); over a split its sums are added up instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from fine_tuner.losses.formula_parts import nonzero

LossFn = Callable[[Tensor, Any], Tensor]
Collect = Callable[[Any], list[Any]]
"""From what one rank has to what all ranks have, in their order."""


class SplitLoss(Protocol):
    """The loss of a split, from its batches."""

    def add(self, logits: Tensor, targets: Tensor) -> None:
        """Take a batch; the sizes of batches do not matter."""

    def join(self, collect: Collect) -> None:
        """Take what was added on other ranks."""

    def value(self) -> Tensor:
        """Scalar float64: the loss of all that was added; 0 if that was nothing."""


class Loss(nn.Module):
    """A loss that is a sum of means and knows over what. Any other callable counts by images; see ``counts_of``."""

    is_exact: bool = True  # whether parts add up to the loss of the whole

    def means(self, logits: Tensor, targets: Any) -> Tensor:
        """``(T,)`` float32 means, whose sum is the loss; scaled by what they count in that sum."""
        raise NotImplementedError

    def counts(self, targets: Any) -> Tensor:
        """``(T,)`` float64: over how much each mean is taken."""
        raise NotImplementedError

    def over_split(self) -> SplitLoss:
        """The same loss of a whole split, fed by batches."""
        return MeansOverSplit(self)


def means_of(loss_fn: LossFn, logits: Tensor, targets: Any) -> Tensor:
    """``(T,)``: the means that a loss is a sum of; one for a loss of which nothing is known."""
    return loss_fn.means(logits, targets) if isinstance(loss_fn, Loss) else loss_fn(logits, targets).reshape(1)


def counts_of(loss_fn: LossFn, targets: Any) -> Tensor:
    """``(T,)`` float64: over how much each mean is taken; the number of images for a loss of which nothing is known."""
    return loss_fn.counts(targets) if isinstance(loss_fn, Loss) else image_count(targets)


def image_count(targets: Any) -> Tensor:
    """``(1,)`` float64."""
    return torch.tensor([len(targets)], dtype=torch.float64)


def is_exact(loss_fn: LossFn) -> bool:
    """Whether the loss of parts, weighted by what they count, is that of the whole."""
    return isinstance(loss_fn, Loss) and loss_fn.is_exact


def over_split(loss_fn: LossFn) -> SplitLoss:
    """The loss of a whole split, fed by batches."""
    return loss_fn.over_split() if isinstance(loss_fn, Loss) else MeansOverSplit(loss_fn)


def shares_of(
    loss_fn: LossFn,
    targets: Sequence[Any],
    *,
    sum_over_ranks: Callable[[Tensor], Tensor] = lambda counts: counts,
    is_counted: bool = True,
) -> list[Tensor]:
    """How much each part counts in each mean of the whole, ``(T,)`` float32 a part; they add up to 1, or 0 for nothing.

    Args:
        loss_fn: The loss.
        targets: Of each part.
        sum_over_ranks: The whole is that of all ranks, whose counts this adds up.
        is_counted: The parts of this rank count; else their shares are 0.
    """
    counts = torch.stack([counts_of(loss_fn, part) for part in targets]) * is_counted
    return list((counts / nonzero(sum_over_ranks(counts.sum(0)))).float())


def part_of(loss_fn: LossFn, shares: Tensor, logits: Tensor, targets: Any) -> Tensor:
    """What one part adds to the loss of the whole, a scalar; ``shares`` are its own of ``shares_of``."""
    return (means_of(loss_fn, logits, targets) * shares.to(logits.device)).sum()


class MeansOverSplit:
    """Adds up sums and counts, each in float64, and divides at the end."""

    def __init__(self, loss_fn: LossFn) -> None:
        self.loss_fn = loss_fn
        self.sums = self.counts = torch.zeros(1, dtype=torch.float64)

    def add(self, logits: Tensor, targets: Tensor) -> None:
        """See ``SplitLoss``."""
        counts = counts_of(self.loss_fn, targets).to(logits.device)
        means = means_of(self.loss_fn, logits, targets).double()
        self.sums = self.sums.to(logits.device) + torch.where(counts > 0, means * counts, 0.0)
        self.counts = self.counts.to(logits.device) + counts

    def join(self, collect: Collect) -> None:
        """See ``SplitLoss``. What nothing was added to is one 0, which goes with any number of means."""
        sums, counts = zip(*collect((self.sums.cpu(), self.counts.cpu())), strict=True)
        self.sums, self.counts = sum(sums), sum(counts)

    def value(self) -> Tensor:
        """See ``SplitLoss``."""
        return (self.sums / nonzero(self.counts)).sum()


class RegionsOverSplit:
    """Adds up what a loss of regions is a function of; then it is the loss of the split as one batch.

    Args:
        sums: From logits and targets to ``(4, R)``: three sums over each region, and the largest of something in it.
        loss_of: From ``(4, R)`` to the loss.
    """

    def __init__(self, sums: LossFn, loss_of: Callable[[Tensor], Tensor]) -> None:
        self.sums, self.loss_of = sums, loss_of
        self.total: Tensor | None = None

    def add(self, logits: Tensor, targets: Tensor) -> None:
        """See ``SplitLoss``."""
        self._add(self.sums(logits, targets).double())

    def _add(self, found: Tensor) -> None:
        if self.total is not None:
            found = torch.cat([self.total[:3] + found[:3], torch.maximum(self.total[3:], found[3:])])
        self.total = found

    def join(self, collect: Collect) -> None:
        """See ``SplitLoss``."""
        totals = collect(None if self.total is None else self.total.cpu())
        self.total = None
        for total in totals:
            if total is not None:
                self._add(total)

    def value(self) -> Tensor:
        """See ``SplitLoss``."""
        return torch.zeros((), dtype=torch.float64) if self.total is None else self.loss_of(self.total)


class WholeSplit:
    """Keeps all logits and targets, and computes the loss once: where they are few numbers an image."""

    def __init__(self, loss_fn: LossFn) -> None:
        self.loss_fn = loss_fn
        self.kept: list[tuple[Tensor, Tensor]] = []

    def add(self, logits: Tensor, targets: Tensor) -> None:
        """See ``SplitLoss``."""
        self.kept.append((logits, targets))

    def join(self, collect: Collect) -> None:
        """See ``SplitLoss``."""
        kept = collect([(logits.cpu(), targets.cpu()) for logits, targets in self.kept])
        device = self.kept[0][0].device if self.kept else torch.device("cpu")
        self.kept = [(logits.to(device), targets.to(device)) for part in kept for logits, targets in part]

    def value(self) -> Tensor:
        """See ``SplitLoss``."""
        if not self.kept:
            return torch.zeros((), dtype=torch.float64)
        logits, targets = (torch.cat(parts) for parts in zip(*self.kept, strict=True))
        return self.loss_fn(logits, targets).double()


class SumOverSplit:
    """``first + weight * second``."""

    def __init__(self, first: SplitLoss, second: SplitLoss, weight: float) -> None:
        self.first, self.second, self.weight = first, second, weight

    def add(self, logits: Tensor, targets: Tensor) -> None:
        """See ``SplitLoss``."""
        self.first.add(logits, targets)
        self.second.add(logits, targets)

    def join(self, collect: Collect) -> None:
        """See ``SplitLoss``."""
        self.first.join(collect)
        self.second.join(collect)

    def value(self) -> Tensor:
        """See ``SplitLoss``."""
        return self.first.value() + self.weight * self.second.value().to(self.first.value().device)
