"""Training on what comes out of the frozen part is training the network, whose frozen part ran once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.utils.data import default_collate

from fine_tuner.config.io import parse, read_tree
from fine_tuner.data.loading.batches import Key
from fine_tuner.runs.log.events import EvalMetrics, RunStarted
from fine_tuner.tasks.build import assemble, build_data

from .conftest import last_weights, payloads

Train = Callable[..., Path]
# A layer computes an image in another order of sums when it comes with others: a few units in the last place a step.
CLOSE = {"rtol": 1e-3, "atol": 1e-5}


def facts(run: Path) -> dict:
    return payloads(run, RunStarted)[0].facts["features"]


@pytest.fixture
def pretrained(tiny_settings: tuple[str, ...]) -> tuple[str, ...]:
    """Settings that begin with a network whose features tell pictures apart; those of random numbers hardly do."""
    words = ("optim.name=SGD", "optim.lr=0.05", "optim.momentum=0.9", "optim.backbone_multiplier=1")
    return (*tiny_settings, *words, "model.weights=source")


@pytest.mark.parametrize(
    "settings",
    [
        ("model.trainable=head",),
        ("model.trainable=2", "train.ema_decay=0.9", "train.accumulate=2"),
        ("model.trainable=gradual", "model.head_epochs=2"),
    ],
    ids=["head", "last stages", "gradual"],
)
def test_it_learns_as_if_the_frozen_part_ran_in_every_epoch(
    pretrained: tuple[str, ...], train_here: Train, settings: tuple[str, ...]
) -> None:
    words = (*pretrained, "train.epochs=3", "augment.name=none", *settings)
    once, always = train_here(*words), train_here(*words, "train.features=off", runs="off")
    assert (facts(once)["is_used"], facts(always)["is_used"]) == (True, False)
    torch.testing.assert_close(last_weights(once), last_weights(always), **CLOSE)
    ours, theirs = ([e.metrics for e in payloads(run, EvalMetrics)] for run in (once, always))
    assert len({round(metrics["val/loss"], 2) for metrics in ours}) > 1, "it learned nothing; this would prove nothing"
    for one, other in zip(ours, theirs, strict=True):
        assert one == pytest.approx(other, rel=1e-3)


def test_later_epochs_repeat_the_views_of_the_first(pretrained: tuple[str, ...], train_here: Train) -> None:
    run = train_here(*pretrained, "train.epochs=5", "train.views=2", "model.trainable=head")
    settings = parse(read_tree(run / "config.yaml"))
    with assemble(settings, build_data(settings)) as plain:
        batches = plain.train_batches
        for epoch in range(5):
            order = batches.epoch_order(epoch)
            for start in range(0, len(order), batches.batch_size):
                keys = [Key(index, settings.seed, epoch % 2) for index in order[start : start + batches.batch_size]]
                images, targets = default_collate([batches.dataset[key] for key in keys])
                plain.freezing.set_train_mode()
                plain.precision.backward(plain.loss_fn(plain.model(images), targets))
                plain.precision.step(plain.optimizer, clip_norm=settings.optim.clip_norm)
                plain.schedule.step()
        torch.testing.assert_close(last_weights(run), dict(plain.model.state_dict()), **CLOSE)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (("model.trainable=head", "train.epochs=2"), "no more epochs"),
        (("model.trainable=head", "train.epochs=3", "augment.mix=mixup"), "images are mixed before it"),
        (("model.trainable=all", "train.epochs=3"), ""),
    ],
    ids=["too few epochs", "mixed", "nothing frozen"],
)
def test_a_run_says_why_its_frozen_part_runs_in_every_epoch(
    tiny_settings: tuple[str, ...], train_here: Train, settings: tuple[str, ...], reason: str
) -> None:
    said = facts(train_here(*tiny_settings, *settings))
    assert not said["is_used"]
    assert reason in said["words"]
    assert bool(reason) == bool(said["words"])
