"""A loss, gradient or weight that is NaN or infinite: what is known of it, and the way back.

The run goes back to its last good state, which is its newest checkpoint or, before there is one, the state it began
with; what was changed since is made again at its step, as in a resume. Then it goes on as the user chose. Nothing of
this costs a run that stays finite anything: the loss is read before the update as ever, the norm of the gradient when
it has come back from the device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fine_tuner.base.errors import NonFiniteError
from fine_tuner.runs.log.events import Message
from fine_tuner.training.loop.step_log import BadStepError
from fine_tuner.training.recovery.evidence import Evidence, collect

if TYPE_CHECKING:
    from fine_tuner.training.loop.trainer import Trainer

ADVICE = "Lower optim.lr, set optim.clip_norm=1, or check the data."


@dataclass(kw_only=True)
class Recovery:
    """Goes back and on.

    Attributes:
        choice: ``train.on_nonfinite``.
        limit: The run ends at this many.
        restore: Brings the trainer to its last good state, and has what was changed since made again.
        keep: Writes evidence; returns where, for a person.
    """

    choice: str
    limit: int
    restore: Callable[[], None]
    keep: Callable[[Evidence], str]

    def go_back(self, trainer: Trainer, found: BadStepError) -> None:
        """From what was found to the last good state, with something changed.

        Raises:
            NonFiniteError: If it is the last time that is allowed.
        """
        count = trainer.rollbacks + 1
        evidence = collect(trainer, found) if found.is_before_update else None
        self.restore()
        evidence = evidence or collect(trainer, found)
        trainer.forget()
        place = self.keep(evidence)
        told = f"{found} {evidence.sentence} The evidence is in {place}."
        if count >= self.limit:
            times = f" It is number {count}, the last that train.nonfinite_limit allows." if self.limit > 1 else ""
            raise NonFiniteError(f"{told}{times} {ADVICE}")
        changes, words = self._remedy(trainer, found, evidence)
        step = trainer.progress.step
        text = f"{told} The run went back to step {step} and goes on {words}."
        trainer.emit(Message(level="warning", text=text, step=step))
        trainer.change({"rollbacks": count} | changes, text=text, rewind_to=step)

    def _remedy(self, trainer: Trainer, found: BadStepError, evidence: Evidence) -> tuple[dict[str, Any], str]:
        """What to change, and how that reads after "goes on"."""
        if self.choice == "lower":
            return {"lr_factor": 0.5}, "at half the rate"
        if self.choice == "bf16" and trainer.precision.dtype == "fp16":
            return {"precision.dtype": "bf16"}, "in bf16"
        if self.choice == "skip" and evidence.indices:
            images = evidence.blamed or evidence.indices
            return {"leave_out": images}, f"without {len(images)} of its images"
        if found.what == "weights":
            return {}, "from there"
        also = "" if self.choice != "bf16" else f" ({trainer.precision.dtype} does not overflow as fp16 does)"
        return {"pass_over": [found.place.step]}, f"passing over step {found.place.step}{also}"
