"""Settings that were left empty, filled in by the rules of ``defaults.py`` for the data, network and machine."""

from __future__ import annotations

import dataclasses
import math
import statistics
from contextlib import suppress

import torch

from fine_tuner.base.errors import DataError
from fine_tuner.base.machine import num_cores
from fine_tuner.config.io import replace
from fine_tuner.config.settings import Settings
from fine_tuner.config.tasks import target_kind
from fine_tuner.data.files.images import open_image
from fine_tuner.data.records import DataSplits
from fine_tuner.distributed.devices import device_name
from fine_tuner.models.build import find_preprocessing
from fine_tuner.models.pretrained.choice import NONE
from fine_tuner.speeds import Subject, read_speeds, usual_speed
from fine_tuner.tasks.defaults import (
    Chosen,
    Circumstances,
    choose_batch_size,
    choose_epochs,
    choose_image_size,
    choose_multiplier,
    choose_rate,
    scaled_rate,
    shared_out,
)

_LOOKED_AT = 24  # pictures whose size is read; their median is steady by then


def fill_in(
    settings: Settings, data: DataSplits, device: torch.device, *, num_devices: int = 1
) -> tuple[Settings, tuple[Chosen, ...]]:
    """Settings without gaps, and what was chosen for them, in the order of the rules.

    Args:
        settings: Of the run.
        data: Its splits.
        device: Where it trains.
        num_devices: How many there are of it, each with a batch of its own.
    """
    chosen: list[Chosen] = []

    def take(choice: Chosen | None) -> None:
        nonlocal settings
        if choice is not None:
            chosen.append(choice)
            settings = replace(settings, f"{choice.path}={choice.value}")

    about = _circumstances(settings, data, device)
    if settings.data.image_size is None:
        take(choose_image_size(about))
    if settings.train.batch_size is None:
        take(shared_out(choose_batch_size(about), num_devices))
    step_images = min(settings.train.batch_size * num_devices, about.num_images) * settings.train.accumulate
    if settings.train.epochs is None:
        about = _with_pace(about, settings, device)
        take(choose_epochs(about, math.ceil(about.num_images / step_images)))
    if settings.optim.lr is None:
        take(choose_rate(about, step_images))  # which knows how many images that are
    elif num_devices > 1:
        take(scaled_rate(settings.optim.lr, settings.train.scale_lr, num_devices))
        settings = replace(settings, "train.scale_lr=none")  # done: whoever repeats these settings has the rate itself
    if settings.optim.backbone_multiplier is None:
        take(choose_multiplier(about))
    return settings, tuple(chosen)


def filled_size(settings: Settings, data: DataSplits, device: torch.device) -> Settings:
    """Settings with the image size filled in alone: all that a picture of the data needs."""
    choice = None
    if settings.data.image_size is None:
        choice = choose_image_size(_circumstances(settings, data, device))
    return settings if choice is None else replace(settings, f"{choice.path}={choice.value}")


def _circumstances(settings: Settings, data: DataSplits, device: torch.device) -> Circumstances:
    model = settings.model
    is_pretrained = model.weights.strip().casefold() != NONE
    return Circumstances(
        num_images=max(1, len(data.splits["train"])),
        kind=target_kind(settings.task),
        picture_px=_picture_px(data) if settings.data.image_size is None else None,
        is_pretrained=is_pretrained,
        has_gpu=device.type != "cpu",
        optimizer=settings.optim.name,
        minutes=settings.train.minutes,
    )  # fmt: skip


def _picture_px(data: DataSplits) -> int | None:
    """Median of the shorter sides of some training pictures, from their headers; None if none can be opened."""
    records = data.splits["train"]
    sides = []
    for record in records[:: max(1, len(records) // _LOOKED_AT)][:_LOOKED_AT]:
        with suppress(DataError, OSError), open_image(record.image) as image:
            sides.append(min(image.size))
    return round(statistics.median(sides)) if sides else None


def _with_pace(about: Circumstances, settings: Settings, device: torch.device) -> Circumstances:
    """With the pace that was measured here for these settings, if it was; that of whole runs before that of steps."""
    model = settings.model
    preprocessing = find_preprocessing(
        model.name, task=settings.task, weights=model.weights, image_size=settings.data.image_size
    )
    subject = Subject(
        network=model.name, image_size=preprocessing.image_size, trainable=model.trainable,
        batch_size=settings.train.batch_size, device=measured_device(device),
    )  # fmt: skip
    pace = usual_speed(read_speeds(subject), cores=cores_of(device))
    return dataclasses.replace(about, images_per_second=pace) if pace else about


def measured_device(device: torch.device) -> str:
    """What a measured speed holds for: the device, of a processor with the cores that compute."""
    return device_name(device) + (f", {num_cores()} cores" if device.type == "cpu" else "")


def cores_of(device: torch.device) -> int:
    """Cores that compute; 1 for a device that is no processor."""
    return num_cores() if device.type == "cpu" else 1
