"""How fp16 is doing: the loss scale, and the steps it skipped. Read from numbers that came back from the device.

A step whose scaled gradients overflow is skipped and the scale halved. It counts as a step all the same: whether it
was skipped is known only later, without making the device wait, so the schedule goes on and the rates are those of
the preview.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

# From torch's first scale, 2**16, to 2**-14: no gradient of a network that learns is so large.
_MOST_IN_A_ROW = 30


@dataclass
class LossScale:
    """Of a run in fp16; of any other it stays as it is.

    Attributes:
        scale: After the last step whose numbers arrived.
        skipped: Steps skipped so far.
        in_a_row: Of those, how many are the most recent steps.
    """

    scale: float | None = None
    skipped: int = 0
    in_a_row: int = 0

    def see(self, scale: float | None) -> dict[str, float]:
        """Take the scale after a step; returns the metrics to record with it."""
        if scale is None:
            return {}
        was_skipped = self.scale is not None and scale < self.scale
        self.scale = scale
        self.skipped += was_skipped
        self.in_a_row = self.in_a_row + 1 if was_skipped else 0
        return {"train/loss_scale": scale, "train/skipped_steps": float(self.skipped)}

    @property
    def is_hopeless(self) -> bool:
        """Whether no scale helps: the gradients themselves are not finite."""
        return self.in_a_row >= _MOST_IN_A_ROW

    def state_dict(self) -> dict[str, Any]:
        """State to resume from."""
        return asdict(self)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of ``state_dict``."""
        self.scale, self.skipped, self.in_a_row = state["scale"], state["skipped"], state["in_a_row"]
