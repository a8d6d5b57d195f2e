"""Everything but the weights that an exact resume needs of a trainer."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fine_tuner.training.loop.progress import Best, Progress, rng_state, set_rng_state

if TYPE_CHECKING:
    from fine_tuner.training.loop.trainer import Trainer


def state_of(trainer: Trainer) -> dict[str, Any]:
    """Plain values and tensors, loadable with ``weights_only=True``; steps under way must have arrived."""
    return {
        "optimizer": trainer.optimizer.state_dict(),
        "schedule": trainer.schedule.state_dict(),
        "precision": trainer.precision.state_dict(),
        "dtype": trainer.precision.dtype,
        "progress": asdict(trainer.progress),
        "changed_epochs": trainer.changed_epochs,
        "best": asdict(trainer.best),
        "portions": asdict(trainer.portions),
        "patience": trainer.patience.state_dict(),
        "health": trainer.health.state_dict(),
        "passed_over": sorted(trainer.passed_over),
        "left_out": sorted(trainer.batches.left_out),
        "rollbacks": trainer.rollbacks,
        "average": trainer.average.state_dict() if trainer.average is not None else None,
        "rng": rng_state(trainer.precision.device),
    }


def load_state_into(trainer: Trainer, state: dict[str, Any]) -> None:
    """Inverse of ``state_of``, for a trainer whose network holds the weights that were saved with it."""
    trainer.optimizer.load_state_dict(state["optimizer"])
    trainer.schedule.load_state_dict(state["schedule"])
    if state.get("dtype", trainer.precision.dtype) != trainer.precision.dtype:
        trainer.precision.switch(state["dtype"])
    trainer.precision.load_state_dict(state["precision"])
    trainer.progress = Progress(**state["progress"])
    if state["changed_epochs"] is not None:
        trainer.epochs = trainer.changed_epochs = state["changed_epochs"]
    trainer.best = Best(**state["best"])
    if "portions" in state:  # runs of an earlier version have none of what follows
        trainer.portions.train = state["portions"]["train"]
        trainer.portions.evaluation = state["portions"]["evaluation"]
        trainer.patience.load_state_dict(state["patience"])
        trainer.health.load_state_dict(state["health"])
        trainer.passed_over = frozenset(state["passed_over"])
        trainer.batches.leave_out(state["left_out"])
        trainer.rollbacks = state["rollbacks"]
        if trainer.average is not None:
            trainer.average.load_state_dict(state["average"])
    set_rng_state(state["rng"], trainer.precision.device)
