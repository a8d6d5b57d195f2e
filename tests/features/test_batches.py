"""Micro-batches of features: their order, what they repeat, and how they are interrupted."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from fine_tuner.base.errors import OutOfMemoryError
from fine_tuner.data.loading.batches import EvalBatches, ImageDataset, TrainBatches
from fine_tuner.data.loading.transforms import build_transforms
from fine_tuner.data.records import Record
from fine_tuner.distributed.ranks import Ranks
from fine_tuner.features.batches import FeatureBatches, FeatureEvalBatches, InterruptionError
from fine_tuner.features.features import Features
from fine_tuner.features.network import FeatureNetwork
from fine_tuner.features.plan import FeaturePlan, split_in_both_modes
from fine_tuner.precision import Precision
from fine_tuner.training.loop.hooks import Hooks
from fine_tuner.training.loop.learner import Learner
from fine_tuner.training.loop.trainer import Trainer

COUNT, SIZE, VIEWS = 11, 16, 2


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    folder: Path = tmp_path_factory.mktemp("pictures")
    for number in range(COUNT):
        Image.linear_gradient("L").rotate(30 * number).resize((24, 20)).save(folder / f"{number}.png")
    return [Record(image=folder / f"{number}.png", target=number % 2) for number in range(COUNT)]


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    model[0].requires_grad_(False)
    return model


@pytest.fixture
def features(records: list[Record], model: nn.Module) -> Callable[..., Features]:
    def make(*, epochs: int | None = None, should_stop: Callable[[], bool] = lambda: False) -> Features:
        plan = {"image_size": SIZE, "resize_size": SIZE, "mean": (0.5,) * 3, "std": (0.25,) * 3}
        train, val = (
            ImageDataset(
                records,
                build_transforms(augment="light", train=is_train, task="classification", **plan),
                "classification",
            )
            for is_train in (True, False)
        )
        return Features.of(
            model,
            split_in_both_modes(model, SIZE, set_train_mode=model.train),
            plan=FeaturePlan(is_used=True, views=VIEWS, epochs=epochs),
            precision=Precision("fp32", torch.device("cpu")),
            train_batches=TrainBatches(train, batch_size=4, seed=3, num_workers=0),
            val_batches=EvalBatches(val, batch_size=4, num_workers=0),
            set_train_mode=model.train,
            should_stop=should_stop,
            on_computed=lambda what, done, total: None,
            ranks=Ranks(),
        )

    return make


def test_after_the_views_the_same_features_come_again_in_another_order(features: Callable[..., Features]) -> None:
    batches: FeatureBatches = features().train_batches
    epochs = [{}, {}, {}, {}]
    stream = batches.starting_at(0)
    for epoch, seen in enumerate(epochs):
        for number in range(batches.per_epoch):
            rows, _ = next(stream)
            seen |= dict(zip(batches.indices(epoch * batches.per_epoch + number), rows, strict=True))
    assert all(torch.equal(epochs[2][index], epochs[0][index]) for index in range(COUNT))
    assert all(torch.equal(epochs[3][index], epochs[1][index]) for index in range(COUNT))
    assert not any(torch.equal(epochs[0][index], epochs[1][index]) for index in range(COUNT))


def test_batches_are_the_same_wherever_one_begins(features: Callable[..., Features]) -> None:
    whole = list(islice(features().train_batches.starting_at(0), 10))
    for start in (1, 5, 9):
        part = list(islice(features().train_batches.starting_at(start), 10 - start))
        for (ours, targets), (theirs, others) in zip(part, whole[start:], strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
            assert torch.equal(targets, others)


def test_after_the_frozen_epochs_come_the_images_themselves(features: Callable[..., Features]) -> None:
    batches = features(epochs=2).train_batches
    per_epoch = batches.per_epoch
    first, then = [b for b, _ in islice(batches.starting_at(0), 2 * per_epoch)], []
    then = [b for b, _ in islice(batches.starting_at(2 * per_epoch), 2)]
    assert {b.ndim for b in first} == {2}
    images = list(islice(batches._images.starting_at(2 * per_epoch), 2))
    assert all(torch.equal(ours, theirs) for ours, (theirs, _) in zip(then, images, strict=True))
    batches.close()


def test_evaluation_computes_in_its_first_pass_only(features: Callable[..., Features], model: nn.Module) -> None:
    made = features()
    batches: FeatureEvalBatches = made.val_batches
    made.network.eval()
    seen = []
    model[0].register_forward_hook(lambda *_: seen.append(1))
    passes = [list(batches) for _ in range(3)]
    assert [len(p) for p in passes] == [3, 3, 3]
    for later in passes[1:]:
        for (ours, _), (theirs, _) in zip(later, passes[0], strict=True):
            assert torch.equal(ours, theirs)
    assert len(seen) == 3
    model[0].requires_grad_(True)
    assert [batch.ndim for batch, _ in batches] == [4, 4, 4]


def test_a_wish_to_end_is_heard_while_the_frozen_part_runs(features: Callable[..., Features], model: nn.Module) -> None:
    asked = []

    def should_stop() -> bool:
        asked.append(1)
        return len(asked) == 2

    with pytest.raises(InterruptionError):
        next(features(should_stop=should_stop).train_batches.starting_at(0))

    class Wish:
        """Wants to pause once it was asked while features were computed."""

        def wanted(self) -> str | None:
            return "pause" if len(asked) == 4 else None

        def changes(self, step: int) -> list:
            return []

        def wants_checkpoint(self) -> bool:
            return False

        def wants_validation(self) -> bool:
            return False

    made = features(should_stop=lambda: should_stop() or len(asked) == 4)
    optimizer = torch.optim.SGD(model[4].parameters(), lr=0.1)
    learner = Learner(
        model=model,
        network=made.network,
        loss_fn=nn.functional.cross_entropy,
        optimizer=optimizer,
        schedule=_Constant(),
        batches=made.train_batches,
        precision=Precision("fp32", torch.device("cpu")),
        epochs=5,
    )
    trainer = Trainer(learner, hooks=Hooks(emit=lambda payload: None, control=Wish()))
    assert trainer.train() == "paused"
    assert trainer.position.step == 0


class _Constant:
    def step(self) -> None:
        """Nothing moves."""


def test_where_memory_runs_out_features_are_computed_of_fewer_images_at_once(model: nn.Module) -> None:
    most, sizes = 100, []

    def run_out(_: nn.Module, given: tuple[torch.Tensor]) -> None:
        if len(given[0]) > most:
            raise torch.OutOfMemoryError("out of memory")
        sizes.append(len(given[0]))

    splits = split_in_both_modes(model, SIZE, set_train_mode=model.train)
    network = FeatureNetwork(
        model, training=splits.training, evaluation=splits.evaluation, precision=Precision("fp32", torch.device("cpu"))
    )
    images = torch.rand(9, 3, SIZE, SIZE)
    whole = network.features(images)
    model[0].register_forward_pre_hook(run_out)
    most = 3
    torch.testing.assert_close(network.features(images), whole)
    torch.testing.assert_close(network.features(images[:4]), whole[:4])
    assert sizes == [2, 2, 2, 2, 1, 2, 2]
    most = 0
    with pytest.raises(OutOfMemoryError, match="single image"):
        network.features(images)
