"""Settings become objects: data, network, loss, optimizer and schedule of one run.

Nothing here trains, writes, or knows a run folder; the worker, the plan and the learning-rate finder all start from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn
from torchmetrics import MetricCollection

from fine_tuner.base.errors import ConfigError
from fine_tuner.base.progress import OnProgress, no_progress
from fine_tuner.config.metric_specs import MetricSpec
from fine_tuner.config.settings import Settings
from fine_tuner.config.tasks import TargetKind, target_kind
from fine_tuner.data.decisions import with_decisions
from fine_tuner.data.files.decoded_folder import DecodedFolder
from fine_tuner.data.loading.batches import EvalBatches, ImageDataset, TrainBatches
from fine_tuner.data.loading.decoded import DecodedPictures
from fine_tuner.data.loading.mixing import Mixer
from fine_tuner.data.loading.transforms import build_transforms
from fine_tuner.data.options import READ_OPTIONS
from fine_tuner.data.records import DataSplits
from fine_tuner.data.sources import read_data
from fine_tuner.distributed.devices import choose_device
from fine_tuner.features.plan import FeaturePlan, Splits
from fine_tuner.losses.build import build_loss
from fine_tuner.models.activation_checkpointing import blocks_of, checkpoint_activations
from fine_tuner.models.batch_norm import refuse_single_values
from fine_tuner.models.build import BuiltModel
from fine_tuner.models.freezing import Freezing, parameter_groups
from fine_tuner.models.preprocessing import Preprocessing
from fine_tuner.optim import build_optimizer
from fine_tuner.precision import (
    Precision,
    PrecisionChoice,
    choose_precision,
    compile_network,
    compile_problem,
    variant_name,
)
from fine_tuner.schedules import Schedule, build_schedule, check_schedule
from fine_tuner.speeds import RUN, Subject, expected_speed, known_fastest, read_speeds, remember_run
from fine_tuner.tasks import TASKS
from fine_tuner.tasks.base import Task
from fine_tuner.tasks.defaults import Chosen
from fine_tuner.tasks.fill_in import cores_of, fill_in, measured_device
from fine_tuner.tasks.frozen import plan_frozen
from fine_tuner.tasks.mixed import MixedLoss
from fine_tuner.tasks.network import build_network
from fine_tuner.tasks.precision_trial import FEWEST_STEPS, try_precisions
from fine_tuner.tasks.standardise import standardised

LOSS_GROUP = "loss"


def build_data(settings: Settings, on_progress: OnProgress = no_progress, *, may_download: bool = True) -> DataSplits:
    """Find the images and split them.

    Args:
        settings: Of the run.
        on_progress: Told of reading and downloading.
        may_download: Fetch a data set of torchvision's that is not on this machine; else that is an error.

    Raises:
        DataError: If the data cannot be used; the message names the folder or file.
    """
    data = settings.data
    found = read_data(
        data.path,
        task=settings.task,
        val_fraction=data.val_fraction,
        seed=settings.seed,
        progress=on_progress,
        may_download=may_download,
        **{name: getattr(data, name) for name in READ_OPTIONS},
    )
    return with_decisions(found, data.decisions)


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Which of the processes that train a run this one is.

    Attributes:
        rank: Its number.
        world_size: How many there are.
        began_with: How many there were when the run began. A micro-batch keeps the size that it had then, so that steps
            and schedule are the same whoever goes on; None: as many as now.
    """

    rank: int = 0
    world_size: int = 1
    began_with: int | None = None

    @property
    def devices(self) -> int:
        """By how many the batch of one device is multiplied."""
        return self.began_with or self.world_size

    def shares(self) -> dict[str, int]:
        """As batches take it."""
        return {"rank": self.rank, "world_size": self.world_size}


ALONE = Place()


@dataclass(kw_only=True)
class Assembly:
    """The objects of one run, on their device. A context manager: loading processes end with it.

    Attributes:
        best: The metric that chooses the best weights.
        group_lrs: Peak rate of each named parameter group, head first.
        metrics: Over the validation split; reset before each use.
        settings: Without gaps: what was left empty is filled in.
        chosen: What was filled in, and why.
        features: What the run does about its frozen part.
        splits: The network in two, if its frozen part runs once; None else, and of an outline.
        place: Of this process among those of the run.
    """

    settings: Settings
    task: Task
    best: MetricSpec
    data: DataSplits
    built: BuiltModel
    freezing: Freezing
    device: torch.device
    precision: Precision
    precision_choice: PrecisionChoice
    loss_fn: nn.Module
    optimizer: torch.optim.Optimizer
    group_lrs: dict[str, float]
    schedule: Schedule
    train_batches: TrainBatches
    val_batches: EvalBatches | None
    metrics: MetricCollection
    features: FeaturePlan
    splits: Splits | None
    chosen: tuple[Chosen, ...] = ()
    place: Place = ALONE

    @property
    def model(self) -> nn.Module:
        """The network."""
        return self.built.model

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in one epoch."""
        return -(-self.train_batches.per_epoch // self.settings.train.accumulate)

    @property
    def global_batch_size(self) -> int:
        """Images in one step, of all devices."""
        return self.train_batches.batch_size * self.settings.train.accumulate

    @property
    def total_steps(self) -> int:
        """Optimizer steps in the whole run."""
        return self.steps_per_epoch * self.settings.train.epochs

    @property
    def images_in_run(self) -> int:
        """Training images of all epochs; where the frozen part runs once, the images that go through that."""
        train, val = (len(self.data.splits.get(name, ())) for name in ("train", "val"))
        return self.features.views * train + val if self.features.is_used else self.settings.train.epochs * train

    @property
    def pace_key(self) -> str:
        """Under which the pace of a whole run like this is kept."""
        variant = variant_name(self.precision.dtype, is_channels_last=self.precision.is_channels_last)
        several = f":x{self.place.world_size}" if self.place.world_size > 1 else ""
        return f"{RUN}:{variant}{several}:once" if self.features.is_used else f"{RUN}:{variant}{several}"

    def close(self) -> None:
        """End the loading processes."""
        self.train_batches.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def assemble(
    settings: Settings,
    data: DataSplits,
    *,
    on_progress: OnProgress = no_progress,
    outline: bool = False,
    may_measure: bool = False,
    checkpoint: Path | None = None,
    place: Place = ALONE,
) -> Assembly:
    """Build every object of a run, in the order in which a person would describe it.

    Args:
        settings: Of the run.
        data: Its splits.
        on_progress: Told of downloads.
        outline: Build the network without weights, downloading nothing: for a plan.
        may_measure: Find the fastest precision by a trial of seconds, where ``auto`` knows of none.
        checkpoint: Weights of this run to go on from; those it started from are not needed any more.
        place: Of this process among those of the run.

    Raises:
        InputError: If a setting does not fit the data, the network or the machine.
    """
    task = TASKS[settings.task]
    best = task.best_by(settings.train.best_metric, data.output_names)
    device = choose_device(settings.devices)
    settings, chosen = fill_in(settings, data, device, num_devices=place.devices)
    _check_step(settings, place)
    torch.manual_seed(settings.seed)  # decides the new head's first weights, then dropout
    built = _network(settings, data, device, place, on_progress=on_progress, outline=outline, checkpoint=checkpoint)
    choice = _choose_precision(
        settings, data, built, device, place, on_progress=on_progress if may_measure and not outline else None
    )
    precision = Precision(
        choice.dtype, device, is_channels_last=choice.is_channels_last, allow_tf32=settings.precision.tf32
    )
    if not outline:
        precision.arrange(built.model)
    if settings.train.checkpoint_activations:
        built = _checkpointed(settings, built)
    if settings.precision.compile:
        built = _compiled(built, device, outline=outline)
    freezing = Freezing(built, settings.model.trainable, head_epochs=settings.model.head_epochs)
    features, splits = plan_frozen(settings, data, built, freezing, outline=outline)

    if settings.train.batch_size == 1:
        refuse_single_values(built, freezing, is_gradual=settings.model.trainable == "gradual")
    mixer = _mixer(settings)
    loss_fn = _loss(settings, data, is_mixed=mixer is not None).to(device)
    optimizer, group_lrs = _optimizer(settings, built, loss_fn)
    train_batches = TrainBatches(
        build_dataset(settings, data, built.preprocessing, "train"),
        batch_size=settings.train.batch_size * place.devices,
        **place.shares(),
        seed=settings.seed,
        num_workers=settings.data.num_workers,
        pin_memory=device.type == "cuda",
        sampling=settings.data.sampling if target_kind(settings.task) is TargetKind.CLASS else "natural",
        mixer=mixer,
    )
    schedule = _schedule(settings, optimizer, train_batches, group_lrs, higher_is_better=best.higher_is_better)
    return Assembly(
        settings=settings,
        task=task,
        best=best,
        data=data,
        built=built,
        freezing=freezing,
        device=device,
        precision=precision,
        precision_choice=choice,
        loss_fn=loss_fn,
        optimizer=optimizer,
        group_lrs=group_lrs,
        schedule=schedule,
        train_batches=train_batches,
        val_batches=_val_batches(settings, data, built, device, place),
        metrics=task.build_metrics(data.num_outputs, **task.arguments_of_metrics(data.output_names)),
        chosen=chosen,
        features=features,
        splits=splits,
        place=place,
    )


def _network(
    settings: Settings,
    data: DataSplits,
    device: torch.device,
    place: Place,
    *,
    on_progress: OnProgress,
    outline: bool,
    checkpoint: Path | None,
) -> BuiltModel:
    """The network on its device, reading pictures as the data's are.

    Raises:
        ConfigError: If statistics are to be shared among devices that cannot.
    """
    built = build_network(settings, data, on_progress, outline=outline, checkpoint=checkpoint)
    if not outline:
        built.model.to(device)
    if settings.train.sync_batchnorm and place.world_size > 1:
        if device.type == "cpu":
            raise ConfigError({"train.sync_batchnorm": "Needs GPUs. Turn it off: each process then has its own."})
        built.model = nn.SyncBatchNorm.convert_sync_batchnorm(built.model)
    return replace(built, preprocessing=replace(built.preprocessing, pixel_range=data.pixel_range))


def _loss(settings: Settings, data: DataSplits, *, is_mixed: bool) -> nn.Module:
    """The loss, or sum of two, of targets as the batches have them."""
    loss_fn = build_loss(
        settings.loss,
        task=settings.task,
        num_outputs=data.num_outputs,
        class_counts=data.class_counts("train"),
        second=settings.second_loss,
    )
    loss_fn = standardised(loss_fn, settings, data)
    return MixedLoss(loss_fn) if is_mixed else loss_fn


def _optimizer(
    settings: Settings, built: BuiltModel, loss_fn: nn.Module
) -> tuple[torch.optim.Optimizer, dict[str, float]]:
    """The optimizer of network and loss, and the rate of each group."""
    groups = parameter_groups(
        built,
        trainable=settings.model.trainable,
        lr=settings.optim.lr,
        backbone_multiplier=settings.optim.backbone_multiplier,
        stage_decay=settings.optim.stage_decay,
        weight_decay=settings.optim.weight_decay,
        decay_norms_and_biases=settings.optim.decay_norms_and_biases,
    )
    groups += loss_groups(loss_fn, lr=settings.optim.lr)
    optimizer = build_optimizer(settings.optim, groups)
    return optimizer, {group["name"]: group["lr"] for group in groups}


def _schedule(
    settings: Settings,
    optimizer: torch.optim.Optimizer,
    batches: TrainBatches,
    group_lrs: Mapping[str, float],
    *,
    higher_is_better: bool,
) -> Schedule:
    """The schedule, checked against the length of the run."""
    steps_per_epoch = -(-batches.per_epoch // settings.train.accumulate)
    total_steps = steps_per_epoch * settings.train.epochs
    check_schedule(
        settings.schedule,
        total_steps=total_steps,
        steps_per_epoch=steps_per_epoch,
        epochs=settings.train.epochs,
        group_lrs=group_lrs,
    )
    return build_schedule(
        settings.schedule,
        optimizer,
        total_steps=total_steps,
        steps_per_epoch=steps_per_epoch,
        higher_is_better=higher_is_better,
    )


def loss_groups(loss_fn: nn.Module, *, lr: float) -> list[dict[str, Any]]:
    """The parameter group of what a user's loss learns itself, at the head's rate and without decay; none as a rule."""
    own = [parameter for parameter in loss_fn.parameters() if parameter.requires_grad]
    return [{"params": own, "lr": lr, "weight_decay": 0.0, "name": LOSS_GROUP}] if own else []


def subject_of(settings: Settings, built: BuiltModel, device: torch.device) -> Subject:
    """What a measurement of this run's speed is about."""
    return Subject(
        network=built.name,
        image_size=built.preprocessing.image_size,
        trainable=settings.model.trainable,
        batch_size=settings.train.batch_size,
        device=measured_device(device),
    )


def expected_pace(assembly: Assembly) -> tuple[float, str] | None:
    """Images per second to expect of the run, and what that rests on; None if nothing like it was measured here."""
    precision = assembly.precision
    known = read_speeds(subject_of(assembly.settings, assembly.built, assembly.device))
    variant = variant_name(precision.dtype, is_channels_last=precision.is_channels_last)
    return expected_speed(known, assembly.pace_key, variant, cores=cores_of(assembly.device))


def remember_pace(assembly: Assembly, *, images_per_second: float, crowding: float) -> None:
    """Keep the pace of a whole run, for the plans of others like it; see ``remember_run``."""
    subject = subject_of(assembly.settings, assembly.built, assembly.device)
    remember_run(subject, assembly.pace_key, images_per_second=images_per_second, crowding=crowding)


def _choose_precision(
    settings: Settings,
    data: DataSplits,
    built: BuiltModel,
    device: torch.device,
    place: Place,
    *,
    on_progress: OnProgress | None,
) -> PrecisionChoice:
    """As set, else as measured for this network on this device, if need be now, else as suits the device.

    Args:
        settings: Of the run.
        data: Of the run; tells how long it is.
        built: Its network.
        device: Where it is.
        place: Of this process among those of the run.
        on_progress: Told of a trial; None makes none.
    """
    wanted = settings.precision
    if "auto" not in (wanted.dtype, wanted.channels_last):
        return choose_precision(wanted.dtype, device, channels_last=wanted.channels_last)
    subject, until = subject_of(settings, built, device), ""
    measured = known_fastest(subject, wanted.channels_last)
    if measured is None and wanted.dtype == "auto":
        train = settings.train
        images_per_step = train.batch_size * place.devices * train.accumulate
        steps = -(-len(data.splits["train"]) * train.epochs // images_per_step)
        if steps < FEWEST_STEPS:
            until = f"{steps} steps are too few for measuring what is faster"
        elif on_progress is None:
            until = "until the first seconds of a run have measured what is fastest here"
        else:
            measured = try_precisions(settings, built, device, subject, on_progress=on_progress)
    return choose_precision(wanted.dtype, device, channels_last=wanted.channels_last, measured=measured, until=until)


def _checkpointed(settings: Settings, built: BuiltModel) -> BuiltModel:
    """The network with blocks that make their activations again, or with a notice that it has none."""
    if settings.precision.compile:
        message = "Does not go with precision.compile=true. Turn one of them off."
        raise ConfigError({"train.checkpoint_activations": message})
    blocks = blocks_of(built.model, built.stages[-1].parameter_names)
    checkpoint_activations(built.model, blocks)
    if blocks:
        return built
    notice = f"{built.name} is a row of single layers: it has no blocks whose activations could be made again."
    return replace(built, notices=(*built.notices, notice))


def _compiled(built: BuiltModel, device: torch.device, *, outline: bool) -> BuiltModel:
    """The network with ``torch.compile`` around it, or with a notice why not."""
    problem = compile_problem(device) if outline else compile_network(built.model, device)
    if problem is None:
        return built
    return replace(built, notices=(*built.notices, f"{problem}. The network runs uncompiled; precision.compile=false."))


def build_dataset(settings: Settings, data: DataSplits, preprocessing: Preprocessing, split: str) -> ImageDataset:
    """The images of one split as the network will see them; augmented if it is ``train``."""
    transform = build_transforms(
        augment=settings.augment.name,
        flip=settings.augment.flip,
        train=split == "train",
        task=settings.task,
        **replace(preprocessing, pixel_range=data.pixel_range).to_dict(),
    )
    limit = settings.data.decoded_mib
    return ImageDataset(
        data.splits[split],
        transform,
        settings.task,
        mask_coding=data.mask_coding,
        decoded=DecodedPictures(DecodedFolder.of_cache(limit_mib=limit)) if limit else None,
    )


def _mixer(settings: Settings) -> Mixer | None:
    """Mixes training images in pairs, where wanted and where a class is what is learned."""
    mix = settings.augment.mix
    return (
        Mixer(mix, settings.augment.mix_alpha)
        if mix != "none" and target_kind(settings.task) is TargetKind.CLASS
        else None
    )


def _check_step(settings: Settings, place: Place) -> None:
    """Do nothing if each device gets an image of a step.

    Raises:
        ConfigError: At ``devices``.
    """
    images = settings.train.batch_size * place.devices
    if images < place.world_size:
        raise ConfigError(
            {
                "devices": f"The run takes {images} images at a time, fewer than the {place.world_size} devices it is "
                "to go on with. Choose fewer devices."
            }
        )


def _val_batches(
    settings: Settings, data: DataSplits, built: BuiltModel, device: torch.device, place: Place
) -> EvalBatches | None:
    if not data.splits.get("val"):
        return None
    return EvalBatches(
        build_dataset(settings, data, built.preprocessing, "val"),
        batch_size=settings.train.batch_size,
        num_workers=settings.data.num_workers,
        pin_memory=device.type == "cuda",
        **place.shares(),
    )
