"""The training loop: ``train`` -> ``train_step``, and ``end_epoch`` between epochs.

The loop knows no settings, no run folder and no console. Numbers leave through ``emit``; wishes from outside (stop,
pause, save, validate) arrive through ``control``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

import torch
from torch import Tensor, nn

from fine_tuner.base.errors import NonFiniteError, TrainingError
from fine_tuner.models.forward import loss_of_outputs
from fine_tuner.precision import Precision
from fine_tuner.runs.log.events import CheckpointSaved, Payload
from fine_tuner.training.loop.apply_changes import make_changes
from fine_tuner.training.loop.early_stopping import Patience
from fine_tuner.training.loop.ema import Average
from fine_tuner.training.loop.epoch_end import end_epoch, validate_now
from fine_tuner.training.loop.loss_scale import Health
from fine_tuner.training.loop.micro_batches import Portions, Undo, free_memory, is_out_of_memory, is_too_few
from fine_tuner.training.loop.progress import Best, Progress
from fine_tuner.training.loop.protocols import Batches, Control, LossFn, Outcome, Schedule
from fine_tuner.training.loop.state import load_state_into, state_of
from fine_tuner.training.loop.step_log import BadStepError, StepLog, StepPlace
from fine_tuner.training.recovery.nonfinite import ADVICE, Recovery


@dataclass
class Trainer:
    """One run in progress.

    Attributes:
        loss_fn: ``(logits, targets) -> scalar``, the mean over the images of the micro-batch.
        evaluate: Metrics of the validation split with the present weights, keys without the split, or None if the user
            wants to stop before it is through. No function: there is no such split.
        accumulate: Micro-batches that make one step; the last step of an epoch takes what is left.
        save: Called with the trainer and ``is_best``; returns the path written, relative to the run folder.
        before_epoch: Called with the number of epochs done before the first step of the next (unfreezing).
        portions: How many images go through the network at once.
        average: Of the weights; None: there is none.
        patience: When to stop early.
        recovery: The way back from numbers that are not finite; None: they end the run.
        passed_over: Steps, counted from 1, that are not made because they went wrong.
        rollbacks: How often the run went back.
    """

    model: nn.Module
    loss_fn: LossFn
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    batches: Batches
    precision: Precision
    epochs: int
    accumulate: int = 1
    clip_norm: float | None = None
    evaluate: Callable[[], Mapping[str, float] | None] | None = None
    emit: Callable[[Payload], None] = lambda payload: None
    control: Control | None = None
    save: Callable[[Trainer, bool], str] | None = None
    set_train_mode: Callable[[], None] | None = None
    before_epoch: Callable[[int], None] = lambda epoch: None
    read_memory: Callable[[], Mapping[str, float]] = dict
    progress: Progress = field(default_factory=Progress)
    best: Best = field(default_factory=Best)
    changed_epochs: int | None = None
    portions: Portions = field(default_factory=Portions)
    average: Average | None = None
    patience: Patience = field(default_factory=Patience)
    health: Health = field(default_factory=Health)
    recovery: Recovery | None = None
    passed_over: frozenset[int] = frozenset()
    rollbacks: int = 0

    def __post_init__(self) -> None:
        self.log = StepLog(self.precision.device, self.health, emit=self.emit)
        self._undo = Undo(self.model, self.precision.device)

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in one epoch."""
        return -(-self.batches.per_epoch // self.accumulate)

    @property
    def total_steps(self) -> int:
        """Optimizer steps in the whole run."""
        return self.steps_per_epoch * self.epochs

    # ------------------------------------------------------------- the loop
    def train(self) -> Outcome:
        """Train from the present position to the end, or until the user wants otherwise.

        Raises:
            NonFiniteError: If a loss, gradient or weight is NaN or infinite and there is no way back, or no more.
            TrainingError: If memory does not suffice for a single image.
        """
        self.begin_loading()
        self.health.scale = self.precision.scale
        self.log.restart_clock()
        self._fulfil_wishes()  # also of a run that is complete: it may be wished to be longer
        while wanted := self._next():
            try:
                if wanted in ("stop", "pause"):
                    return self._interrupt(wanted)
                if wanted == "validate":
                    end_epoch(self)
                    continue
                if self._offset == 0:
                    self.before_epoch(self.progress.epoch)
                self._fulfil_wishes()
                self.train_step()
            except BadStepError as found:
                self._go_back(found)
        return "completed"

    def begin_loading(self) -> None:
        """Load micro-batches from the present position on."""
        self._stream = self.batches.starting_at(self.progress.micro_step)

    def _fulfil_wishes(self) -> None:
        """Do what the user asked for between two steps."""
        if self.control is None:
            return
        for wish in self.control.changes(self.progress.step):
            self.change(wish)
        if self.control.wants_evaluation():
            validate_now(self)
        if self.control.wants_checkpoint():
            self.save_checkpoint()

    def change(self, wish: Mapping[str, Any], *, text: str = "", rewind_to: int | None = None) -> None:
        """Change settings from the next step on, and mark it on the curves; a wish that makes no sense only warns.

        Args:
            wish: Paths and values; see ``apply_changes``. A user may ask for ``lr_factor`` (times), ``optim.lr`` (the
                head's new rate; other groups in proportion) and ``train.epochs`` (the schedule is fitted to it).
            text: The sentence of the mark, if it is another than that of the changes.
            rewind_to: See ``Mark``.
        """
        self.log.emit(wait=True)
        make_changes(self, wish, text=text, rewind_to=rewind_to)

    def _next(self) -> Literal["step", "validate", "stop", "pause"] | None:
        """What to do now; None when the run is complete. A wish from outside comes before everything but the end."""
        is_validated = self.progress.validated_epochs == self.progress.epoch
        if is_validated and self.progress.step >= self.total_steps:
            return None
        if self.control and (wanted := self.control.wanted()):
            return wanted
        return "step" if is_validated else "validate"

    def _interrupt(self, wanted: Literal["stop", "pause"]) -> Outcome:
        """Keep where we are; without any validation so far the present weights are the best there are."""
        self.save_checkpoint(is_best=self.best.value is None)
        return "paused" if wanted == "pause" else "stopped"

    def train_step(self) -> None:
        """One optimizer update over up to ``accumulate`` micro-batches.

        The loss of the step is the mean over its images, whatever the sizes of its micro-batches, so that accumulated
        equals large batch.
        """
        (self.set_train_mode or self.model.train)()
        micro_batches = list(islice(self._stream, min(self.accumulate, self.batches.per_epoch - self._offset)))
        place = StepPlace.of(micro_batches, self.progress, self.optimizer)
        if place.step not in self.passed_over:
            self._update_weights(micro_batches, place)
        else:
            self.schedule.step()
            self._advance(place)

    def _update_weights(self, micro_batches: list[Any], place: StepPlace) -> None:
        self._undo.remember()
        while (loss := self._gradients(micro_batches, place.images)) is None:
            self._undo_step()
            self.shrink("micro_batch", "train")
        if not math.isfinite(loss):
            self._undo_step()
            raise BadStepError("loss", loss, place)
        grad_norm = self.precision.step(self.optimizer, clip_norm=self.clip_norm)
        if self.average is not None:
            self.average.update()
        self.schedule.step()
        self._advance(place)
        self.log.record(place, loss, grad_norm, self.precision.scale_tensor, self.read_memory())

    def _gradients(self, micro_batches: list[Any], images_in_step: int) -> float | None:
        """Add up the gradients of a step; returns its loss, or None if memory ran out on the way."""
        device = self.precision.device
        step_loss = torch.zeros((), device=device)
        try:
            for images, targets in self.portions.of(micro_batches, "train"):
                images = images.to(device, non_blocking=True)
                targets = targets.to(device, non_blocking=True)
                loss = self.loss_of(images, targets) * (len(targets) / images_in_step)
                step_loss += loss.detach()
                loss_value = self.log.readback.start(step_loss)
                self.precision.backward(loss)
        except (RuntimeError, MemoryError, ValueError) as error:
            if is_out_of_memory(error) or (self.portions.train == 1 and is_too_few(error)):
                return None
            raise
        # The copy of the loss was started before backward, so this wait leaves the device busy with backward.
        return loss_value.wait()[0]

    def loss_of(self, images: Tensor, targets: Tensor) -> Tensor:
        """Loss of one micro-batch; the loss function itself runs in float32."""
        with self.precision.autocast():
            output = self.model(images)
        return loss_of_outputs(output, targets, self.loss_fn)

    def save_checkpoint(self, *, is_best: bool = False) -> None:
        """Write a checkpoint, if the run has somewhere to write it; never one with numbers that are not finite."""
        self.check_numbers()
        if self.save is not None:
            path = self.save(self, is_best)
            self.emit(CheckpointSaved(step=self.progress.step, path=path, is_best=is_best))

    def exported(self) -> AbstractContextManager[None]:
        """Inside, the network has the weights that are validated, saved and exported."""
        return self.average.applied() if self.average is not None else nullcontext()

    # ------------------------------------------------------- when it goes wrong
    def _undo_step(self) -> None:
        """Be again where the step began."""
        self.optimizer.zero_grad(set_to_none=True)
        self._undo.take_back()

    def shrink(self, path: str, kind: Literal["train", "evaluation"]) -> None:
        """Take half as many images at once from here on."""
        free_memory(self.precision.device)
        smaller = self.portions.halved(kind)
        if smaller is None:
            raise TrainingError(
                f"The device ran out of memory with a single image at step {self.progress.step + 1} ({kind}). Choose "
                "a smaller data.image_size or model.name, half precision, or close what else uses the device."
            )
        self.change({path: smaller})

    def _go_back(self, found: BadStepError) -> None:
        if self.recovery is None:
            raise NonFiniteError(f"{found} {ADVICE}") from None
        self.recovery.go_back(self, found)
        self.begin_loading()
        self.log.restart_clock()

    def forget(self) -> None:
        """Drop numbers under way and gradients: what they belong to is undone."""
        self.log.forget()
        self.health.scale = self.precision.scale
        self.optimizer.zero_grad(set_to_none=True)

    def check_numbers(self) -> None:
        """Raise ``BadStepError`` if a gradient was, or a weight is, not finite. Waits for the device."""
        self.log.emit(wait=True)
        tensors = [t for t in self.model.state_dict().values() if t.is_floating_point()]
        if not all(torch.stack([t.isfinite().all() for t in tensors]).tolist()):
            raise BadStepError("weights", math.nan, self.log.last or StepPlace.of([], self.progress, self.optimizer))

    # ------------------------------------------------------------ accounting
    @property
    def _offset(self) -> int:
        """Micro-batches of the present epoch that are done."""
        return self.progress.micro_step - self.progress.epoch * self.batches.per_epoch

    @property
    def epoch_now(self) -> int:
        """The present epoch, counted from 1, or the one that has just ended."""
        return self.progress.epoch + (self._offset > 0)

    def _advance(self, place: StepPlace) -> None:
        self.progress.step += 1
        self.progress.micro_step += place.micro_steps
        self.progress.images_seen += place.images
        if self._offset == self.batches.per_epoch:
            self.progress.epoch += 1

    # ----------------------------------------------------------------- state
    def state_dict(self) -> dict[str, Any]:
        """Everything but the weights that an exact resume needs; loadable with ``weights_only=True``."""
        return state_of(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of ``state_dict``; the weights (see ``exported``) are loaded by the caller before."""
        load_state_into(self, state)
