"""The training loop: ``train`` -> ``train_step``, and ``end_epoch`` between epochs.

The loop knows no settings, no run folder and no console. Numbers leave through ``hooks.emit``; wishes from outside
(stop, pause, save, validate) arrive through ``hooks.control``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

import torch
from torch import Tensor, nn

from fine_tuner.base.errors import ConfigError, NonFiniteError, OutOfMemoryError, TrainingError
from fine_tuner.config.live_changes import EPOCHS
from fine_tuner.distributed.device_memory import free_memory, is_out_of_memory
from fine_tuner.distributed.generators import rng_state, set_rng_state
from fine_tuner.features.batches import InterruptionError
from fine_tuner.losses.parts import shares_of
from fine_tuner.models.batch_norm import is_too_few
from fine_tuner.runs.log.events import CheckpointSaved, EvalMetrics, Mark, Message, TimeSpent
from fine_tuner.training.loop.apply_changes import Changes
from fine_tuner.training.loop.bad_step import ADVICE, BadStepError, Recovery
from fine_tuner.training.loop.early_stopping import GHOST_EPOCHS
from fine_tuner.training.loop.hooks import Hooks, TrainerOutcome
from fine_tuner.training.loop.learner import Learner, is_empty
from fine_tuner.training.loop.micro_batches import (
    Kind,
    Undo,
    memory_lost_in_backward,
    until_it_fits,
)
from fine_tuner.training.loop.position import StepPlace, TrainingPosition
from fine_tuner.training.loop.step_log import StepLog
from fine_tuner.training.loop.step_timer import StepTimer
from fine_tuner.training.loop.validation import Validation

Part = tuple[Tensor, Any, Tensor | None]  # images, targets, shares
_HALVED: Mapping[Kind, str] = {"train": "micro_batch", "evaluation": "eval_batch"}


@dataclass
class Trainer:
    """One run in progress.

    Attributes:
        learner: What trains.
        validation: What is measured between epochs.
        hooks: Who listens, and whose wishes are heard.
        recovery: The way back from numbers that are not finite; None: they end the run.
        position: Where the run is.
    """

    learner: Learner
    validation: Validation = field(default_factory=Validation)
    hooks: Hooks = field(default_factory=Hooks)
    recovery: Recovery | None = None
    position: TrainingPosition = field(default_factory=TrainingPosition)

    def __post_init__(self) -> None:
        self._changes = Changes(self.learner, self.position, self.validation.early_stopping)
        self._ranks = self.learner.ranks
        self._log = StepLog(
            self.learner.device,
            self.learner.loss_scale,
            emit=self.hooks.emit,
            is_in_step=self._ranks.world_size > 1,
        )
        self._timer = StepTimer(self.learner.device)
        self._undo = Undo(self.learner.model, self.learner.device)

    # ------------------------------------------------------------- the loop
    def train(self) -> TrainerOutcome:
        """Train from the present position to the end, or until the user wants otherwise.

        Raises:
            NonFiniteError: If a loss, gradient or weight is NaN or infinite and there is no way back, or no more.
            OutOfMemoryError: If memory does not suffice for a single image.
        """
        self._begin()
        self._fulfil_wishes()  # also of a run that is complete: it may be wished to be longer
        while wanted := self._next():
            try:
                if wanted in ("stop", "pause"):
                    return self._interrupt(wanted)
                if wanted == "validate":
                    self.end_epoch()
                    continue
                if self._offset == 0:
                    self.hooks.before_epoch(self.position.epoch)
                self._fulfil_wishes()
                self.train_step()
                self._tell_time(is_last=False)
            except BadStepError as bad_step:
                self._go_back(bad_step)
            except InterruptionError:  # somebody's wish is heard next
                self._load_from_here()
        self._tell_time()
        return "completed"

    def _next(self) -> Literal["step", "validate", "stop", "pause"] | None:
        """What to do now; None when the run is complete. A wish from outside comes before everything but the end."""
        is_validated = self.position.validated_epochs == self.position.epoch
        if is_validated and self.position.step >= self.learner.total_steps:
            self._fulfil_wishes()  # what is due at the very end: more epochs, as in a run that was extended
            if self.position.step >= self.learner.total_steps:
                return None
        if self.hooks.control and (wanted := self.hooks.control.wanted()):
            return wanted
        return "step" if is_validated else "validate"

    def train_step(self) -> None:
        """One optimizer update over up to ``accumulate`` micro-batches.

        Its loss is that of all its images at once, whatever the sizes of its micro-batches and the number of ranks:
        each part counts as much as what it has of what the loss is a mean over (``losses/parts.py``), so that
        accumulated equals large batch.
        """
        learner = self.learner
        self._timer.begin_step(self.position.step)
        learner.train_mode()
        left = learner.batches.per_epoch - self._offset
        numbers = range(self.position.micro_step, self.position.micro_step + min(learner.accumulate, left))
        learner.batches.prepare(numbers.start)
        micro_batches = self._ranks.together(lambda: list(islice(self._stream, len(numbers))))
        self._timer.lap("data")
        place = StepPlace.of(
            self.position,
            learner.optimizer,
            micro_steps=len(numbers),
            images=sum(map(learner.batches.size, numbers)),
        )
        if place.step in learner.passed_over:
            learner.schedule.step()
            self._advance(place)
            return
        loss = self._backward(micro_batches, place)
        grad_norm = learner.precision.step(learner.optimizer, clip_norm=learner.clip_norm)
        if learner.ema is not None:
            learner.ema.update()
        learner.schedule.step()
        self._timer.lap("update")
        self._advance(place)
        self._log.record(place, loss, grad_norm, learner.precision.scale_tensor, self.hooks.read_memory())
        self._timer.end_step()

    def _backward(self, micro_batches: list[Any], place: StepPlace) -> float:
        """Gradients of a step, in smaller and smaller micro-batches until they fit; returns its loss.

        Raises:
            BadStepError: If the loss is not finite; the weights are those before the step.
        """
        self._undo.remember()
        while (loss := self._add_up_gradients(micro_batches)) is None:
            self._undo_step()
            self._shrink("train")
        if not math.isfinite(loss):
            self._undo_step()
            raise BadStepError("loss", loss, place)
        return loss

    def _add_up_gradients(self, micro_batches: list[Any]) -> float | None:
        """Add up the gradients of a step; returns its loss, or None if memory ran out on the way, on whatever rank."""
        learner = self.learner
        try:
            parts = self._parts(micro_batches)
            self._ranks.network(learner.network)  # made by all ranks together, where it is not yet
            last_loss, step_loss = self._ranks.together(lambda: self._forward(parts))
            loss_value = self._log.copies.start(self._ranks.sum(step_loss))
            with memory_lost_in_backward(self._ranks, learner.micro_batches):
                learner.precision.backward(last_loss * self._ranks.world_size)  # gradients are averaged over ranks
            if isinstance(learner.loss_fn, nn.Module):
                self._ranks.average_gradients(learner.loss_fn.parameters())
        except (RuntimeError, MemoryError, ValueError, TrainingError) as error:
            if is_out_of_memory(error) or (learner.micro_batches.train == 1 and is_too_few(error)):
                return None
            raise
        self._timer.lap("backward")
        # The copy of the loss was started before backward, so this wait leaves the device busy with backward.
        return loss_value.wait()[0]

    def _forward(self, parts: list[Part]) -> tuple[Tensor, Tensor]:
        """Forward passes of a step, and all backward passes but the last; returns its loss, and that of the step."""
        learner, device = self.learner, self.learner.device
        step_loss = torch.zeros((), device=device)
        for number, (images, targets, shares) in enumerate(parts, 1):
            is_last = number == len(parts)
            loss = learner.loss_of(images.to(device, non_blocking=True), targets, shares, is_last=is_last)
            step_loss += loss.detach()
            self._timer.lap("forward")
            if not is_last:
                learner.precision.backward(loss * self._ranks.world_size)
                self._timer.lap("backward")
        return loss, step_loss

    def _parts(self, micro_batches: list[Any]) -> list[Part]:
        """What goes through the network at once: images, targets on the device, and shares if it is not all."""
        learner, ranks = self.learner, self._ranks
        first = self.position.micro_step
        own = [batch for number, batch in enumerate(micro_batches, first) if not is_empty(learner.batches.part(number))]
        parts = list(learner.micro_batches.of(own or micro_batches[:1], "train"))
        targets = [targets.to(learner.device, non_blocking=True) for _, targets in parts]
        shares: list[Tensor | None] = [None]
        if len(parts) > 1 or ranks.world_size > 1:
            shares = list(shares_of(learner.loss_fn, targets, sum_over_ranks=ranks.sum, is_counted=bool(own)))
        return list(zip((images for images, _ in parts), targets, shares, strict=True))

    # -------------------------------------------------------- between epochs
    def end_epoch(self) -> None:
        """Validate, let the schedule see the result, remember the best, save. Does nothing if interrupted.

        What the epoch has trained is saved before it is validated: a validation can take long, and be killed.
        """
        if self.validation.evaluate is not None:
            self.save_checkpoint(is_best=self.validation.best.value is None, is_durable=False)
        metrics, is_best = self._validate()
        if metrics is None:
            return
        best = self.validation.best
        self.learner.schedule.end_epoch(metrics.get(best.key))
        self.position.validated_epochs = self.position.epoch
        if metrics:
            self._stop_early()
        has_no_other = best.value is None and (not metrics or self.position.step >= self.learner.total_steps)
        self.save_checkpoint(is_best=is_best or has_no_other)
        self._log.restart_clock()

    def _validate(self) -> tuple[Mapping[str, float] | None, bool]:
        """Metrics of the present weights, or of their average, recorded; and whether they are the best so far.

        None if the user wants to stop before it is through; empty if there is no validation split.

        Raises:
            BadStepError: If the weights are not finite.
        """
        self._check_numbers()
        if self.validation.evaluate is None:
            return {}, False
        begun = time.perf_counter()
        with self.learner.exported():
            self._ranks.equalise(self.learner.model.buffers())
            metrics = until_it_fits(self.validation.evaluate, lambda: self._shrink("evaluation"))
        if not metrics:
            return metrics, False
        metrics = {f"val/{key}": value for key, value in metrics.items()}
        epoch = self.position.epoch + (self._offset > 0)  # the present one, or the one that has just ended
        best, has_finite_loss = self.validation.best, math.isfinite(metrics.get("val/loss", 0.0))
        is_best = best.update(metrics.get(best.key), epoch, has_finite_loss=has_finite_loss)
        if not has_finite_loss:
            self._warn_of_loss(metrics["val/loss"], epoch)
        self.hooks.validated(self.position.step, epoch)
        seconds = round(time.perf_counter() - begun, 3)
        self._timer.add_validation(seconds)
        self.hooks.emit(
            EvalMetrics(
                step=self.position.step, epoch=epoch, split="val", metrics=metrics, seconds=seconds, is_best=is_best
            )
        )
        return metrics, is_best

    def _warn_of_loss(self, value: float, epoch: int) -> None:
        """Say that the answers to the validation images are no numbers, though training goes on."""
        text = (
            f"The validation loss of epoch {epoch} is {value}: these weights are the best only until there are others "
            f"with a finite one. {ADVICE}"
        )
        self.hooks.emit(Message(level="warning", text=text, step=self.position.step))

    def _tell_time(self, *, is_last: bool = True) -> None:
        """Say where the time went: once in a while, and when it is the last chance."""
        if is_last or self._timer.is_due:
            self.hooks.emit(TimeSpent(step=self.position.step, seconds=self._timer.take()))

    def _stop_early(self) -> None:
        """End the run, or mark where it would have ended, after too many epochs without a better value."""
        step, epoch = self.position.step, self.position.epoch
        best, early_stopping = self.validation.best, self.validation.early_stopping
        verdict = early_stopping.after(epoch, best.epoch) if epoch < self.learner.epochs else None
        since = f"{best.key} has not been better since epoch {max(best.epoch or 0, early_stopping.since)}"
        if verdict == "stop":
            self.learner.change_epochs(epoch)
            text = f"{since}: the run ends here, as train.early_stopping={early_stopping.epochs} asks."
            self.hooks.emit(Message(text=text, step=step))
            self.hooks.emit(Mark(step=step, label="early stop", text=text, changes={EPOCHS.path: epoch}))
        elif verdict == "ghost":
            text = f"{since}. With train.early_stopping={GHOST_EPOCHS} the run would have ended here."
            self.hooks.emit(Mark(step=step, label="early stopping", text=text, is_ghost=True))

    def save_checkpoint(self, *, is_best: bool = False, is_durable: bool = True) -> None:
        """Write a checkpoint, if the run has somewhere to write it; never one with numbers that are not finite."""
        self._check_numbers()
        if self.hooks.save is not None:
            path = self.hooks.save(is_best, is_durable)
            self.hooks.emit(CheckpointSaved(step=self.position.step, path=path, is_best=is_best))

    # ---------------------------------------------------- wishes from outside
    def _fulfil_wishes(self) -> None:
        """Do what the user asked for between two steps."""
        control = self.hooks.control
        if control is None:
            return
        for wish in control.changes(self.position.step):
            self.change(wish)
        if control.wants_validation():
            _, is_best = self._validate()
            if is_best:
                self.save_checkpoint(is_best=True)
            self._log.restart_clock()
        if control.wants_checkpoint():
            self.save_checkpoint()

    def change(self, wish: Mapping[str, Any], *, text: str = "", rewind_to: int | None = None) -> None:
        """Change settings from the next step on; a wish that makes no sense only warns.

        Every change is a mark on the curves with the path and its value, so that a resume, and a run that went back to
        a checkpoint, makes it again at its step.

        Args:
            wish: Paths and values; see ``Changes``.
            text: The sentence of the mark, if it is another than that of the changes.
            rewind_to: See ``Mark``.
        """
        self._log.emit(wait=True)
        step = self.position.step
        try:
            label, sentence = self._changes.make(wish)
        except ConfigError as error:
            self.hooks.emit(Message(level="warning", text=f"Not changed. {error}", step=step))
            return
        if "leave_out" in wish:
            self._load_from_here()
        if not text and sentence:
            self.hooks.emit(Message(level="warning", text=sentence, step=step))
        mark = Mark(step=step, label=label, text=text or sentence, changes=dict(wish), rewind_to=rewind_to)
        self.hooks.emit(mark)

    def _interrupt(self, wanted: Literal["stop", "pause"]) -> TrainerOutcome:
        """Keep where we are; without any validation so far the present weights are the best there are."""
        self.save_checkpoint(is_best=self.validation.best.value is None)
        self._tell_time()
        return "paused" if wanted == "pause" else "stopped"

    # ------------------------------------------------------- when it goes wrong
    def _check_numbers(self) -> None:
        """Raise ``BadStepError`` if a gradient was, or a weight is, not finite. Waits for the device."""
        self._log.emit(wait=True)
        if not self.learner.is_finite():
            last = self._log.last or StepPlace.of(self.position, self.learner.optimizer)
            raise BadStepError("weights", math.nan, last)

    def _go_back(self, bad_step: BadStepError) -> None:
        """To the last good state, and on from there with something changed."""
        if self.recovery is None:
            raise NonFiniteError(f"{bad_step} {ADVICE}") from None
        rollbacks = self.position.rollbacks + 1
        retry = self.recovery.go_back(bad_step, self.learner, self.position)
        self._log.forget()
        self._begin()
        step = self.position.step
        text = f"{retry.found} The run went back to step {step} and goes on {retry.words}."
        self.hooks.emit(Message(level="warning", text=text, step=step))
        self.change({"rollbacks": rollbacks} | dict(retry.changes), text=text, rewind_to=step)

    def _undo_step(self) -> None:
        """Be again where the step began."""
        self.learner.optimizer.zero_grad(set_to_none=True)
        self._ranks.forget_network()
        self._undo.take_back()

    def _shrink(self, kind: Kind) -> None:
        """Take half as many images at once from here on."""
        free_memory(self.learner.device)
        smaller = self.learner.micro_batches.halved(kind, self._ranks)
        if smaller is None:
            raise OutOfMemoryError(
                f"The device ran out of memory with a single image at step {self.position.step + 1} ({kind}). Choose "
                "a smaller data.image_size or model.name, half precision, or close what else uses the device."
            )
        self.change({_HALVED[kind]: smaller})

    # ---------------------------------------------------------------- position
    def _begin(self) -> None:
        """Go on from the present position as if it were the first."""
        self.learner.optimizer.zero_grad(set_to_none=True)
        self.learner.loss_scale.scale = self.learner.precision.scale
        self._load_from_here()
        self._log.restart_clock()
        self._timer.restart()

    def _load_from_here(self) -> None:
        """Load micro-batches from the present position on."""
        self._stream = self.learner.batches.starting_at(self.position.micro_step)

    @property
    def _offset(self) -> int:
        """Micro-batches of the present epoch that are done."""
        return self.position.micro_step - self.position.epoch * self.learner.batches.per_epoch

    def _advance(self, place: StepPlace) -> None:
        self.position.step += 1
        self.position.micro_step += place.micro_steps
        self.position.images_seen += place.images
        if self._offset == self.learner.batches.per_epoch:
            self.position.epoch += 1

    # ------------------------------------------------------------------- state
    def state_dict(self) -> dict[str, Any]:
        """Everything but the weights that an exact resume needs; loadable with ``weights_only=True``."""
        parts = self.learner.state_dict() | self.validation.state_dict()
        rng, *others = self._ranks.collect(rng_state(self.learner.device))
        return parts | {"position": self.position.state_dict(), "rng": rng, "rng_of_others": others}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of ``state_dict``; the weights (see ``Learner.exported``) are loaded by the caller before."""
        self.learner.load_state_dict(state)
        self.validation.load_state_dict(state)
        self.position.load_state_dict(state["position"])
        rngs = [state["rng"], *state.get("rng_of_others", ())]
        if self._ranks.rank < len(rngs):  # a rank more than there were goes on with the draws it has begun
            set_rng_state(rngs[self._ranks.rank], self.learner.device)
