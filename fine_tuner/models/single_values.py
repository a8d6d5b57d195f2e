"""Networks that cannot train on one image at a time: a BatchNorm over a single value has no variance."""

from __future__ import annotations

import copy

import torch

from fine_tuner.base.errors import ConfigError
from fine_tuner.models.build import BuiltModel
from fine_tuner.models.freezing import Freezing


def refuse_single_values(built: BuiltModel, freezing: Freezing, *, is_gradual: bool) -> None:
    """Raise if a step on one image would ask a BatchNorm that trains for the variance of one value per channel.

    That is so behind a pooling to 1 x 1, as in DeepLabV3, or where the picture is so small that 1 x 1 is left of it.
    Found by a step of shapes, without numbers.

    Args:
        built: The network.
        freezing: Which of its BatchNorms keep their statistics.
        is_gradual: All of it trains later.

    Raises:
        ConfigError: At ``train.batch_size``.
    """
    freezing.set_train_mode()
    shell = copy.deepcopy(built.model).to("meta")
    if is_gradual:
        shell.train()
    side = built.preprocessing.image_size
    try:
        shell(torch.zeros(1, 3, side, side, device="meta"))
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise ConfigError(
            {
                "train.batch_size": f"is 1, and {built.name} at {side} px has a BatchNorm that sees one value then, on "
                "which it cannot train. Choose 2 or more, or model.trainable=head if that layer need not learn."
            }
        ) from None
