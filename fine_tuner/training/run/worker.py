"""The one place where a run is wired: settings become objects, objects a trainer, its outcome an exit code.

Read ``_Attempt.train`` from top to bottom: it is the plan of a run.
"""

from __future__ import annotations

import dataclasses
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

from fine_tuner.base.errors import FineTunerError, InputError
from fine_tuner.config.io import parse, read_tree
from fine_tuner.data.records import DataSplits
from fine_tuner.memory.forecast import expected_mib
from fine_tuner.memory.readings import MemoryReader
from fine_tuner.models.saved import metadata_of, save_model
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.lock import WorkerLock
from fine_tuner.runs.log.events import (
    CheckpointSaved,
    EvalMetrics,
    EventWriter,
    Mark,
    Payload,
    Progress,
    RunFinished,
    RunStarted,
)
from fine_tuner.schedules import lowest_from_now, preview_steps
from fine_tuner.tasks.build import Assembly, remember_pace
from fine_tuner.tasks.describe import facts_of
from fine_tuner.training.loop.early_stopping import Patience
from fine_tuner.training.loop.ema import Average
from fine_tuner.training.loop.evaluate import evaluate
from fine_tuner.training.loop.micro_batches import Portions
from fine_tuner.training.loop.progress import Best
from fine_tuner.training.loop.protocols import Outcome
from fine_tuner.training.loop.trainer import Trainer
from fine_tuner.training.recovery.evidence import Evidence
from fine_tuner.training.recovery.nonfinite import Recovery
from fine_tuner.training.recovery.rollback import LastGood
from fine_tuner.training.run.checkpoint import WEIGHTS, CheckpointStore
from fine_tuner.training.run.console import Console
from fine_tuner.training.run.control import RunControl
from fine_tuner.training.run.failures import message_for
from fine_tuner.training.run.loss_copy import keep_code, with_code
from fine_tuner.training.run.prepare import Prepared, prepare
from fine_tuner.training.run.resumed_precision import keep_precision

EXIT_CODES = {"completed": 0, "paused": 0, "stopped": 130}
_DURABLE = (RunStarted, EvalMetrics, CheckpointSaved, RunFinished)


def run_worker(folder: RunFolder, *, print_line: Callable[[str], None], prepared: Prepared | None = None) -> int:
    """Train the run in ``folder``, from its newest checkpoint if it has one.

    Args:
        folder: A run folder with its ``config.yaml``.
        print_line: Where lines for a person go.
        prepared: Data and objects, if the caller has built them already.

    Returns:
        Exit code: 0 done (or paused), 1 failed, 2 the input is wrong, 130 stopped by the user.

    Raises:
        RunError: If another process trains this run.
    """
    with WorkerLock(folder.lock):
        return _Attempt(folder, print_line).run(prepared)


class _Attempt:
    """One launch of a run: from its settings to its exit code."""

    def __init__(self, folder: RunFolder, print_line: Callable[[str], None]) -> None:
        self.folder = folder
        self.writer = EventWriter(folder.events)
        self.console = Console(print_line)
        self.control = RunControl(folder)
        self.trainer: Trainer | None = None
        self.last_good: LastGood | None = None
        self.planned: Callable[[], dict[str, Any]] | None = None
        self._progress_at = float("-inf")

    def emit(self, payload: Payload) -> None:
        """Record an event, and show it; a change of rate or length with what is planned since."""
        if isinstance(payload, Mark) and payload.changes and self.planned is not None:
            payload = dataclasses.replace(payload, planned=self.planned())
        self.writer.write(payload, durable=isinstance(payload, _DURABLE))
        self.console(payload)

    def run(self, prepared: Prepared | None) -> int:
        """Train; whatever happens ends as an event, a line and an exit code."""
        self.control.listen()
        try:
            outcome = self.train(prepared)
        except Exception as error:
            if not isinstance(error, FineTunerError):
                traceback.print_exc()
            self.finish("failed", message_for(error))
            is_input = isinstance(error, InputError) and not (self.trainer and self.trainer.progress.step)
            return 2 if is_input else 1
        self.finish(outcome)
        return EXIT_CODES[outcome]

    def train(self, prepared: Prepared | None) -> Outcome:
        """Build everything in order, then train."""
        asked = parse(read_tree(self.folder.config))
        settings = keep_code(asked, self.folder)
        splits = DataSplits.from_file(self.folder.splits) if self.folder.splits.exists() else None
        self.checkpoints = CheckpointStore(folder=self.folder.checkpoints, keep=settings.train.keep_checkpoints)
        newest = self.checkpoints.newest()
        weights = newest and newest / WEIGHTS
        if newest:
            settings = keep_precision(settings, self.folder)
        prepared = prepared or prepare(settings, splits=splits, checkpoint=weights, on_progress=self.on_progress)
        prepared.data.write(self.folder.splits)
        assembly = prepared.assembly
        self.trainer = trainer = self.build_trainer(assembly)
        self.last_good = LastGood(
            trainer, assembly, checkpoints=self.checkpoints, control=self.control, run=self.folder
        )
        self.last_good.begin()
        self.planned = partial(planned_from_now, trainer, assembly)
        facts = facts_of(assembly)
        if trainer.progress.step:  # a change before the checkpoint is in its schedule, not in the settings
            facts["schedule"] |= self.planned()

        self.emit(
            RunStarted(
                start_step=trainer.progress.step,
                total_steps=trainer.total_steps,
                epochs=trainer.epochs,
                steps_per_epoch=trainer.steps_per_epoch,
                facts=with_code(facts, asked, self.folder)
                | {"memory_forecast_mib": round(expected_mib(prepared.forecast, assembly.device))},
            )
        )
        begun, images_before = time.perf_counter(), trainer.progress.images_seen
        try:
            outcome = trainer.train()
        finally:
            assembly.close()
        if outcome == "completed":
            images = trainer.progress.images_seen - images_before
            remember_pace(assembly, images_per_second=images / (time.perf_counter() - begun))
        return outcome

    def build_trainer(self, assembly: Assembly) -> Trainer:
        """The trainer of this run, at its beginning."""
        settings, best = assembly.settings, assembly.best
        portions = Portions()
        metadata = metadata_of(assembly.built, classes=assembly.data.output_names, run_id=self.folder.id)

        def validate() -> dict[str, float] | None:
            assert assembly.val_batches is not None
            return evaluate(
                assembly.model,
                assembly.val_batches,
                loss_fn=assembly.loss_fn,
                metrics=assembly.metrics,
                precision=assembly.precision,
                portions=portions,
                should_stop=lambda: self.control.wanted() is not None,
            )

        def save(trainer: Trainer, is_best: bool) -> str:
            state = trainer.state_dict()
            with trainer.exported():
                path = self.checkpoints.save(
                    trainer.progress.step,
                    write_weights=partial(save_model, assembly.model, metadata=metadata | position_of(trainer)),
                    state=state,
                    is_best=is_best,
                )
            assert self.last_good is not None
            self.last_good.forget_start()
            return path.relative_to(self.folder.path).as_posix()

        return Trainer(
            model=assembly.model,
            loss_fn=assembly.loss_fn,
            optimizer=assembly.optimizer,
            schedule=assembly.schedule,
            batches=assembly.train_batches,
            precision=assembly.precision,
            epochs=settings.train.epochs,
            accumulate=settings.train.accumulate,
            clip_norm=settings.optim.clip_norm,
            evaluate=validate if assembly.val_batches else None,
            emit=self.emit,
            control=self.control,
            save=save,
            set_train_mode=assembly.freezing.set_train_mode,
            before_epoch=self.thaw(assembly),
            read_memory=MemoryReader(assembly.device),
            best=Best(key=f"val/{best.key}", higher_is_better=best.higher_is_better),
            portions=portions,
            average=Average(assembly.model, settings.train.ema_decay) if settings.train.ema_decay else None,
            patience=Patience(settings.train.early_stopping),
            recovery=Recovery(
                choice=settings.train.on_nonfinite,
                limit=settings.train.nonfinite_limit,
                restore=self.restore,
                keep=lambda evidence: self.keep_evidence(evidence, assembly),
            ),
        )

    def thaw(self, assembly: Assembly) -> Callable[[int], None]:
        """Unfreezes what the next epoch trains, and marks it on the curves."""

        def before_epoch(epochs_done: int) -> None:
            if assembly.freezing.set_epoch(epochs_done) and self.trainer:
                text = f"From epoch {epochs_done + 1} on the pretrained part trains too."
                self.emit(Mark(step=self.trainer.progress.step, label="unfreeze", text=text))

        return before_epoch

    def restore(self) -> None:
        """Go back to the last good state."""
        assert self.last_good is not None
        self.last_good.restore()

    def keep_evidence(self, evidence: Evidence, assembly: Assembly) -> str:
        """Write what is known of a step that went wrong, with the names of its files."""
        records = assembly.train_batches.dataset.records
        files = [str(records[index].image) for index in evidence.indices]
        folder = self.folder.evidence / f"step-{evidence.about['step']:08d}"
        dataclasses.replace(evidence, about=evidence.about | {"files": files}).write(folder)
        return folder.relative_to(self.folder.path).as_posix()

    def on_progress(self, what: str, done: float, total: float | None = None, unit: str = "") -> None:
        """Tell of long work before the first step, at most four times a second."""
        now = time.monotonic()
        if done == total or now - self._progress_at > 0.25:
            self._progress_at = now
            self.emit(Progress(what=what, done=done, total=total, unit=unit))

    def finish(self, outcome: str, error: str | None = None) -> None:
        """Record how the attempt ended; on a full disk the line on standard error is all that is left of it."""
        step = self.trainer.progress.step if self.trainer else 0
        best = self.trainer.best if self.trainer else None
        summary = {"best": {"key": best.key, "value": best.value, "epoch": best.epoch}} if best and best.epoch else {}
        if outcome in ("stopped", "paused"):
            self.control.done()
        try:
            self.emit(RunFinished(outcome=outcome, step=step, error=error, summary=summary))
        except OSError as failure:
            sys.stderr.write(f"The end of the run could not be recorded: {failure}\n")
        if error:
            sys.stderr.write(f"{error}\n")
        self.writer.close()


def position_of(trainer: Trainer) -> dict[str, Any]:
    """Where a run is and how it evaluates by now, for the metadata of its weights."""
    position = {"step": trainer.progress.step, "epoch": trainer.progress.epoch, "best": asdict(trainer.best)}
    return position | {"precision": trainer.precision.dtype, "eval_batch": trainer.portions.evaluation}


def planned_from_now(trainer: Trainer, assembly: Assembly) -> dict[str, Any]:
    """Steps to come and the rates they will have as things stand, enough to draw the curve."""
    length = {"total_steps": trainer.total_steps, "steps_per_epoch": trainer.steps_per_epoch}
    steps = [s for s in preview_steps(assembly.settings.schedule, **length) if s > trainer.progress.step]
    return {
        "steps": steps,
        "groups": assembly.schedule.plan(steps),
        "lowest": lowest_from_now(assembly.schedule, steps),
    }
