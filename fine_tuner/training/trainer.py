"""The training loop: ``train`` -> ``train_step``, and ``end_epoch`` between epochs.

The loop knows no settings, no run folder and no console. Numbers leave through ``emit``; wishes from outside (stop,
pause, save, validate) arrive through ``control``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any, Literal

import torch
from torch import Tensor, nn

from fine_tuner.errors import ConfigError, NonFiniteError
from fine_tuner.precision import Precision
from fine_tuner.runs.events import CheckpointSaved, EvalMetrics, Mark, Message, Payload, TrainMetrics
from fine_tuner.training.forward import loss_of_outputs
from fine_tuner.training.progress import Best, Progress, rng_state, set_rng_state
from fine_tuner.training.protocols import Batches, Control, LossFn, Outcome, Schedule
from fine_tuner.training.readback import Readback


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

    def __post_init__(self) -> None:
        self._readback = Readback(self.precision.device)
        self._last_step_at = time.perf_counter()

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
            NonFiniteError: If the loss is NaN or infinite; the weights are those before the step.
        """
        stream = self.batches.starting_at(self.progress.micro_step)
        self._last_step_at = time.perf_counter()
        self._fulfil_wishes()  # also of a run that is complete: it may be wished to be longer
        while wanted := self._next():
            if wanted in ("stop", "pause"):
                return self._interrupt(wanted)
            if wanted == "validate":
                self.end_epoch()
                continue
            if self._offset == 0:
                self.before_epoch(self.progress.epoch)
            self._fulfil_wishes()
            self.train_step(stream)
        return "completed"

    def _fulfil_wishes(self) -> None:
        """Do what the user asked for between two steps."""
        if self.control is None:
            return
        for wish in self.control.changes(self.progress.step):
            self.change(wish)
        if self.control.wants_checkpoint():
            self._emit_steps(wait=True)
            self.save_checkpoint()

    def change(self, wish: Mapping[str, Any]) -> None:
        """Change settings from the next step on, and mark it on the curves; a wish that makes no sense only warns.

        Args:
            wish: ``lr_factor`` (times), ``optim.lr`` (the head's new rate; other groups in proportion) or
                ``train.epochs`` (the schedule is fitted to the new length).
        """
        labels = []
        try:
            for path, value in wish.items():
                labels.append(self._change(path, value))
        except ConfigError as error:
            self.emit(Message(level="warning", text=f"Not changed. {error}", step=self.progress.step))
            return
        self._emit_steps(wait=True)
        self.emit(Mark(step=self.progress.step, label=", ".join(labels), changes=dict(wish)))

    def _change(self, path: str, value: Any) -> str:
        """Apply one change; returns its label on the curves."""
        if path == "lr_factor":
            self.schedule.rescale(float(value))
            return f"rate × {float(value):g}"
        if path == "optim.lr":
            self.schedule.set_lr(float(value))
            return f"rate {float(value):.3g}"
        if path == "train.epochs":
            epochs = int(value)
            if epochs * self.steps_per_epoch <= self.progress.step:
                message = f"{epochs} epochs are over already. Choose more than {self.progress.epoch}, or stop the run."
                raise ConfigError({path: message})
            self.schedule.refit(epochs * self.steps_per_epoch)
            self.epochs = self.changed_epochs = epochs
            return f"{epochs} epochs"
        raise ConfigError({path: "cannot be changed while training. Known: lr_factor, optim.lr, train.epochs."})

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
        self._emit_steps(wait=True)
        self.save_checkpoint(is_best=self.best.value is None)
        return "paused" if wanted == "pause" else "stopped"

    def train_step(self, stream: Iterator[tuple[Tensor, Tensor]]) -> None:
        """One optimizer update over up to ``accumulate`` micro-batches.

        The loss of the step is the mean over its images, whatever the sizes of its micro-batches, so that accumulated
        equals large batch.
        """
        (self.set_train_mode or self.model.train)()
        device = self.precision.device
        micro_batches = list(islice(stream, min(self.accumulate, self.batches.per_epoch - self._offset)))
        images_in_step = sum(len(targets) for _, targets in micro_batches)
        step_loss = torch.zeros((), device=device)
        for images, targets in micro_batches:
            images = images.to(device, non_blocking=True)
            targets = targets.to(device, non_blocking=True)
            loss = self._loss(images, targets) * (len(targets) / images_in_step)
            step_loss += loss.detach()
            self._loss_value = self._readback.start(step_loss)
            self.precision.backward(loss)

        # The copy of the loss was started before backward, so this wait leaves the device busy with backward.
        lrs = {group["name"]: group["lr"] for group in self.optimizer.param_groups}
        self._check_finite(self._loss_value.wait()[0], lrs)
        grad_norm = self.precision.step(self.optimizer, clip_norm=self.clip_norm)
        self.schedule.step()
        self._advance(len(micro_batches), images_in_step)
        self._record_step(self._loss_value.wait()[0], grad_norm, lrs, images_in_step)

    def _loss(self, images: Tensor, targets: Tensor) -> Tensor:
        """Loss of one micro-batch; the loss function itself runs in float32."""
        with self.precision.autocast():
            output = self.model(images)
        return loss_of_outputs(output, targets, self.loss_fn)

    def end_epoch(self) -> None:
        """Validate, let the schedule see the result, remember the best, save. Does nothing if interrupted."""
        self._emit_steps(wait=True)
        begun = time.perf_counter()
        metrics = self.evaluate() if self.evaluate else {}
        if metrics is None:
            return
        metrics = {f"val/{key}": value for key, value in metrics.items()}
        value = metrics.get(self.best.key)
        is_best = self.best.update(value, self.progress.epoch)
        self.schedule.end_epoch(value)
        self.progress.validated_epochs = self.progress.epoch
        if metrics:
            self.emit(
                EvalMetrics(
                    step=self.progress.step,
                    epoch=self.progress.epoch,
                    split="val",
                    metrics=metrics,
                    seconds=round(time.perf_counter() - begun, 3),
                    is_best=is_best,
                )
            )
        self.save_checkpoint(is_best=is_best or self.best.value is None)
        self._last_step_at = time.perf_counter()

    def save_checkpoint(self, *, is_best: bool = False) -> None:
        """Write a checkpoint, if the run has somewhere to write it."""
        if self.save is not None:
            path = self.save(self, is_best)
            self.emit(CheckpointSaved(step=self.progress.step, path=path, is_best=is_best))

    # ------------------------------------------------------------ accounting
    @property
    def _offset(self) -> int:
        """Micro-batches of the present epoch that are done."""
        return self.progress.micro_step - self.progress.epoch * self.batches.per_epoch

    def _advance(self, micro_batches: int, images: int) -> None:
        self.progress.step += 1
        self.progress.micro_step += micro_batches
        self.progress.images_seen += images
        if self._offset == self.batches.per_epoch:
            self.progress.epoch += 1

    def _check_finite(self, loss: float, lrs: Mapping[str, float]) -> None:
        if math.isfinite(loss):
            return
        rates = ", ".join(f"{name} {lr:.3g}" for name, lr in lrs.items())
        raise NonFiniteError(
            f"The training loss is {loss} at step {self.progress.step + 1} (epoch {self.progress.epoch + 1}, learning "
            f"rate {rates}). The weights were not updated. Lower optim.lr, set optim.clip_norm=1, or check the data."
        )

    def _record_step(self, loss: float, grad_norm: Tensor, lrs: Mapping[str, float], images: int) -> None:
        now = time.perf_counter()
        seconds, self._last_step_at = now - self._last_step_at, now
        metrics = {"train/loss": loss, **{f"train/lr/{name}": lr for name, lr in lrs.items()}}
        metrics["train/images_per_second"] = images / max(seconds, 1e-9)
        epoch = self.progress.epoch + (self._offset > 0)
        self._readback.queue((self.progress.step, epoch, metrics | dict(self.read_memory())), grad_norm)
        self._emit_steps(wait=False)

    def _emit_steps(self, *, wait: bool) -> None:
        """Emit the steps whose numbers have arrived from the device."""
        for (step, epoch, metrics), (grad_norm,) in self._readback.arrived(wait=wait):
            self.emit(TrainMetrics(step=step, epoch=epoch, metrics=metrics | {"train/grad_norm": grad_norm}))

    # ----------------------------------------------------------------- state
    def state_dict(self) -> dict[str, Any]:
        """Everything but the weights that an exact resume needs; loadable with ``weights_only=True``."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "precision": self.precision.state_dict(),
            "progress": asdict(self.progress),
            "changed_epochs": self.changed_epochs,
            "best": asdict(self.best),
            "rng": rng_state(self.precision.device),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of ``state_dict``; the weights are loaded by the caller."""
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.precision.load_state_dict(state["precision"])
        self.progress = Progress(**state["progress"])
        if state["changed_epochs"] is not None:
            self.epochs = self.changed_epochs = state["changed_epochs"]
        self.best = Best(**state["best"])
        set_rng_state(state["rng"], self.precision.device)
