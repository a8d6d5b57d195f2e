"""A step whose numbers are not finite, and what the trainer asks of whoever knows the way back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from fine_tuner.training.loop.learner import Learner
from fine_tuner.training.loop.position import StepPlace, TrainingPosition

ADVICE = "Lower optim.lr, set optim.clip_norm=1, or check the data."


class BadStepError(Exception):
    """A loss, gradient or weight is NaN or infinite; caught by the trainer's loop.

    Attributes:
        what: Which of them.
        value: The loss, the norm of the gradient, or NaN.
        place: The step that brought it; of weights the last one recorded.
    """

    def __init__(self, what: Literal["loss", "gradient", "weights"], value: float, place: StepPlace) -> None:
        self.what, self.value, self.place = what, value, place
        super().__init__(what, value, place)

    @property
    def is_before_update(self) -> bool:
        """Whether the weights are still those before the step."""
        return self.what == "loss"

    def __str__(self) -> str:
        rates = ", ".join(f"{name} {lr:.3g}" for name, lr in self.place.lrs.items())
        what = {
            "loss": f"The training loss is {self.value}",
            "gradient": f"The gradient is not finite (its norm is {self.value})",
            "weights": "The weights are not finite",
        }[self.what]
        end = " The weights were not updated." if self.is_before_update else ""
        return f"{what} at step {self.place.step} (epoch {self.place.epoch}, learning rate {rates}).{end}"


@dataclass(frozen=True, slots=True)
class Retry:
    """What to do otherwise after going back.

    Attributes:
        changes: Paths and values; see ``Changes``.
        words: How that reads after "goes on".
        found: What went wrong and where the evidence of it is, in sentences.
    """

    changes: Mapping[str, Any]
    words: str
    found: str


class Recovery(Protocol):
    """The way back from numbers that are not finite."""

    def go_back(self, bad_step: BadStepError, learner: Learner, position: TrainingPosition) -> Retry:
        """Bring the trainer to its last good state.

        Raises:
            NonFiniteError: If it is the last time that is allowed.
        """
