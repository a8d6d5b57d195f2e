"""The one place where a run is wired: settings become objects, objects a trainer, its outcome an exit code.

Read ``_Attempt.train`` from top to bottom: it is the plan of a run.
"""

from __future__ import annotations

import dataclasses
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fine_tuner.base.errors import FineTunerError, InputError, loader_death
from fine_tuner.base.machine import crowding
from fine_tuner.base.progress import OnProgress
from fine_tuner.config.io import parse, read_tree, replace
from fine_tuner.config.settings import Settings
from fine_tuner.data.loading.randomness import seed_of
from fine_tuner.data.records import DataSplits
from fine_tuner.distributed.joining import restarts
from fine_tuner.distributed.ranks import Ranks, is_lost_rank
from fine_tuner.features.features import Features
from fine_tuner.memory.forecast import expected_mib
from fine_tuner.memory.readings import MemoryReader
from fine_tuner.models.saved import metadata_of, save_model
from fine_tuner.runs import control
from fine_tuner.runs.examples import Examples, ExampleValidation
from fine_tuner.runs.layout import WEIGHTS, RunFolder
from fine_tuner.runs.lock import WorkerLock
from fine_tuner.runs.log.events import (
    CheckpointSaved,
    EvalMetrics,
    EventWriter,
    Mark,
    Message,
    Payload,
    RunFinished,
    RunStarted,
    WorkProgress,
    read_last_event,
)
from fine_tuner.schedules import lowest_from_now, preview_steps
from fine_tuner.tasks.build import Assembly, Place, expected_pace, remember_pace
from fine_tuner.tasks.describe import facts_of
from fine_tuner.training.loop.early_stopping import EarlyStopping
from fine_tuner.training.loop.ema import EMA
from fine_tuner.training.loop.hooks import Hooks, TrainerOutcome
from fine_tuner.training.loop.learner import Learner
from fine_tuner.training.loop.micro_batches import MemoryLostError, MicroBatches
from fine_tuner.training.loop.trainer import Trainer
from fine_tuner.training.loop.validation import BestTracker, Validation, evaluate
from fine_tuner.training.recovery.checkpoint import CheckpointStore
from fine_tuner.training.recovery.evidence import Evidence
from fine_tuner.training.recovery.nonfinite import NonFiniteRecovery
from fine_tuner.training.recovery.rollback import Rollback
from fine_tuner.training.run.console import Console
from fine_tuner.training.run.control import RunControl
from fine_tuner.training.run.example_pictures import ExamplePictures
from fine_tuner.training.run.failures import cause_of, is_of_file_system, message_for
from fine_tuner.training.run.kept_settings import (
    began_with,
    keep_code,
    keep_features,
    keep_forms,
    keep_precision,
    with_code,
)
from fine_tuner.training.run.outside import Listener, listeners_of
from fine_tuner.training.run.prepare import Prepared, prepare
from fine_tuner.training.run.rank_readings import RankReadings
from fine_tuner.training.run.same_on_all import check_same

EXIT_CODES = {"completed": 0, "paused": 0, "stopped": 130}
LOST = 75  # EX_TEMPFAIL: to be started again
_RESERVE_BYTES = 1 << 16
_QUIET_SECONDS = 1.0  # of looking back before a word about it
_DURABLE = (RunStarted, EvalMetrics, CheckpointSaved, RunFinished)

AtEnd = Callable[[RunFolder, Assembly, OnProgress, Callable[[], bool]], object]
"""What looks at a run that is complete: its folder, what it was trained with, whom to tell, whether to leave off."""


def run_worker(
    folder: RunFolder,
    *,
    print_line: Callable[[str], None],
    prepared: Prepared | None = None,
    show: OnProgress | None = None,
    at_end: AtEnd | None = None,
    devices: str | None = None,
    ranks: Ranks | None = None,
) -> int:
    """Train the run in ``folder``, from its newest checkpoint if it has one.

    Args:
        folder: A run folder with its ``config.yaml``.
        print_line: Where lines for a person go.
        prepared: Data and objects, if the caller has built them already.
        show: Told after each step how many of all are done.
        at_end: Called once all epochs are done; if it fails, the run is complete all the same, and says so.
        devices: Of this attempt, if they are others than those of the settings.
        ranks: The processes that train it, this one among them; alone if not given.

    Returns:
        Exit code: 0 done (or paused), 1 failed, 2 the input is wrong, 130 stopped by the user. ``LOST`` if another rank
        is gone, or has to be started again with this one.

    Raises:
        RunError: If another process trains this run.
    """
    ranks = ranks or Ranks()
    with ExitStack() as stack:
        if ranks.is_first:
            ranks.together(lambda: stack.enter_context(WorkerLock(folder.lock)))
        else:
            ranks.together(lambda: None)  # which fails if the lock is held elsewhere
        return _Attempt(folder, Console(print_line, show), ranks, at_end, devices).run(prepared)


class _Attempt:
    """One launch of a run: from its settings to its exit code."""

    def __init__(
        self, folder: RunFolder, console: Console, ranks: Ranks, at_end: AtEnd | None, devices: str | None
    ) -> None:
        self.folder, self.ranks, self.at_end, self.devices = folder, ranks, at_end, devices
        self.reserve = folder.path / ".reserve"  # room for the last word on a disk that has become full
        self.listeners: list[Listener] = [console]
        if ranks.is_first:
            self.writer = EventWriter(folder.events)
            self.listeners += listeners_of(folder)
            with suppress(OSError):
                self.reserve.write_bytes(bytes(_RESERVE_BYTES))
        self.console = console
        self.control = RunControl(folder, ranks)
        self.trainer: Trainer | None = None
        self.rollback: Rollback | None = None
        self.examples: ExamplePictures | None = None
        self.planned: Callable[[], dict[str, Any]] | None = None
        self._progress_at = float("-inf")

    def emit(self, payload: Payload) -> None:
        """Record an event, and show it; a change of rate or length with what is planned since. The first rank does."""
        if not self.ranks.is_first:
            return
        if isinstance(payload, Mark) and payload.changes and self.planned is not None:
            payload = dataclasses.replace(payload, planned=self.planned())
        self.writer.write(payload, durable=isinstance(payload, _DURABLE))
        for listener in self.listeners:
            listener(payload)

    def run(self, prepared: Prepared | None) -> int:
        """Train; whatever happens ends as an event, a line and an exit code."""
        self.control.listen()
        try:
            outcome = self.train(prepared)
        except KeyboardInterrupt:  # a second Ctrl+C: at once, so the newest checkpoint is of before
            outcome = "stopped"
        except MemoryLostError as error:
            with suppress(OSError):
                control.request(self.folder, "set", micro_batch=error.smaller)
            return LOST
        except Exception as error:
            if self.ranks.world_size > 1 and is_lost_rank(error):
                return self.lost(error)
            error = loader_death(error) or error
            if not isinstance(error, FineTunerError) and not is_of_file_system(error, self.folder.path):
                traceback.print_exc()
            self.finish("failed", message_for(error), cause_of(error))
            is_input = isinstance(error, InputError) and not (self.trainer and self.trainer.position.step)
            return 2 if is_input else 1
        self.finish(outcome)
        return EXIT_CODES[outcome]

    def lost(self, error: Exception) -> int:
        """Another rank is gone: because the run is over, or torchrun will start all of them again."""
        last = read_last_event(self.folder.events)
        if last is not None and isinstance(last.payload, RunFinished):
            return 0
        words = "Another process of this run is gone. All begin again from the last checkpoint, unless too often."
        sys.stderr.write(f"{words}\n{str(error).splitlines()[0][:200] if str(error) else type(error).__name__}\n")
        return LOST

    def train(self, prepared: Prepared | None) -> TrainerOutcome:
        """Build everything in order, then train."""
        asked = parse(read_tree(self.folder.config))
        if self.devices is not None:
            asked = replace(asked, f"devices={self.devices}")
        settings = self.ranks.share(self.ranks.together(lambda: self.keep_code(asked)))
        splits = DataSplits.from_file(self.folder.splits) if self.folder.splits.exists() else None
        self.checkpoints = CheckpointStore(folder=self.folder.checkpoints, keep=settings.train.keep_checkpoints)
        newest = self.ranks.share(self.checkpoints.newest())
        if newest:
            settings = keep_features(keep_precision(settings, self.folder), self.folder)
        prepared = prepared or self.prepare(settings, splits, newest and newest / WEIGHTS)
        if self.ranks.is_first:
            prepared.data.write(self.folder.splits)
            keep_forms(prepared.assembly.loss_fn, asked, self.folder)
        assembly = prepared.assembly
        self.trainer = trainer = self.build_trainer(assembly)
        self.rollback = Rollback(
            trainer, assembly, checkpoints=self.checkpoints, run=self.folder, replay=self.control.replay
        )
        self.rollback.begin()
        self.planned = partial(planned_from_now, trainer, assembly)
        facts = facts_of(assembly)
        facts["notices"] += filter(None, [assembly.precision_choice.notice])
        if trainer.position.step:  # a change before the checkpoint is in its schedule, not in the settings
            facts["schedule"] |= self.planned()
        if self.ranks.is_first:
            facts = with_code(facts, asked, self.folder)
        expected = None if assembly.features.is_used else expected_pace(assembly)
        if expected:
            facts["expected_images_per_second"] = round(expected[0], 2)
        self.emit(
            RunStarted(
                start_step=trainer.position.step,
                total_steps=trainer.learner.total_steps,
                epochs=trainer.learner.epochs,
                steps_per_epoch=trainer.learner.steps_per_epoch,
                facts=facts | {"memory_forecast_mib": round(expected_mib(prepared.forecast, assembly.device))},
            )
        )
        if restarts():
            text = "A process of the run was lost. All of them went on from the last checkpoint."
            self.emit(Mark(step=trainer.position.step, label="restart", text=text))
        busy = crowding() if assembly.device.type == "cpu" else 1.0
        begun, images_before = time.perf_counter(), trainer.position.images_seen
        try:
            outcome = trainer.train()
            seconds = time.perf_counter() - begun
            if outcome == "completed":
                self.ranks.together(lambda: self.look_back(assembly))
        finally:
            assembly.close()
        once = assembly.features.is_used
        if outcome == "completed" and self.ranks.is_first and not (once and images_before):
            images = assembly.images_in_run if once else trainer.position.images_seen - images_before
            remember_pace(assembly, images_per_second=images / seconds, crowding=busy)
        return outcome

    def keep_code(self, asked: Settings) -> Settings:
        """See ``kept_settings``; the first rank copies the code for all."""
        return keep_code(asked, self.folder) if self.ranks.is_first else asked

    def prepare(self, settings: Settings, splits: DataSplits | None, weights: Path | None) -> Prepared:
        """Read the data and build everything: the first rank, then the others with what it read, measured and chose."""
        ranks = self.ranks
        place = Place(rank=ranks.rank, world_size=ranks.world_size, began_with=ranks.share(began_with(self.folder)))

        def build(settings: Settings, splits: DataSplits | None) -> Prepared:
            return prepare(settings, splits=splits, checkpoint=weights, on_progress=self.on_progress, place=place)

        def build_first() -> Prepared | None:
            if not ranks.is_first:
                return None
            built = build(settings, splits)
            built.data.write(self.folder.splits)
            return built

        first = ranks.together(build_first)
        if ranks.world_size == 1:
            return first
        chosen = ranks.share(first and _decided(first.assembly))
        prepared = ranks.together(lambda: first or build(chosen, DataSplits.from_file(self.folder.splits)))
        check_same(ranks, prepared.data, chosen)
        if not ranks.is_first:
            torch.manual_seed(seed_of(settings.seed, ranks.rank))  # dropout draws otherwise on each
        return prepared

    def build_trainer(self, assembly: Assembly) -> Trainer:
        """The trainer of this run, at its beginning."""
        train = assembly.settings.train
        features = self.build_features(assembly)
        learner = Learner(
            model=assembly.model,
            network=features.network if features else None,
            loss_fn=assembly.loss_fn,
            optimizer=assembly.optimizer,
            schedule=assembly.schedule,
            batches=features.train_batches if features else assembly.train_batches,
            precision=assembly.precision,
            epochs=train.epochs,
            accumulate=train.accumulate,
            clip_norm=assembly.settings.optim.clip_norm,
            ema=EMA(assembly.model, train.ema_decay) if train.ema_decay else None,
            set_train_mode=assembly.freezing.set_train_mode,
            micro_batches=MicroBatches(train_limit=batch_size_limit(assembly)),
            ranks=self.ranks,
        )
        val_batches = features.val_batches if features else assembly.val_batches
        if assembly.val_batches is not None:
            self.examples = ExamplePictures(
                Examples.of(self.folder), assembly.val_batches, assembly.data.output_names, self.ranks
            )
        validation = Validation(
            evaluate=partial(self.evaluate, assembly, learner, val_batches) if val_batches else None,
            best=BestTracker(key=f"val/{assembly.best.key}", higher_is_better=assembly.best.higher_is_better),
            early_stopping=EarlyStopping(train.early_stopping),
        )
        hooks = Hooks(
            emit=self.emit,
            control=self.control,
            save=partial(self.save, assembly),
            validated=self.keep_examples,
            before_epoch=partial(self.thaw, assembly),
            read_memory=RankReadings(MemoryReader(assembly.device), self.ranks),
        )
        recovery = NonFiniteRecovery(
            choice=train.on_nonfinite,
            limit=train.nonfinite_limit,
            restore=self.restore,
            keep=partial(self.keep_evidence, assembly),
        )
        return Trainer(learner, validation, hooks, recovery)

    def build_features(self, assembly: Assembly) -> Features | None:
        """Batches of features, if the frozen part runs once, and what takes them."""
        if assembly.splits is None:
            return None
        return Features.of(
            assembly.model,
            assembly.splits,
            precision=assembly.precision,
            plan=assembly.features,
            train_batches=assembly.train_batches,
            val_batches=assembly.val_batches,
            set_train_mode=assembly.freezing.set_train_mode,
            should_stop=self.is_to_end,
            on_computed=self.on_progress,
            ranks=self.ranks,
        )

    def is_to_end(self) -> bool:
        """Whether the user wants this attempt to end."""
        return self.control.wanted() is not None

    def evaluate(
        self, assembly: Assembly, learner: Learner, batches: Iterable[tuple[Tensor, Tensor]]
    ) -> dict[str, float] | None:
        """Metrics over the validation split, or None if the user does not want to wait for them."""
        assert self.examples is not None
        self.examples.restart()
        return evaluate(
            learner.network,
            batches,
            loss_fn=assembly.loss_fn,
            metrics=assembly.metrics,
            precision=assembly.precision,
            micro_batches=learner.micro_batches,
            should_stop=self.is_to_end,
            on_batch=self.examples.add,
            ranks=self.ranks,
        )

    def keep_examples(self, step: int, epoch: int) -> None:
        """Keep what was said of the examples; a run goes on without them where they cannot be written, and says so."""
        assert self.examples is not None
        try:
            self.examples.keep(ExampleValidation(step=step, epoch=epoch))
        except OSError as error:
            text = f"What the run said of its example pictures could not be kept ({error.strerror or error})."
            self.emit(Message(level="warning", text=text, step=step))

    def save(self, assembly: Assembly, is_best: bool, is_durable: bool) -> str:
        """Write a checkpoint; returns its path in the run folder."""
        assert self.trainer is not None
        assert self.rollback is not None
        trainer = self.trainer
        metadata = metadata_of(assembly.built, classes=assembly.data.output_names, run_id=self.folder.id)
        metadata |= position_of(trainer)
        state = trainer.state_dict()

        def write() -> Path | None:
            if not self.ranks.is_first:
                return None
            return self.checkpoints.save(
                trainer.position.step,
                write_weights=partial(save_model, assembly.model, metadata=metadata, is_durable=is_durable),
                state=state,
                is_best=is_best,
                is_durable=is_durable,
            )

        with trainer.learner.exported():
            path = self.ranks.share(self.ranks.together(write))
        assert path is not None
        self.rollback.forget_start()
        return path.relative_to(self.folder.path).as_posix()

    def look_back(self, assembly: Assembly) -> None:
        """Have what was trained looked at by the first rank; the run is complete whatever comes of it."""
        if self.at_end is None or not self.ranks.is_first:
            return
        begun = time.monotonic()

        def on_progress(what: str, done: float, total: float | None = None, unit: str = "") -> None:
            if time.monotonic() - begun > _QUIET_SECONDS:
                self.on_progress(what, done, total, unit)

        try:
            self.at_end(self.folder, assembly, on_progress, self.control.is_asked_to_end)
        except Exception as error:
            error = loader_death(error) or error
            if not isinstance(error, FineTunerError) and not is_of_file_system(error, self.folder.path):
                traceback.print_exc()
            text = f"What it gets wrong could not be looked at: {message_for(error)} The weights are complete."
            self.emit(Message(level="warning", text=text))

    def thaw(self, assembly: Assembly, epochs_done: int) -> None:
        """Unfreeze what the next epoch trains, and mark it on the curves."""
        if assembly.freezing.set_epoch(epochs_done) and self.trainer:
            text = f"From epoch {epochs_done + 1} on the pretrained part trains too."
            self.emit(Mark(step=self.trainer.position.step, label="unfreeze", text=text))

    def restore(self) -> None:
        """Go back to the last good state."""
        assert self.rollback is not None
        self.rollback.restore()

    def keep_evidence(self, assembly: Assembly, evidence: Evidence) -> str:
        """Write what is known of a step that went wrong, with the names of its files."""
        records = assembly.train_batches.dataset.records
        files = [str(records[index].image) for index in evidence.indices]
        folder = self.folder.evidence / f"step-{evidence.about['step']:08d}"
        if self.ranks.is_first:
            dataclasses.replace(evidence, about=evidence.about | {"files": files}).write(folder)
        return folder.relative_to(self.folder.path).as_posix()

    def on_progress(self, what: str, done: float, total: float | None = None, unit: str = "") -> None:
        """Tell of long work before the first step, at most four times a second."""
        now = time.monotonic()
        if done == total or now - self._progress_at > 0.25:
            self._progress_at = now
            self.emit(WorkProgress(what=what, done=done, total=total, unit=unit))

    def finish(self, outcome: str, error: str | None = None, cause: str = "") -> None:
        """Record how the attempt ended; on a full disk the line on standard error is all that is left of it."""
        if not self.ranks.is_first:
            return
        step = self.trainer.position.step if self.trainer else 0
        best = self.trainer.validation.best if self.trainer else None
        summary = {"best": {"key": best.key, "value": best.value, "epoch": best.epoch}} if best and best.epoch else {}
        summary |= {"cause": cause} if cause else {}
        if outcome in ("stopped", "paused"):
            self.control.done()
        last_word = RunFinished(outcome=outcome, step=step, error=error, summary=summary)
        try:
            try:
                self.emit(last_word)
            except OSError:
                self.reserve.unlink(missing_ok=True)
                self.emit(last_word)
        except OSError as failure:
            sys.stderr.write(f"The end of the run could not be recorded: {failure}\n")
        with suppress(OSError):
            self.reserve.unlink(missing_ok=True)
        if error:
            sys.stderr.write(f"{error}\n")
        self.writer.close()


def batch_size_limit(assembly: Assembly) -> int | None:
    """Images that one device takes at a time, if its part of a micro-batch has become larger than its batch."""
    place = assembly.place
    return assembly.settings.train.batch_size if place.devices > place.world_size else None


def _decided(assembly: Assembly) -> Settings:
    """Settings of a run with all that was chosen, or measured, for it."""
    layout = "on" if assembly.precision.is_channels_last else "off"
    return replace(
        assembly.settings, f"precision.dtype={assembly.precision.dtype}", f"precision.channels_last={layout}"
    )


def position_of(trainer: Trainer) -> dict[str, Any]:
    """Where a run is and how it evaluates by now, for the metadata of its weights."""
    position, best = trainer.position, dataclasses.asdict(trainer.validation.best)
    evaluation = {"precision": trainer.learner.precision.dtype, "eval_batch": trainer.learner.micro_batches.evaluation}
    return {"step": position.step, "epoch": position.epoch, "best": best} | evaluation


def planned_from_now(trainer: Trainer, assembly: Assembly) -> dict[str, Any]:
    """Steps to come and the rates they will have as things stand, enough to draw the curve."""
    length = {"total_steps": trainer.learner.total_steps, "steps_per_epoch": trainer.learner.steps_per_epoch}
    steps = [s for s in preview_steps(assembly.settings.schedule, **length) if s > trainer.position.step]
    return {
        "steps": steps,
        "groups": assembly.schedule.plan(steps),
        "lowest": lowest_from_now(assembly.schedule, steps),
    }
