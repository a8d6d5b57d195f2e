"""What can change while a run trains, by its path: asked for by the user, or by the run itself when something failed.

Every change is a mark on the curves with the path and its value, so that a resume, and a run that went back to a
checkpoint, makes it again at its step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from fine_tuner.base.errors import ConfigError
from fine_tuner.runs.log.events import Mark, Message

if TYPE_CHECKING:
    from fine_tuner.training.loop.trainer import Trainer

Words = tuple[str, str]  # a label on the curves, and the sentence behind it


def make_changes(trainer: Trainer, wish: Mapping[str, Any], *, text: str = "", rewind_to: int | None = None) -> None:
    """Make the changes from the next step on, and mark them; a wish that makes no sense only warns."""
    step = trainer.progress.step
    try:
        words = [_make_change(trainer, path, value) for path, value in wish.items()]
    except ConfigError as error:
        trainer.emit(Message(level="warning", text=f"Not changed. {error}", step=step))
        return
    label = ", ".join(label for label, _ in words)
    if not text and (text := " ".join(sentence for _, sentence in words if sentence)):
        trainer.emit(Message(level="warning", text=text, step=step))
    trainer.emit(Mark(step=step, label=label, text=text, changes=dict(wish), rewind_to=rewind_to))


def _make_change(trainer: Trainer, path: str, value: Any) -> Words:
    if path not in _CHANGES:
        raise ConfigError({path: "cannot be changed while training. Known: lr_factor, optim.lr, train.epochs."})
    return _CHANGES[path](trainer, value)


def _lr_factor(trainer: Trainer, value: Any) -> Words:
    trainer.schedule.rescale(float(value))
    return f"rate × {float(value):g}", ""


def _lr(trainer: Trainer, value: Any) -> Words:
    trainer.schedule.set_lr(float(value))
    return f"rate {float(value):.3g}", ""


def _epochs(trainer: Trainer, value: Any) -> Words:
    """Lay the schedule over another number of epochs; patience counts anew from here."""
    epochs = int(value)
    if epochs * trainer.steps_per_epoch <= trainer.progress.step:
        message = f"{epochs} epochs are over already. Choose more than {trainer.progress.epoch}, or stop the run."
        raise ConfigError({"train.epochs": message})
    trainer.schedule.refit(epochs * trainer.steps_per_epoch)
    trainer.epochs = trainer.changed_epochs = epochs
    trainer.patience.since = trainer.progress.epoch
    return f"{epochs} epochs", ""


def _micro_batch(trainer: Trainer, value: Any) -> Words:
    trainer.portions.train = int(value)
    return (
        f"micro-batch {value}",
        f"The device ran out of memory. From here on at most {value} images go through the network at once, half as "
        "many as before; a step still learns from the same images, their gradients added up.",
    )


def _eval_batch(trainer: Trainer, value: Any) -> Words:
    trainer.portions.evaluation = int(value)
    return (
        f"evaluation batch {value}",
        f"The device ran out of memory in the evaluation. From here on it takes at most {value} images at once; the "
        "numbers are those of the whole split as before.",
    )


def _rollbacks(trainer: Trainer, value: Any) -> Words:
    trainer.rollbacks = max(trainer.rollbacks, int(value))
    return "rollback", ""


def _pass_over(trainer: Trainer, value: Any) -> Words:
    trainer.passed_over |= {int(step) for step in value}
    return f"step {', '.join(map(str, value))} passed over", ""


def _leave_out(trainer: Trainer, value: Any) -> Words:
    trainer.batches.leave_out([int(index) for index in value])
    trainer.begin_loading()
    return f"{len(value)} image{'s' * (len(value) != 1)} left out", ""


def _precision(trainer: Trainer, value: Any) -> Words:
    trainer.precision.switch(str(value))
    return str(value), ""


_CHANGES: Mapping[str, Callable[[Any, Any], Words]] = {
    "lr_factor": _lr_factor,
    "optim.lr": _lr,
    "train.epochs": _epochs,
    "micro_batch": _micro_batch,
    "eval_batch": _eval_batch,
    "rollbacks": _rollbacks,
    "pass_over": _pass_over,
    "leave_out": _leave_out,
    "precision.dtype": _precision,
}
