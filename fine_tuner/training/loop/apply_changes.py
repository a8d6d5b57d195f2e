"""What can change while a run trains, by its path: as the user asked, or by the run itself when something failed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fine_tuner.base.errors import ConfigError
from fine_tuner.base.text import counted
from fine_tuner.config.live_changes import EPOCHS, LR, LR_FACTOR, unknown
from fine_tuner.losses.parts import is_exact
from fine_tuner.training.loop.early_stopping import EarlyStopping
from fine_tuner.training.loop.learner import Learner
from fine_tuner.training.loop.position import TrainingPosition

Words = tuple[str, str]  # a label on the curves, and the sentence behind it


class Changes:
    """Makes changes from the next step on.

    A user may ask for those of ``config.live_changes``; the others are the run's own.

    Args:
        learner: What changes.
        position: Where the run is.
        early_stopping: Counts anew when the run gets another length.
    """

    def __init__(self, learner: Learner, position: TrainingPosition, early_stopping: EarlyStopping) -> None:
        self._learner, self._position, self._early_stopping = learner, position, early_stopping
        self._makers: Mapping[str, Callable[[Any], Words]] = {
            LR_FACTOR.path: self._lr_factor,
            LR.path: self._lr,
            EPOCHS.path: self._epochs,
            "micro_batch": self._micro_batch,
            "eval_batch": self._eval_batch,
            "rollbacks": self._rollbacks,
            "pass_over": self._pass_over,
            "leave_out": self._leave_out,
            "precision.dtype": self._precision,
        }

    def make(self, wish: Mapping[str, Any]) -> Words:
        """Change each path to its value; returns their labels and sentences.

        Raises:
            ConfigError: At the first path whose value makes no sense, or that cannot be changed.
        """
        words = [self._make(path, value) for path, value in wish.items()]
        return ", ".join(label for label, _ in words), " ".join(sentence for _, sentence in words if sentence)

    def _make(self, path: str, value: Any) -> Words:
        if path not in self._makers:
            raise unknown(path)
        return self._makers[path](value)

    def _lr_factor(self, value: Any) -> Words:
        self._learner.schedule.rescale(float(value))
        return LR_FACTOR.mark.format(float(value)), ""

    def _lr(self, value: Any) -> Words:
        self._learner.schedule.set_lr(float(value))
        return LR.mark.format(float(value)), ""

    def _epochs(self, value: Any) -> Words:
        epochs, per_epoch = int(value), self._learner.steps_per_epoch
        if epochs * per_epoch <= self._position.step:
            message = f"{epochs} epochs are over already. Choose more than {self._position.epoch}, or stop the run."
            raise ConfigError({EPOCHS.path: message})
        self._learner.schedule.refit(epochs * per_epoch)
        self._learner.change_epochs(epochs)
        self._early_stopping.since = self._position.epoch
        return EPOCHS.mark.format(epochs), ""

    def _micro_batch(self, value: Any) -> Words:
        self._learner.micro_batches.train = int(value)
        return (
            f"micro-batch {value}",
            f"The device ran out of memory. From here on at most {value} images go through the network at once, half "
            "as many as before; a step still learns from the same images, their gradients added up"
            + ("." if is_exact(self._learner.loss_fn) else ": a loss of whole batches, now of smaller ones."),
        )

    def _eval_batch(self, value: Any) -> Words:
        self._learner.micro_batches.evaluation = int(value)
        return (
            f"evaluation batch {value}",
            f"The device ran out of memory in the evaluation. From here on it takes at most {value} images at once; "
            "the numbers are those of the whole split as before.",
        )

    def _rollbacks(self, value: Any) -> Words:
        self._position.rollbacks = max(self._position.rollbacks, int(value))
        return "rollback", ""

    def _pass_over(self, value: Any) -> Words:
        self._learner.passed_over |= {int(step) for step in value}
        return f"step {', '.join(map(str, value))} passed over", ""

    def _leave_out(self, value: Any) -> Words:
        self._learner.batches.leave_out([int(index) for index in value])
        return f"{counted(len(value), 'image')} left out", ""

    def _precision(self, value: Any) -> Words:
        self._learner.precision.switch(str(value))
        return str(value), ""
