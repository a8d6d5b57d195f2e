"""The learning-rate finder: a short run whose rate grows exponentially, and the rates that its loss suggests.

Everything it touches is put back bit for bit: weights, buffers, gradients, optimizer, loss scaler, random numbers. It
writes nothing.

Source: Smith 2017, sec. 3.3 (range test), https://arxiv.org/abs/1506.01186; exponential growth, smoothing and the stop
at four times the best loss: Gugger 2018, https://sgugger.github.io/how-do-you-find-a-good-learning-rate.html.
"""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from fine_tuner.base.errors import ConfigError
from fine_tuner.config.settings import Settings
from fine_tuner.distributed.generators import kept_rng
from fine_tuner.losses.parts import LossFn, part_of, shares_of
from fine_tuner.models.outputs import loss_of_outputs
from fine_tuner.precision import Precision
from fine_tuner.tasks.build import assemble, build_data

Stopped = Literal["completed", "diverged", "cancelled", "no more data"]
OnPoint = Callable[[int, int, float, float], None]
LEAST_STEPS = 2
_DIVERGED = 4.0  # times the best smoothed loss (Gugger 2018)
_BEYOND_CHANCE = 6.0  # deviations of the smoothed loss
_SKIPPED = 10  # the first tenth of the sweep suggests nothing: its mean is of few losses (fastai, lr_find)


@dataclass(frozen=True, kw_only=True, slots=True)
class FinderResult:
    """What the sweep saw; ``dataclasses.asdict`` of it is JSON.

    Attributes:
        lrs: Rate of the head in each step, ascending.
        losses: Training loss of each step, before its update.
        smoothed: Their exponential mean, corrected for starting at zero.
        steepest: Rate at which ``smoothed`` falls fastest; None if it never falls, or by no more than chance.
        valley: Rate in the middle of the longest fall; None if it never falls, or by no more than chance.
        diverged_at: Rate at which the loss was no longer finite or four times the best; None if that did not happen.
        stopped: Why the sweep ended.
    """

    lrs: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    steepest: float | None
    valley: float | None
    diverged_at: float | None
    stopped: Stopped


def find_lr(
    model: nn.Module,
    loss_of: Callable[..., Tensor],
    batches: Iterable[tuple[Tensor, Tensor]],
    optimizer: torch.optim.Optimizer,
    precision: Precision,
    *,
    start_lr: float = 1e-7,
    end_lr: float = 10.0,
    steps: int = 100,
    accumulate: int = 1,
    loss_fn: LossFn | None = None,
    smoothing: float = 0.9,
    clip_norm: float | None = None,
    set_train_mode: Callable[[], None] | None = None,
    restore_also: Sequence[nn.Module] = (),
    should_stop: Callable[[], bool] = lambda: False,
    progress: OnPoint = lambda done, steps, lr, loss: None,
) -> FinderResult:
    """Sweep the rate from ``start_lr`` to ``end_lr`` and suggest two rates; ``model`` and ``optimizer`` end unchanged.

    Args:
        model: Network to be trained, on its device.
        loss_of: ``(images, targets) -> scalar``: forward pass and loss, under autocast where wanted. With ``loss_fn``
            it is also given the shares of each of a step's several micro-batches.
        batches: Micro-batches, enough for the sweep; it ends early if they do.
        optimizer: Its groups keep the proportions of their rates; the largest follows the sweep.
        precision: Backward and step are its.
        start_lr: First rate, > 0.
        end_lr: Last rate, > ``start_lr``.
        steps: Steps of the sweep, >= 2.
        accumulate: Micro-batches of one step.
        loss_fn: What ``loss_of`` computes, by which micro-batches of a step count; None: they count by their images.
        smoothing: Weight of the past in the mean of losses, in [0, 1).
        clip_norm: As in training.
        set_train_mode: Puts ``model`` into training mode, frozen parts as they should be; None: all of it.
        restore_also: Modules with state of their own that ``loss_of`` uses (a loss with buffers).
        should_stop: Asked before every step; what was seen until then is returned.
        progress: Called after every step with steps done, steps, rate and loss.

    Raises:
        ValueError: If the range or the number of steps makes no sweep.
    """
    if not (0 < start_lr < end_lr and math.isfinite(end_lr) and steps >= LEAST_STEPS and 0 <= smoothing < 1):
        raise ValueError(
            f"no sweep: start_lr={start_lr!r}, end_lr={end_lr!r}, steps={steps!r}, smoothing={smoothing!r}; "
            "needs 0 < start_lr < end_lr, steps >= 2 and smoothing in [0, 1)"
        )
    sweep = _Sweep(smoothing)
    growth = (end_lr / start_lr) ** (1 / (steps - 1))
    rates = [start_lr * growth**i for i in range(steps - 1)] + [end_lr]
    stream = iter(batches)
    stopped: Stopped = "completed"
    with _everything_restored([model, *restore_also], optimizer, precision):
        (set_train_mode or model.train)()
        shares = _shares(optimizer)
        for done, lr in enumerate(rates):
            if should_stop():
                stopped = "cancelled"
                break
            micro_batches = list(islice(stream, accumulate))
            if not micro_batches:
                stopped = "no more data"
                break
            for group, share in zip(optimizer.param_groups, shares, strict=True):
                group["lr"] = lr * share
            loss = _backward(micro_batches, loss_of, loss_fn, precision)
            if not sweep.take(lr, loss):
                stopped = "diverged"
                break
            progress(done + 1, steps, lr, loss)
            precision.step(optimizer, clip_norm=clip_norm)
    return sweep.result(stopped)


def _shares(optimizer: torch.optim.Optimizer) -> list[float]:
    """Rate of every group as a share of the largest."""
    lrs = [float(group["lr"]) for group in optimizer.param_groups]
    if max(lrs) <= 0:
        raise ValueError("every group of the optimizer has rate 0; give it the rates of the settings")
    return [lr / max(lrs) for lr in lrs]


def _backward(
    micro_batches: list[tuple[Tensor, Tensor]],
    loss_of: Callable[..., Tensor],
    loss_fn: LossFn | None,
    precision: Precision,
) -> float:
    """Gradients of one step; its loss is that of all its images, as in training."""
    all_targets = [targets.to(precision.device, non_blocking=True) for _, targets in micro_batches]
    images_in_step = sum(len(targets) for targets in all_targets)
    shares = shares_of(loss_fn, all_targets) if loss_fn is not None and len(all_targets) > 1 else None
    total = 0.0
    for number, targets in enumerate(all_targets):
        images = micro_batches[number][0].to(precision.device, non_blocking=True)
        if shares is None:
            loss = loss_of(images, targets) * (len(targets) / images_in_step)
        else:
            loss = loss_of(images, targets, shares[number])
        total += loss.item()
        precision.backward(loss)
    return total


class _Sweep:
    """Losses seen so far, their mean, and whether they have diverged."""

    def __init__(self, smoothing: float) -> None:
        self._smoothing = smoothing
        self._mean = 0.0
        self._best = math.inf
        self._diverged_at: float | None = None
        self.lrs: list[float] = []
        self.losses: list[float] = []
        self.smoothed: list[float] = []

    def take(self, lr: float, loss: float) -> bool:
        """Record the loss at ``lr``; False if it has diverged."""
        if not math.isfinite(loss):
            self._diverged_at = lr
            return False
        self._mean = self._smoothing * self._mean + (1 - self._smoothing) * loss
        smoothed = self._mean / (1 - self._smoothing ** (len(self.losses) + 1))
        self.lrs.append(lr)
        self.losses.append(loss)
        self.smoothed.append(smoothed)
        self._best = min(self._best, smoothed)
        if smoothed > self._best + (_DIVERGED - 1) * abs(self._best):
            self._diverged_at = lr
            return False
        return True

    def result(self, stopped: Stopped) -> FinderResult:
        """The curve and what it suggests."""
        has_fallen = falls_beyond_chance(self.losses, self.smoothed, smoothing=self._smoothing)
        return FinderResult(
            lrs=tuple(self.lrs),
            losses=tuple(self.losses),
            smoothed=tuple(self.smoothed),
            steepest=steepest_lr(self.lrs, self.smoothed) if has_fallen else None,
            valley=valley_lr(self.lrs, self.smoothed) if has_fallen else None,
            diverged_at=self._diverged_at,
            stopped=stopped,
        )


# ------------------------------------------------------------- suggestions
def _falling_part(losses: Sequence[float]) -> tuple[int, int]:
    """First and last index that may suggest a rate: from a tenth of the points to the lowest of the rest."""
    first = len(losses) // _SKIPPED
    last = min(range(first, len(losses)), key=losses.__getitem__, default=first)
    return first, last


def falls_beyond_chance(losses: Sequence[float], smoothed: Sequence[float], *, smoothing: float) -> bool:
    """Whether the mean falls by more than the losses of other images alone would have it vary.

    Args:
        losses: Of each step.
        smoothed: Their exponential mean.
        smoothing: Weight of the past in it.

    The noise of one loss is told by the differences of neighbours (von Neumann 1941), that of the mean is
    ``sqrt((1 - smoothing) / (1 + smoothing))`` of it. Six times that: of 1,500 flat losses with normal noise 3 % pass.
    """
    first, last = _falling_part(smoothed)
    if last <= first:
        return False
    steps = np.diff(losses[: last + 1])
    noise = float(np.sqrt(np.mean(steps**2) / 2)) * math.sqrt((1 - smoothing) / (1 + smoothing))
    fall = max(smoothed[first : last + 1]) - smoothed[last]
    return fall > _BEYOND_CHANCE * noise and fall > 1e-6 * abs(smoothed[last])


def steepest_lr(lrs: Sequence[float], losses: Sequence[float]) -> float | None:
    """Rate at which the loss falls fastest per factor of the rate; None if it never falls.

    Args:
        lrs: Rates in geometric progression.
        losses: Smoothed loss at each.

    Source: Smith 2017; fastai, ``callback/schedule.py``, ``steep``. Differs: only before the lowest loss.
    """
    first, last = _falling_part(losses)
    slopes = {i: losses[i + 1] - losses[i - 1] for i in range(max(1, first), last)}
    steepest = min(slopes, key=slopes.__getitem__, default=None)
    return lrs[steepest] if steepest is not None and slopes[steepest] < 0 else None


def valley_lr(lrs: Sequence[float], losses: Sequence[float]) -> float | None:
    """Rate in the middle of the longest fall of the loss; None if it never falls.

    The longest fall is as many points as the longest decreasing subsequence has, up to where that ends: noise makes a
    flat start count for little.

    Args:
        lrs: Rates in geometric progression.
        losses: Smoothed loss at each.

    Source: fastai, ``callback/schedule.py``, ``valley`` (the default of ``lr_find``).
    """
    first, _ = _falling_part(losses)
    usable = losses[first:]
    lengths: list[int] = []
    for i, loss in enumerate(usable):
        lengths.append(1 + max((lengths[j] for j in range(i) if usable[j] > loss), default=0))
    longest = max(lengths, default=0)
    if longest < 2:
        return None
    end = lengths.index(longest)
    return lrs[first + max(0, end - longest + 1) + (longest - 1) // 2]


# ------------------------------------------------------------- restoration
@contextmanager
def _everything_restored(
    modules: Sequence[nn.Module], optimizer: torch.optim.Optimizer, precision: Precision
) -> Iterator[None]:
    """Put back, whatever happens inside, all that training changes."""
    parts = list(dict.fromkeys(part for module in modules for part in module.modules()))
    buffers = [(part, name, buffer) for part in parts for name, buffer in part.named_buffers(recurse=False)]
    tensors = {t: t.detach().clone() for t in (*(p for m in modules for p in m.parameters()), *(b[2] for b in buffers))}
    gradients = {p: p.grad for group in optimizer.param_groups for p in group["params"]}
    modes = {part: part.training for part in parts}
    optimizer_state = copy.deepcopy(optimizer.state_dict())
    precision_state = copy.deepcopy(precision.state_dict())
    python_state, numpy_state = random.getstate(), np.random.get_state()
    device = precision.device
    optimizer.zero_grad(set_to_none=True)
    with kept_rng(device):
        try:
            yield
        finally:
            with torch.no_grad():
                for tensor, saved in tensors.items():
                    tensor.copy_(saved)
            for part, name, buffer in buffers:  # a module may have put a new tensor in its place
                setattr(part, name, buffer)
            for parameter, gradient in gradients.items():
                parameter.grad = gradient
            for module, mode in modes.items():
                module.training = mode
            optimizer.load_state_dict(optimizer_state)
            precision.load_state_dict(precision_state)
            random.setstate(python_state)
            np.random.set_state(numpy_state)


# ------------------------------------------------------------- of settings
def find_lr_of_settings(settings: Settings, *, steps: int, progress: OnPoint) -> dict[str, Any]:
    """Sweep the rate on the first batches of the training split, with the network of ``settings``.

    Args:
        settings: Of the run.
        steps: Steps of the sweep.
        progress: As for ``find_lr``.

    Returns:
        ``FinderResult`` as JSON.

    Raises:
        InputError: As training would; ConfigError if ``steps`` are too few.
    """
    if steps < LEAST_STEPS:
        raise ConfigError({"--steps": f"{steps} steps are no sweep. Give at least {LEAST_STEPS}; 100 are usual."})
    data = build_data(settings)
    with assemble(settings, data) as assembly:

        def loss_of(images: Tensor, targets: Tensor, shares: Tensor | None = None) -> Tensor:
            with assembly.precision.autocast():
                output = assembly.model(images)
            loss_fn = assembly.loss_fn if shares is None else partial(part_of, assembly.loss_fn, shares)
            return loss_of_outputs(output, targets, loss_fn)

        result = find_lr(
            assembly.model,
            loss_of,
            assembly.train_batches.starting_at(0),
            assembly.optimizer,
            assembly.precision,
            steps=steps,
            accumulate=settings.train.accumulate,
            loss_fn=assembly.loss_fn,
            clip_norm=settings.optim.clip_norm,
            set_train_mode=assembly.freezing.set_train_mode,
            restore_also=[assembly.loss_fn],
            progress=progress,
        )
    return asdict(result)


def finder_text(result: dict[str, Any]) -> str:
    """The suggestions for a terminal."""
    if result["valley"] is None and result["steepest"] is None:
        return "The loss did not fall by more than chance, so no rate can be suggested. Check the data and the loss."
    lines = [f"{name:9} optim.lr={result[name]:.2g}" for name in ("valley", "steepest") if result[name] is not None]
    if result["diverged_at"] is not None:
        lines.append(f"diverged at {result['diverged_at']:.2g}")
    return "\n".join(lines)
