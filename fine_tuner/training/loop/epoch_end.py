"""What happens between epochs: validation, the best value, patience, the checkpoint."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from fine_tuner.runs.log.events import EvalMetrics, Mark, Message
from fine_tuner.training.loop.early_stopping import GHOST_EPOCHS
from fine_tuner.training.loop.micro_batches import is_out_of_memory

if TYPE_CHECKING:
    from fine_tuner.training.loop.trainer import Trainer


def end_epoch(trainer: Trainer) -> None:
    """Validate, let the schedule see the result, remember the best, save. Does nothing if interrupted."""
    trainer.check_numbers()
    metrics, is_best = validate(trainer)
    if metrics is None:
        return
    progress, best = trainer.progress, trainer.best
    trainer.schedule.end_epoch(metrics.get(best.key))
    progress.validated_epochs = progress.epoch
    if metrics:
        _have_patience(trainer)
    has_none = best.value is None and (not metrics or progress.step >= trainer.total_steps)
    trainer.save_checkpoint(is_best=is_best or has_none)
    trainer.log.restart_clock()


def validate_now(trainer: Trainer) -> None:
    """Validate between two steps; weights that are the best so far are kept, and training goes on as it would have."""
    trainer.check_numbers()
    _, is_best = validate(trainer)
    if is_best:
        trainer.save_checkpoint(is_best=True)
    trainer.log.restart_clock()


def validate(trainer: Trainer) -> tuple[Mapping[str, float] | None, bool]:
    """Metrics of the present weights, or of their average, recorded; and whether they are the best so far.

    None if the user wants to stop before it is through.
    """
    begun = time.perf_counter()
    with trainer.exported():
        metrics = _evaluated(trainer) if trainer.evaluate else {}
    if not metrics:
        return metrics, False
    metrics = {f"val/{key}": value for key, value in metrics.items()}
    is_best = trainer.best.update(metrics.get(trainer.best.key), trainer.epoch_now)
    trainer.emit(
        EvalMetrics(
            step=trainer.progress.step,
            epoch=trainer.epoch_now,
            split="val",
            metrics=metrics,
            seconds=round(time.perf_counter() - begun, 3),
            is_best=is_best,
        )
    )
    return metrics, is_best


def _evaluated(trainer: Trainer) -> Mapping[str, float] | None:
    """What ``evaluate`` returns, in smaller and smaller batches until they fit."""
    assert trainer.evaluate is not None
    while True:
        try:
            return trainer.evaluate()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        trainer.shrink("eval_batch", "evaluation")


def _have_patience(trainer: Trainer) -> None:
    """End the run, or mark where it would have ended, after too many epochs without a better value."""
    epoch, best, patience = trainer.progress.epoch, trainer.best, trainer.patience
    verdict = patience.after(epoch, best.epoch) if epoch < trainer.epochs else None
    since = f"{best.key} has not been better since epoch {max(best.epoch or 0, patience.since)}"
    step = trainer.progress.step
    if verdict == "stop":
        trainer.epochs = trainer.changed_epochs = epoch
        text = f"{since}: the run ends here, as train.early_stopping={patience.epochs} asks."
        trainer.emit(Message(text=text, step=step))
        trainer.emit(Mark(step=step, label="early stop", text=text, changes={"train.epochs": epoch}))
    elif verdict == "ghost":
        text = f"{since}. With train.early_stopping={GHOST_EPOCHS} the run would have ended here."
        trainer.emit(Mark(step=step, label="early stopping", text=text, is_ghost=True))
