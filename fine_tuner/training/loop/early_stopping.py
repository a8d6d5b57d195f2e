"""Early stopping: when a run has gone long enough without a better value, or where it would have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

GHOST_EPOCHS = 5


@dataclass
class EarlyStopping:
    """Counts validations without a better value of the metric that chooses the best checkpoint.

    Attributes:
        epochs: So many without a better one end the run; None: never, but the place where ``GHOST_EPOCHS`` would have
            ended it is marked once.
        since: Epoch from which they are counted at the earliest.
        is_told: The ghost has been marked.
    """

    epochs: int | None = None
    since: int = 0
    is_told: bool = False

    def after(self, epoch: int, best_epoch: int | None) -> Literal["stop", "ghost"] | None:
        """What the validation after ``epoch`` epochs means."""
        stale = epoch - max(best_epoch or 0, self.since)
        if self.epochs is not None:
            return "stop" if stale >= self.epochs else None
        if stale >= GHOST_EPOCHS and not self.is_told:
            self.is_told = True
            return "ghost"
        return None

    def state_dict(self) -> dict[str, Any]:
        """State to resume from."""
        return asdict(self)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of ``state_dict``; how long to wait stays as it is set."""
        self.since, self.is_told = state["since"], state["is_told"]
