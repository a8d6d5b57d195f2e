"""The learning-rate finder suggests sane rates and leaves no trace."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fine_tuner.config.sections.optimizers import SGD, AdamW
from fine_tuner.optim import build_optimizer
from fine_tuner.planning.lr_finder import FinderResult, falls_beyond_chance, find_lr, steepest_lr, valley_lr
from fine_tuner.precision import Precision

CPU = torch.device("cpu")


class Net(nn.Module):
    """BatchNorm, dropout, a frozen part, and a buffer that a forward replaces."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Flatten(), nn.Linear(4 * 36, 2))
        self.backbone[0].weight.requires_grad_(False)
        self.register_buffer("calls", torch.zeros(()), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        self.calls = self.calls + 1
        return self.head(self.backbone(images))


def endless(seed: int = 0, size: int = 8) -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    while True:
        targets = torch.randint(2, (size,), generator=generator)
        yield torch.randn(size, 3, 8, 8, generator=generator) + targets.view(-1, 1, 1, 1), targets


def build(kind: type = AdamW) -> tuple[Net, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = Net()
    groups = [
        {"params": list(model.head.parameters()), "lr": 1e-3, "name": "head"},
        {"params": list(model.backbone.parameters()), "lr": 1e-4, "name": "backbone"},
    ]
    return model, build_optimizer(kind(), groups)


def run(model: Net, optimizer: torch.optim.Optimizer, **arguments: object) -> FinderResult:
    batches = arguments.pop("batches", None) or endless()
    precision = arguments.pop("precision", None) or Precision("fp32", CPU)
    loss_fn = nn.CrossEntropyLoss()
    return find_lr(
        model, lambda images, targets: loss_fn(model(images), targets), batches, optimizer, precision, **arguments
    )


def everything(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[object]:
    """All that training changes, as comparable values."""
    tensors = [t.detach().clone() for t in (*model.parameters(), *model.buffers())]
    state = copy.deepcopy(optimizer.state_dict())
    return [
        [t.view(torch.uint8).tolist() if t.dim() else t.item() for t in tensors],
        [p.grad.tolist() if p.grad is not None else None for p in model.parameters()],
        [m.training for m in model.modules()],
        [p.requires_grad for p in model.parameters()],
        state["param_groups"],
        {i: {k: v.tolist() for k, v in s.items()} for i, s in state["state"].items()},
        torch.get_rng_state().tolist(),
        random.getstate(),
        np.random.get_state()[1].tolist(),
    ]


# ---------------------------------------------------------------- no trace left
@pytest.mark.parametrize("kind", [AdamW, SGD])
@pytest.mark.parametrize("is_trained", [False, True])
def test_everything_is_put_back_bit_for_bit(kind: type, is_trained: bool) -> None:
    model, optimizer = build(kind)
    model.backbone.eval()
    if is_trained:
        for images, targets in [next(endless(seed)) for seed in range(3)]:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), targets).backward()
            optimizer.step()
    before = everything(model, optimizer)
    result = run(model, optimizer, steps=30)
    assert len(result.lrs) > 10
    assert everything(model, optimizer) == before


def test_training_after_the_finder_equals_training_without_it() -> None:
    results = []
    for with_finder in (False, True):
        model, optimizer = build()
        if with_finder:
            run(model, optimizer, steps=20)
        model.train()
        for images, targets in (next(endless(seed)) for seed in range(5)):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), targets).backward()
            optimizer.step()
        results.append([p.detach().clone() for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_an_error_inside_leaves_no_trace_either() -> None:
    model, optimizer = build()
    before = everything(model, optimizer)

    def failing() -> Iterator[tuple[Tensor, Tensor]]:
        stream = endless()
        for _ in range(5):
            yield next(stream)
        raise OSError("unreadable image")

    with pytest.raises(OSError, match="unreadable image"):
        run(model, optimizer, batches=failing())
    assert everything(model, optimizer) == before


def test_random_numbers_drawn_by_the_data_are_put_back() -> None:
    model, optimizer = build()

    def drawing() -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            random.random(), np.random.rand()
            yield torch.randn(4, 3, 8, 8), torch.randint(2, (4,))

    before = everything(model, optimizer)
    run(model, optimizer, batches=drawing(), steps=5)
    assert everything(model, optimizer) == before


def test_the_loss_scaler_is_put_back() -> None:
    precision = Precision("fp16", CPU)
    model, optimizer = build()
    precision.load_state_dict(precision.state_dict() | {"scale": 1024.0})
    before = copy.deepcopy(precision.state_dict())
    run(model, optimizer, precision=precision, steps=10)
    assert precision.state_dict() == before


def test_a_loss_with_state_is_put_back() -> None:
    model, optimizer = build()
    norm = nn.BatchNorm1d(2)
    before = norm.running_mean.clone()

    def loss_of(images: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.cross_entropy(norm(model(images)), targets)

    find_lr(model, loss_of, endless(), optimizer, Precision("fp32", CPU), steps=5, restore_also=[norm])
    assert torch.equal(norm.running_mean, before)


# -------------------------------------------------------------------- the sweep
def test_rates_grow_by_one_factor_from_start_to_end_and_groups_keep_their_proportion() -> None:
    model, optimizer = build()
    seen: list[list[float]] = []

    def progress(done: int, steps: int, lr: float, loss: float) -> None:
        seen.append([group["lr"] for group in optimizer.param_groups])
        assert (done, steps, lr) == (len(seen), 9, seen[-1][0])
        assert math.isfinite(loss)

    result = run(model, optimizer, start_lr=1e-6, end_lr=1e-2, steps=9, progress=progress)
    assert result.stopped == "completed"
    assert result.lrs == pytest.approx([10 ** (-6 + i / 2) for i in range(9)], rel=1e-9)
    assert result.lrs[-1] == 1e-2
    for head, backbone in seen:
        assert backbone == pytest.approx(head / 10, rel=1e-12)


def test_the_smoothed_loss_is_the_bias_corrected_mean() -> None:
    model, optimizer = build()
    result = run(model, optimizer, steps=12, end_lr=1e-3, smoothing=0.8)
    for i, smoothed in enumerate(result.smoothed):
        weights = [0.8 ** (i - j) for j in range(i + 1)]
        mean = sum(w * loss for w, loss in zip(weights, result.losses, strict=False)) / sum(weights)
        assert smoothed == pytest.approx(mean, rel=1e-9)


def test_accumulated_micro_batches_are_one_step() -> None:
    """Four micro-batches of 2 see the loss and take the step of one batch of 8 (no BatchNorm, no dropout)."""
    losses = []
    for size, accumulate in ((8, 1), (2, 4)):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
        images, targets = zip(*[next(endless(seed, size=8)) for seed in range(6)], strict=True)
        batches = zip(torch.cat(images).split(size), torch.cat(targets).split(size), strict=True)
        result = find_lr(
            model,
            lambda x, y, model=model: nn.functional.cross_entropy(model(x), y),
            batches,
            torch.optim.SGD(model.parameters(), lr=0.1),
            Precision("fp32", CPU),
            start_lr=1e-3,
            end_lr=1e-1,
            steps=6,
            accumulate=accumulate,
        )
        losses.append(result.losses)
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_it_stops_when_the_loss_diverges() -> None:
    model, optimizer = build(SGD)
    result = run(model, optimizer, end_lr=1e6, steps=60)
    assert result.stopped == "diverged"
    assert result.diverged_at is not None
    assert 1e-3 < result.diverged_at < 1e6
    assert len(result.lrs) < 60
    assert all(map(math.isfinite, result.losses))


def test_a_loss_that_is_not_finite_ends_the_sweep_before_it_is_applied() -> None:
    weight = nn.Parameter(torch.ones(1))
    model = nn.Module()
    model.register_parameter("weight", weight)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    values = iter([1.0, 1.0, float("inf")])
    batches = ((torch.tensor([value]), torch.zeros(1)) for value in values)
    seen = []
    result = find_lr(
        model,
        lambda images, targets: (weight * images).mean(),
        batches,
        optimizer,
        Precision("fp32", CPU),
        steps=5,
        progress=lambda done, steps, lr, loss: seen.append(weight.item()),
    )
    assert (result.stopped, len(result.losses), len(seen)) == ("diverged", 2, 2)
    assert result.diverged_at == pytest.approx(1e-7 * (1e8) ** (2 / 4))


def test_it_can_be_cancelled_and_keeps_what_it_saw() -> None:
    model, optimizer = build()
    asked: list[bool] = []
    result = run(model, optimizer, steps=50, should_stop=lambda: asked.append(True) or len(asked) > 7)
    assert (result.stopped, len(result.lrs)) == ("cancelled", 7)


def test_it_ends_with_the_data() -> None:
    model, optimizer = build()
    stream = endless()
    result = run(model, optimizer, steps=50, batches=[next(stream) for _ in range(4)])
    assert (result.stopped, len(result.lrs)) == ("no more data", 4)


def test_nothing_seen_suggests_nothing_and_all_of_it_is_json() -> None:
    model, optimizer = build()
    nothing = run(model, optimizer, should_stop=lambda: True)
    assert (nothing.lrs, nothing.steepest, nothing.valley) == ((), None, None)
    for result in (nothing, run(model, optimizer, steps=20)):
        tree = json.loads(json.dumps(dataclasses.asdict(result), allow_nan=False))
        assert FinderResult(**{k: tuple(v) if isinstance(v, list) else v for k, v in tree.items()}) == result


@pytest.mark.parametrize(
    "sweep",
    [{"start_lr": 0}, {"start_lr": 1, "end_lr": 0.1}, {"steps": 1}, {"end_lr": float("inf")}, {"smoothing": 1.0}],
)
def test_what_is_no_sweep_is_refused(sweep: dict) -> None:
    with pytest.raises(ValueError, match="no sweep"):
        run(*build(), **sweep)


# -------------------------------------------------------------- the suggestions
def test_on_a_quadratic_both_suggestions_are_rates_that_converge() -> None:
    """Gradient descent on curvature c converges below 2 / c, at best at 1 / c; from there the loss diverges."""
    curvature = 50.0
    torch.manual_seed(0)
    weights = nn.Parameter(torch.randn(32))
    model = nn.Module()
    model.register_parameter("weights", weights)

    def loss_of(images: Tensor, targets: Tensor) -> Tensor:
        return curvature / 2 * weights.square().mean() * 32

    result = find_lr(
        model,
        loss_of,
        ((torch.zeros(1), torch.zeros(1)) for _ in range(100)),
        torch.optim.SGD(model.parameters(), lr=1.0),
        Precision("fp32", CPU),
    )
    assert result.steepest is not None
    assert result.valley is not None
    for rate in (result.steepest, result.valley):
        assert 1e-2 / curvature < rate < 2 / curvature
    assert result.diverged_at is not None
    assert result.diverged_at > 2 / curvature


def test_on_a_network_training_at_the_suggestion_beats_a_hundredth_and_a_hundredfold_of_it() -> None:
    model, optimizer = build(SGD)
    result = run(model, optimizer)
    assert result.valley is not None
    final = {}
    for factor in (0.01, 1, 100):
        model, optimizer = build(SGD)
        for group in optimizer.param_groups:
            group["lr"] *= result.valley * factor / 1e-3
        stream = endless(seed=1)
        losses = []
        for _ in range(60):
            images, targets = next(stream)
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(images), targets)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        final[factor] = sum(losses[-20:]) / 20
    assert final[1] < 0.8 * final[0.01]
    assert not final[1] >= final[100]  # which may be NaN


LRS = [10.0 ** (-6 + i / 10) for i in range(61)]


def test_the_steepest_point_of_a_sigmoid_is_its_middle() -> None:
    losses = [1 / (1 + math.exp((i - 30) / 3)) for i in range(61)]
    assert steepest_lr(LRS, losses) == LRS[30]


def test_the_valley_is_the_middle_of_the_fall() -> None:
    """Flat for 20 points, falling for 20, rising for 21."""
    losses = [1.0] * 20 + [1 - 0.04 * i for i in range(20)] + [0.3 + 0.1 * i for i in range(21)]
    assert valley_lr(LRS, losses) in LRS[28:31]


def test_a_loss_that_only_rises_suggests_nothing() -> None:
    losses = [1.0 + 0.01 * i for i in range(61)]
    assert (steepest_lr(LRS, losses), valley_lr(LRS, losses)) == (None, None)


def test_what_comes_after_the_lowest_loss_is_no_slope() -> None:
    """A fall back from an explosion is steeper than any before, and no reason for a rate."""
    losses = [1.0] * 10 + [1 - 0.02 * i for i in range(30)] + [5.0, 9.0, 2.0] + [3.0] * 18
    steepest = steepest_lr(LRS, losses)
    assert steepest is not None
    assert steepest <= LRS[39]


def test_a_flat_loss_with_noise_suggests_nothing_and_one_that_falls_does() -> None:
    rng = np.random.default_rng(0)

    def smooth(losses: np.ndarray) -> list[float]:
        mean, out = 0.0, []
        for count, loss in enumerate(losses, start=1):
            mean = 0.9 * mean + 0.1 * loss
            out.append(mean / (1 - 0.9**count))
        return out

    def share_of_falls(shape: np.ndarray) -> float:
        noisy = [shape + 0.1 * rng.standard_normal(len(shape)) for _ in range(200)]
        return float(np.mean([falls_beyond_chance(list(n), smooth(n), smoothing=0.9) for n in noisy]))

    assert share_of_falls(np.full(100, 0.7)) < 0.06
    assert share_of_falls(np.concatenate([np.full(50, 0.7), np.linspace(0.7, 0.3, 40)])) == 1.0
    assert not falls_beyond_chance([0.7] * 60, [0.7] * 60, smoothing=0.9)
