"""A network that cannot train on one image at a time is refused before it does, and only then."""

from __future__ import annotations

import pytest

from fine_tuner.base.errors import ConfigError
from fine_tuner.models.batch_norm import refuse_single_values
from fine_tuner.models.build import outline_model
from fine_tuner.models.freezing import Freezing


def check(name: str, task: str, image_size: int, trainable: str = "all") -> None:
    built = outline_model(name, task=task, num_outputs=3, weights="none", image_size=image_size)
    refuse_single_values(built, Freezing(built, trainable), is_gradual=trainable == "gradual")


@pytest.mark.parametrize(
    ("name", "task", "image_size"),
    [("deeplabv3_resnet50", "segmentation", 128), ("resnet18", "classification", 32)],
)
def test_batch_norm_over_one_value_is_refused(name: str, task: str, image_size: int) -> None:
    with pytest.raises(ConfigError, match=r"cannot train\. Choose 2 or more"):
        check(name, task, image_size)


def test_statistics_that_are_kept_need_no_second_value() -> None:
    check("resnet18", "classification", 32, trainable="head")
    with pytest.raises(ConfigError, match="resnet18 at 32 px"):
        check("resnet18", "classification", 32, trainable="gradual")


@pytest.mark.parametrize("name", ["vit_b_16", "mobilenet_v3_small", "swin_t", "convnext_tiny"])
def test_other_networks_train_on_one_image(name: str) -> None:
    check(name, "classification", 224)
