"""What an error that ended a run says, and what has to be mended."""

from __future__ import annotations

import errno

import pytest
import torch

from fine_tuner.base.errors import (
    ConfigError,
    DataError,
    DeadLoaderError,
    NonFiniteError,
    OutOfMemoryError,
    TrainingError,
    WeightsError,
)
from fine_tuner.training.run.failures import cause_of, message_for


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (WeightsError("w"), "weights"),
        (DataError("d"), "data"),
        (ConfigError({"seed": "s"}), "setting"),
        (NonFiniteError("n"), "numbers"),
        (OutOfMemoryError("a single image"), "memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), "memory"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk"),
        (DeadLoaderError("l"), "killed"),
        (TrainingError("t"), "other"),
        (KeyError("k"), "other"),
    ],
)
def test_the_cause_is_what_has_to_be_mended(error: Exception, cause: str) -> None:
    assert cause_of(error) == cause


def test_a_message_for_the_user_is_kept_and_any_other_says_what_to_do() -> None:
    assert message_for(OutOfMemoryError("a single image")) == "a single image"
    assert "fewer images at once do not help" in message_for(MemoryError())
    assert message_for(OSError(errno.EDQUOT, "Disk quota exceeded", "run/x")).startswith("The disk quota is used up")
    assert "Free some space, then resume" in message_for(OSError(errno.ENOSPC, "No space left on device", "run/x"))
    assert message_for(KeyError("k")).startswith("Unexpected KeyError: 'k'.")
