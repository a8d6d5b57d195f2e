"""A step and a validation are of their images, however these are parted: through the trainer, with parts drawn."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from fine_tuner.config.sections import losses as variants
from fine_tuner.config.sections.losses import LossBase
from fine_tuner.losses.build import build_loss
from fine_tuner.metrics import classification_metrics, multilabel_metrics, regression_metrics, segmentation_metrics
from fine_tuner.precision import Precision
from fine_tuner.tasks.standardise import StandardisedLoss
from fine_tuner.training.loop.micro_batches import MicroBatches
from fine_tuner.training.loop.validation import evaluate

from .conftest import assert_same

CLASSES, VOID = 3, 255
CPU = torch.device("cpu")
few = settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
many = settings(few, max_examples=60)
EXACT = [
    variants.CrossEntropyLoss(class_weights="balanced", label_smoothing=0.1),
    variants.FocalLoss(class_weights="balanced"),
    variants.MSELoss(),
    variants.DiceLoss(per="image", include_absent=True),
    variants.LovaszLoss(per="image"),
    variants.DiceCrossEntropyLoss(per="image", class_weights="balanced"),
]
batches = st.integers(2, 9).flatmap(lambda size: st.tuples(st.just(size), st.integers(1, size), st.integers(1, size)))


def _masks(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Pictures and masks of 4 x 4 that differ in void (one has nothing else) and in classes."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 3, 4, 4, generator=generator)
    targets = images.argmax(1)
    for number, mask in enumerate(targets):
        mask[torch.rand(4, 4, generator=generator) < (number % 5) / 4] = VOID
        mask[mask == number % CLASSES] = 0
    return images, targets


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Conv2d(3, CLASSES, 1)


def _assert_a_step_is_that_of_its_images(make_trainer: Any, variant: LossBase, sizes: tuple[int, int, int]) -> None:
    """The batch as it is; in micro-batches that are loaded so; in parts that it was cut into when memory ran out."""
    whole, loaded, cut = sizes
    accumulate = -(-whole // loaded)
    trained = []
    for batch, times, most in ((loaded * accumulate, 1, None), (loaded, accumulate, None), (loaded, accumulate, cut)):
        trainer = make_trainer(
            batch_size=batch, accumulate=times, epochs=2, model=_network(), micro_batches=MicroBatches(train=most),
            loss_fn=build_loss(variant, task="segmentation", num_outputs=CLASSES, class_counts=(900, 90, 9)),
            optimizer=lambda groups: torch.optim.SGD(groups, lr=0.1, momentum=0.9),
        )  # fmt: skip
        data = trainer.learner.batches
        data.images, data.targets = _masks(20, seed=1)
        data.per_epoch = -(-20 // batch)
        trainer.train()
        trained.append(trainer)
    first, *others = trained
    for other in others:
        assert other.position.step == first.position.step
        assert_same(
            first.learner.model, other.learner.model, rtol=1e-4, atol=1e-5,
            because="only the order of float32 sums differs",
        )  # fmt: skip


@pytest.mark.parametrize("variant", EXACT, ids=repr)
@few
@given(sizes=batches)
def test_a_step_is_that_of_its_images_however_they_are_parted(
    make_trainer: Any, variant: LossBase, sizes: tuple[int, int, int]
) -> None:
    _assert_a_step_is_that_of_its_images(make_trainer, variant, sizes)


@pytest.mark.slow
@pytest.mark.parametrize("variant", EXACT, ids=repr)
@many
@given(sizes=batches)
def test_many_steps_are_those_of_their_images(
    make_trainer: Any, variant: LossBase, sizes: tuple[int, int, int]
) -> None:
    _assert_a_step_is_that_of_its_images(make_trainer, variant, sizes)


def _squares(outputs: Tensor, targets: Tensor) -> Tensor:
    """A loss of the user's own, a mean over images."""
    return F.mse_loss(outputs, targets)


VALIDATED = {
    "classification": (variants.CrossEntropyLoss(class_weights="balanced"), variants.FocalLoss(), variants.MSELoss()),
    "multilabel": (
        variants.BinaryCrossEntropyLoss(positive_weight=3.0), variants.FocalLoss(alpha=0.25), variants.DiceLoss(),
        variants.TverskyLoss(smooth=1.0), variants.JaccardLoss(include_absent=True), variants.LovaszLoss(),
    ),
    "regression": (variants.MSELoss(), variants.L1Loss(), variants.HuberLoss(), None),
    "segmentation": (
        *EXACT, variants.DiceLoss(), variants.TverskyLoss(), variants.JaccardLoss(), variants.DiceCrossEntropyLoss(),
    ),
}  # fmt: skip
METRICS = {
    "classification": lambda: classification_metrics(CLASSES),
    "multilabel": lambda: multilabel_metrics(CLASSES),
    "regression": lambda: regression_metrics(CLASSES, ("a", "b", "c")),
    "segmentation": lambda: segmentation_metrics(CLASSES, ignore_index=VOID),
}


def _split(task: str, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Outputs of a network and targets of a split."""
    generator = torch.Generator().manual_seed(seed)
    if task == "segmentation":
        return _masks(count, seed)
    outputs = 3 * torch.randn(count, CLASSES, generator=generator)
    if task == "classification":
        return outputs, torch.randint(0, CLASSES, (count,), generator=generator)
    noise = torch.randn(count, CLASSES, generator=generator)
    if task == "multilabel":
        return outputs, (outputs + noise > torch.tensor([0.0, 2.0, 1e9])).float()
    return 3e5 + 30 * outputs, 3e5 + 30 * (outputs + noise)


@pytest.mark.parametrize(
    ("task", "number"), [(task, n) for task, losses in VALIDATED.items() for n in range(len(losses))]
)
@few
@given(count=st.integers(2, 17), seed=st.integers(0, 999), batch=st.integers(1, 17), most=st.integers(1, 5))
def test_validation_does_not_depend_on_its_batch(
    task: str, number: int, count: int, seed: int, batch: int, most: int
) -> None:
    """Nor on what was halved when memory ran out in it; and the loss is that of the split as one batch."""
    variant = VALIDATED[task][number]
    loss_fn = _squares if variant is None else build_loss(
        variant, task=task, num_outputs=CLASSES, class_counts=(900, 90, 9)
    )  # fmt: skip
    if task == "regression" and variant is not None:
        loss_fn = StandardisedLoss(loss_fn, [3e5] * CLASSES, [90.0] * CLASSES)
    outputs, targets = _split(task, count, seed)

    def found(size: int, most: int | None) -> dict[str, float]:
        parts = list(zip(outputs.split(size), targets.split(size), strict=True))
        numbers = evaluate(
            nn.Identity(), parts, loss_fn=loss_fn, metrics=METRICS[task](), precision=Precision("fp32", CPU),
            micro_batches=MicroBatches(evaluation=most),
        )  # fmt: skip
        assert numbers is not None
        return numbers

    at_once, in_parts = found(count, None), found(batch, most)
    assert in_parts == pytest.approx(at_once, rel=1e-5, abs=1e-6, nan_ok=True)
    if not (task == "multilabel" and isinstance(variant, variants.LovaszLoss)):
        assert at_once["loss"] == pytest.approx(float(loss_fn(outputs, targets)), rel=1e-5, abs=1e-6)
