"""A loss, gradient or weight that is NaN or infinite: what is known of it, and the way back.

The run goes back to its last good state, which is its newest checkpoint or, before there is one, the state it began
with; what was changed since is made again at its step, as in a resume. Then it goes on as the user chose. Nothing of
this costs a run that stays finite anything: the loss is read before the update as ever, the norm of the gradient when
it has come back from the device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fine_tuner.base.errors import NonFiniteError
from fine_tuner.training.loop.bad_step import ADVICE, BadStepError, Retry
from fine_tuner.training.loop.learner import Learner
from fine_tuner.training.loop.position import TrainingPosition
from fine_tuner.training.recovery.evidence import Evidence, collect


@dataclass(kw_only=True)
class NonFiniteRecovery:
    """The ``Recovery`` of a run: back to its last good state, and on as the user chose.

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

    def go_back(self, bad_step: BadStepError, learner: Learner, position: TrainingPosition) -> Retry:
        """From what was found to the last good state; see ``Recovery``."""
        count = position.rollbacks + 1  # read before it is restored
        evidence = None
        if bad_step.is_before_update:  # the weights are those that the step met; else the restored ones come closest
            evidence = collect(bad_step, learner, weights_of_step=position.step)
        self.restore()
        evidence = evidence or collect(bad_step, learner, weights_of_step=position.step)
        found = f"{bad_step} {evidence.sentence} The evidence is in {self.keep(evidence)}."
        if count >= self.limit:
            times = f" It is number {count}, the last that train.nonfinite_limit allows." if self.limit > 1 else ""
            raise NonFiniteError(f"{found}{times} {ADVICE}")
        changes, words = self._remedy(bad_step, learner, evidence)
        return Retry(changes, words, found)

    def _remedy(self, bad_step: BadStepError, learner: Learner, evidence: Evidence) -> tuple[dict[str, Any], str]:
        """What to change, and how that reads after "goes on"."""
        dtype = learner.precision.dtype
        if self.choice == "lower":
            return {"lr_factor": 0.5}, "at half the rate"
        if self.choice == "bf16" and dtype == "fp16":
            return {"precision.dtype": "bf16"}, "in bf16"
        if self.choice == "skip" and evidence.indices:
            images = evidence.blamed or evidence.indices
            return {"leave_out": images}, f"without {len(images)} of its images"
        if bad_step.what == "weights":
            return {}, "from there"
        also = "" if self.choice != "bf16" else f" ({dtype} does not overflow as fp16 does)"
        return {"pass_over": [bad_step.place.step]}, f"passing over step {bad_step.place.step}{also}"
