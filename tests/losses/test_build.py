"""Settings become losses, and what cannot be built is refused with the setting's path."""

from __future__ import annotations

import pytest
import torch

from fine_tuner.base.errors import ConfigError
from fine_tuner.config.io import parse
from fine_tuner.config.sections.losses import CrossEntropyLoss, DiceLoss, L1Loss
from fine_tuner.config.sections.second_loss import SECOND_VARIANTS, NoSecondLoss
from fine_tuner.losses.build import build_loss
from fine_tuner.losses.modules import balanced_weights


def test_balanced_weights_make_every_class_count_the_same() -> None:
    counts = [30, 10, 60]
    weights = balanced_weights(counts)
    shares = weights * torch.tensor(counts)
    torch.testing.assert_close(shares, shares.mean().expand(3))
    assert shares.sum().item() == pytest.approx(100)


def test_balanced_weights_of_a_class_without_examples_are_one_and_leave_the_others() -> None:
    assert balanced_weights([30, 0, 10]).tolist() == pytest.approx([2 / 3, 1, 2])


def test_equal_counts_change_nothing() -> None:
    logits, targets = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 3
    about = {"task": "classification", "num_outputs": 3}
    plain = build_loss(CrossEntropyLoss(), **about)(logits, targets)
    balanced = build_loss(CrossEntropyLoss(class_weights="balanced"), class_counts=(5, 5, 5), **about)(logits, targets)
    torch.testing.assert_close(balanced, plain)


def test_class_weights_move_with_the_loss() -> None:
    settings = CrossEntropyLoss(class_weights="balanced")
    loss_fn = build_loss(settings, task="classification", num_outputs=2, class_counts=(1, 3))
    assert loss_fn.to("meta").weight.device.type == "meta"
    assert not loss_fn.state_dict()  # nothing to save: a checkpoint's weights do not hang on the loss


@pytest.mark.parametrize("counts", [None, (3, 4, 5)])
def test_balanced_without_counts_is_refused(counts: tuple[int, ...] | None) -> None:
    settings = CrossEntropyLoss(class_weights="balanced")
    with pytest.raises(ConfigError, match=r"loss\.class_weights: 'balanced' needs the examples of 2 classes"):
        build_loss(settings, task="classification", num_outputs=2, class_counts=counts)


def test_balanced_second_loss_is_refused_at_its_own_path() -> None:
    second = SECOND_VARIANTS["focal"](class_weights="balanced")
    with pytest.raises(ConfigError, match=r"^second_loss\.class_weights:"):
        build_loss(CrossEntropyLoss(), task="classification", num_outputs=2, second=second)


def test_a_loss_without_meaning_for_the_task_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"loss\.name: 'l1' has no meaning for classification"):
        build_loss(L1Loss(), task="classification", num_outputs=2)


@pytest.mark.parametrize("path", ["loss", "second_loss"])
def test_settings_refuse_a_loss_without_meaning_and_name_those_offered(path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse({"task": "regression", path: {"name": "dice"}})
    assert list(caught.value.fields) == [f"{path}.name"]
    assert "smooth_l1" in str(caught.value)
    assert "tversky" not in str(caught.value)


def test_masks_with_a_class_that_means_ignore_are_refused() -> None:
    with pytest.raises(ConfigError, match="300 classes include 255"):
        build_loss(DiceLoss(), task="segmentation", num_outputs=300)


def test_no_second_loss_adds_nothing() -> None:
    loss_fn = build_loss(DiceLoss(), task="classification", num_outputs=2, second=NoSecondLoss())
    assert repr(loss_fn).startswith("FormulaLoss(dice_loss(smooth=0.0")
