"""Losses of positions agree with torch and torchvision, with published figures, and with each other."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss as torchvision_focal

from fine_tuner.losses import functional as ours
from fine_tuner.losses import overlap
from fine_tuner.losses.formula_parts import in_float32

EXACT = {"rtol": 1e-6, "atol": 1e-7}


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def logits(rng: torch.Generator) -> Tensor:
    return 3 * torch.randn(6, 4, 3, 2, generator=rng)


@pytest.fixture
def classes(rng: torch.Generator) -> Tensor:
    targets = torch.randint(0, 4, (6, 3, 2), generator=rng)
    targets[0, 0] = 255
    return targets


@pytest.fixture
def labels(rng: torch.Generator) -> Tensor:
    return (torch.rand(6, 4, generator=rng) < 0.5).float()


# ------------------------------------------------------------ torch, torchvision
@pytest.mark.parametrize(("weight", "label_smoothing"), [(None, 0.0), (None, 0.2), ([1.0, 0.2, 3.0, 0.0], 0.0)])
def test_cross_entropy_equals_torch(
    logits: Tensor, classes: Tensor, weight: list[float] | None, label_smoothing: float
) -> None:
    parameters = {"weight": None if weight is None else torch.tensor(weight), "label_smoothing": label_smoothing}
    expected = F.cross_entropy(logits, classes, ignore_index=255, **parameters)
    torch.testing.assert_close(ours.cross_entropy(logits, classes, ignore_index=255, **parameters), expected, **EXACT)


def test_smoothing_is_not_distorted_by_weights(logits: Tensor, classes: Tensor) -> None:
    """Keras's ``class_weight``: each position's smoothed loss counts as much as its true class."""
    weight = torch.tensor([1.0, 0.2, 50.0, 3.0])
    of_positions = F.cross_entropy(logits, classes, ignore_index=255, label_smoothing=0.2, reduction="none")
    weights = torch.where(classes == 255, 0.0, weight[classes.clamp_max(3)])
    expected = (of_positions * weights).sum() / weights.sum()
    actual = ours.cross_entropy(logits, classes, ignore_index=255, label_smoothing=0.2, weight=weight)
    torch.testing.assert_close(actual, expected, **EXACT)


def test_binary_cross_entropy_equals_torch(logits: Tensor, labels: Tensor) -> None:
    expected = F.binary_cross_entropy_with_logits(logits[:, :, 0, 0], labels, pos_weight=torch.tensor(2.5))
    value = ours.binary_cross_entropy(logits[:, :, 0, 0], labels, positive_weight=2.5)
    torch.testing.assert_close(value, expected, **EXACT)


@pytest.mark.parametrize(
    ("mine", "reference", "parameters"),
    [
        (ours.mse_loss, F.mse_loss, {}),
        (ours.l1_loss, F.l1_loss, {}),
        (ours.smooth_l1_loss, F.smooth_l1_loss, {"beta": 0.7}),
        (ours.huber_loss, F.huber_loss, {"delta": 1.3}),
    ],
)
def test_losses_of_numbers_equal_torch(
    mine: Callable[..., Tensor], reference: Callable[..., Tensor], parameters: dict[str, float], rng: torch.Generator
) -> None:
    outputs, targets = torch.randn(9, 2, generator=rng), torch.randn(9, 2, generator=rng)
    torch.testing.assert_close(mine(outputs, targets, **parameters), reference(outputs, targets, **parameters), **EXACT)


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0, 3.5])
@pytest.mark.parametrize("alpha", [None, 0.25, 0.8])
def test_sigmoid_focal_equals_torchvision(logits: Tensor, labels: Tensor, gamma: float, alpha: float | None) -> None:
    flat = logits[:, :, 0, 0]
    expected = torchvision_focal(flat, labels, alpha=-1 if alpha is None else alpha, gamma=gamma, reduction="mean")
    value = ours.sigmoid_focal_loss(flat, labels, gamma=gamma, alpha=alpha)
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-7)  # torchvision takes 1 - sigmoid in float32


# --------------------------------------------------------------- published figures
@pytest.mark.parametrize(("p_t", "ratio"), [(0.9, 100), (0.968, 1000)])
def test_focal_discounts_as_the_paper_says(p_t: float, ratio: float) -> None:
    """Lin et al. 2017, section 3.2: with gamma = 2 an example at 0.9 has 100 times lower loss, at 0.968 1,000 times."""
    logits, target = torch.tensor([[math.log(p_t / (1 - p_t)), 0.0]]), torch.tensor([0])
    discount = ours.cross_entropy(logits, target) / ours.focal_loss(logits, target, gamma=2.0)
    assert discount.item() == pytest.approx(ratio, rel=0.03)


def test_label_smoothing_moves_the_best_probability(rng: torch.Generator) -> None:
    """Szegedy et al. 2016: with smoothing e over K classes the best p of the true class is 1 - e + e / K."""
    logits = torch.zeros(1, 5, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = ours.cross_entropy(logits, torch.tensor([2]), label_smoothing=0.1)
        loss.backward()
        return loss

    optimizer.step(closure)
    assert logits.softmax(1)[0, 2].item() == pytest.approx(0.92, abs=1e-4)


# ----------------------------------------------------------------- identities
def test_focal_without_focus_is_cross_entropy(logits: Tensor, classes: Tensor, labels: Tensor) -> None:
    weight = torch.tensor([1.0, 2.0, 0.5, 4.0])
    for parameters in ({}, {"weight": weight}):
        expected = ours.cross_entropy(logits, classes, ignore_index=255, **parameters)
        value = ours.focal_loss(logits, classes, gamma=0.0, ignore_index=255, **parameters)
        torch.testing.assert_close(value, expected, **EXACT)
    flat = logits[:, :, 0, 0]
    expected = ours.binary_cross_entropy(flat, labels)
    torch.testing.assert_close(ours.sigmoid_focal_loss(flat, labels, gamma=0.0), expected, **EXACT)


@pytest.mark.parametrize("loss", [ours.cross_entropy, ours.focal_loss])
def test_only_ratios_of_class_weights_matter(loss: Callable[..., Tensor], logits: Tensor, classes: Tensor) -> None:
    plain = loss(logits, classes, ignore_index=255)
    torch.testing.assert_close(loss(logits, classes, weight=torch.full((4,), 7.0), ignore_index=255), plain, **EXACT)
    weight = torch.tensor([1.0, 2.0, 0.5, 4.0])
    weighted = loss(logits, classes, weight=weight, ignore_index=255)
    torch.testing.assert_close(loss(logits, classes, weight=weight * 9, ignore_index=255), weighted, **EXACT)
    assert not torch.isclose(weighted, plain)


def test_huber_is_delta_times_smooth_l1(rng: torch.Generator) -> None:
    outputs, targets = torch.randn(9, 2, generator=rng), torch.randn(9, 2, generator=rng)
    smooth = ours.smooth_l1_loss(outputs, targets, beta=0.4)
    torch.testing.assert_close(ours.huber_loss(outputs, targets, delta=0.4), 0.4 * smooth, **EXACT)


def test_huber_is_half_mse_for_small_and_near_l1_for_large_errors(rng: torch.Generator) -> None:
    outputs, targets = torch.randn(9, 2, generator=rng), torch.randn(9, 2, generator=rng)
    torch.testing.assert_close(
        ours.huber_loss(outputs, targets, delta=1e3), ours.mse_loss(outputs, targets) / 2, **EXACT
    )
    torch.testing.assert_close(
        ours.smooth_l1_loss(outputs, targets, beta=1e-6), ours.l1_loss(outputs, targets), rtol=1e-5, atol=1e-6
    )


def test_two_classes_are_one_label(rng: torch.Generator) -> None:
    """Softmax over (0, z) is the sigmoid of z, so losses of two classes equal those of one label."""
    z, present = torch.randn(7, 1, generator=rng), (torch.rand(7, 1, generator=rng) < 0.5).float()
    two, target = torch.cat([torch.zeros(7, 1), z], 1), present[:, 0].long()
    pairs = [
        (ours.cross_entropy(two, target), ours.binary_cross_entropy(z, present)),
        (ours.focal_loss(two, target, gamma=1.5), ours.sigmoid_focal_loss(z, present, gamma=1.5)),
        (ours.brier_loss(two, target), ours.brier_loss(z, present)),
        (overlap.dice_loss(two, target, include_background=False), overlap.dice_loss(z, present)),
        (overlap.lovasz_loss(two, target, include_background=False), overlap.lovasz_loss(z, present)),
    ]
    for classes, label in pairs:
        torch.testing.assert_close(classes, label, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("gamma", [0.3, 0.5, 1.0])
def test_focal_has_a_finite_gradient_where_the_answer_is_certain(gamma: float) -> None:
    logits = torch.tensor([[200.0, -200.0]], requires_grad=True)
    ours.focal_loss(logits, torch.tensor([0]), gamma=gamma).backward()
    assert logits.grad is not None
    assert not logits.grad.any()


# ---------------------------------------------------------------- half precision
def test_a_formula_runs_in_float32_whatever_autocast_says() -> None:
    """The formulas hold no matrix product today; one that does must not be rounded either."""
    logits = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
    formula = in_float32(lambda z, t: (z @ z.T - t).square().sum())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = formula(logits.half(), torch.ones(5, 5))
    assert torch.equal(value, formula(logits.half().float(), torch.ones(5, 5)))


# --------------------------------------------------------------------- refusals
@pytest.mark.parametrize("loss", [ours.cross_entropy, ours.focal_loss, ours.brier_loss, overlap.dice_loss])
@pytest.mark.parametrize(
    "targets",
    [torch.zeros(4, dtype=torch.int32), torch.zeros(4), torch.zeros(4, 1, dtype=torch.int64), torch.zeros(3).long()],
    ids=["int32", "float", "column", "other batch"],
)
def test_targets_that_are_not_class_indices_are_refused(loss: Callable[..., Tensor], targets: Tensor) -> None:
    with pytest.raises(ValueError, match=r"targets are \("):
        loss(torch.zeros(4, 3), targets)


@pytest.mark.parametrize(
    "loss", [ours.mse_loss, ours.l1_loss, ours.smooth_l1_loss, ours.huber_loss, ours.binary_cross_entropy]
)
def test_numbers_are_never_broadcast(loss: Callable[..., Tensor]) -> None:
    with pytest.raises(ValueError, match=r"targets are \(4,\) for outputs \(4, 1\)"):
        loss(torch.zeros(4, 1), torch.zeros(4))
