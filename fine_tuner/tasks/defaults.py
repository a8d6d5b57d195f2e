"""Defaults that fit the data: what an empty setting becomes, each by a rule with its reason. Pure; knows no torch.

===============================  ====================================================================================
setting left empty               becomes
===============================  ====================================================================================
``data.image_size``              as the weights were trained; for masks and random weights as large as the pictures,
                                 in steps of 32 px, at most ``MOST_PX`` and, without a GPU, ``CPU_PX``
``train.batch_size``             the largest power of two with at least ``LEAST_STEPS`` steps in an epoch, at most
                                 ``MOST_IMAGES`` (less where it does not fit into memory: ``memory/fitting.py``)
``train.epochs``                 as many as make ``STEPS`` steps, within ``EPOCHS``; with ``train.minutes`` and a
                                 measured pace no more than go into that time
``optim.lr``                     ``RATES`` at 32 images a step, times the root of their number over 32
``optim.backbone_multiplier``    0.1 where the network is pretrained, 1 where it starts from random weights
===============================  ====================================================================================

The numbers are rules of thumb, not laws. Steps: 244 pictures of ants and bees are learned by a pretrained network
within 60 to 100 steps; the built-in sample takes a small network from random weights about 200. Rates: those of the
shipped presets, which were measured. Root of the batch: Malladi et al. 2022, https://arxiv.org/abs/2205.10287, for Adam
and its like.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fine_tuner.config.tasks import TargetKind

LEAST_STEPS = 6  # in an epoch: with fewer the schedule is a staircase and a curve has nothing to show
MOST_IMAGES: Mapping[bool, int] = {False: 32, True: 8}  # at a time, by whether each pixel has a target
MOST_PX: Mapping[bool, int] = {False: 224, True: 512}  # ditto, the side of what the network sees
CPU_PX: Mapping[bool, int] = {False: 128, True: 256}
STEPS: Mapping[bool, int] = {True: 120, False: 400}  # in all, by whether the network is pretrained
EPOCHS: Mapping[bool, tuple[int, int]] = {True: (5, 40), False: (10, 60)}  # least and most, likewise
RATES: Mapping[bool, float] = {True: 1e-3, False: 5e-3}  # of AdamW at a batch of 32, likewise
SGD_FACTOR = 10  # plain gradients want a larger rate than those divided by their size
_REFERENCE_BATCH = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Circumstances:
    """What the rules look at.

    Attributes:
        num_images: To train on.
        picture_px: Median of the pictures' shorter sides; None where it is not known.
        images_per_second: Pace of training that was measured on this machine; None: never.
        minutes: How long the run may take; None: as long as it needs.
    """

    num_images: int
    kind: TargetKind
    picture_px: int | None
    is_pretrained: bool
    has_gpu: bool
    optimizer: str
    images_per_second: float | None = None
    minutes: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """A setting that was left empty, what it became and why (as in ``batch 4, so that an epoch has 6 steps``)."""

    path: str
    value: Any
    reason: str


def choose_image_size(about: Circumstances) -> Chosen | None:
    """The side of the square that the network sees; None: as the weights were trained."""
    is_per_pixel = about.kind is TargetKind.MASK
    if about.picture_px is None or (about.is_pretrained and not is_per_pixel):
        return None
    own = min(max(64, 32 * math.ceil(about.picture_px / 32)), MOST_PX[is_per_pixel])
    if about.has_gpu or own <= CPU_PX[is_per_pixel]:
        return Chosen(path="data.image_size", value=own, reason=f"as the pictures have {about.picture_px} px")
    most = CPU_PX[is_per_pixel]
    times = (own / most) ** 2
    reason = f"not {own}: without a GPU that is {times:.2g} times as fast"
    return Chosen(path="data.image_size", value=most, reason=reason)


def choose_batch_size(about: Circumstances) -> Chosen:
    """Images at a time."""
    most = MOST_IMAGES[about.kind is TargetKind.MASK]
    size = 2
    while size < most and about.num_images / (2 * size) >= LEAST_STEPS:
        size *= 2
    steps = math.ceil(about.num_images / size)
    if size == most:
        return Chosen(path="train.batch_size", value=size, reason=f"which gives {_count(steps, 'step')} an epoch")
    return Chosen(path="train.batch_size", value=size, reason=f"so that an epoch has {_count(steps, 'step')}")


def shared_out(batch: Chosen, num_devices: int) -> Chosen:
    """The batch of one device, if ``batch`` is that of all."""
    if num_devices == 1:
        return batch
    size = max(1, batch.value // num_devices)
    reason = f"on each of {num_devices} devices: {size * num_devices} images at a time, {batch.reason}"
    return replace(batch, value=size, reason=reason)


def choose_epochs(about: Circumstances, steps_per_epoch: int) -> Chosen:
    """Passes over the training images."""
    least, most = EPOCHS[about.is_pretrained]
    wanted = STEPS[about.is_pretrained]
    epochs = min(max(math.ceil(wanted / steps_per_epoch), least), most)
    steps = _count(epochs * steps_per_epoch, "step")
    start = "a pretrained network" if about.is_pretrained else "a network from random weights"
    reason = f"{steps}, about what {start} needs"
    if about.minutes and about.images_per_second:
        in_time = int(60 * about.minutes * about.images_per_second / max(1, about.num_images))
        if in_time < epochs:
            epochs = max(1, in_time)
            reason = f"what goes into {_count(about.minutes, 'minute')} at {about.images_per_second:.3g} images/s"
    return Chosen(path="train.epochs", value=epochs, reason=reason)


def choose_rate(about: Circumstances, global_batch_size: int) -> Chosen:
    """Peak learning rate of the head."""
    rate = RATES[about.is_pretrained] * (SGD_FACTOR if about.optimizer == "SGD" else 1)
    rate = float(f"{rate * math.sqrt(global_batch_size / _REFERENCE_BATCH):.1g}")
    start = "pretrained weights" if about.is_pretrained else "random weights"
    return Chosen(path="optim.lr", value=rate, reason=f"usual for {start} and {global_batch_size} images a step")


def scaled_rate(lr: float, how: str, num_devices: int) -> Chosen | None:
    """The rate for the images of several devices in a step, from that for one; None: as it is.

    Source: linear for SGD, Goyal et al. 2017, https://arxiv.org/abs/1706.02677; root for Adam, Malladi et al. 2022.

    >>> scaled_rate(0.001, "linear", 4).value, scaled_rate(0.001, "sqrt", 4).value
    (0.004, 0.002)
    """
    if how == "none":
        return None
    factor = num_devices if how == "linear" else math.sqrt(num_devices)
    words = f"{num_devices} devices" if how == "linear" else f"the root of {num_devices} devices"
    return Chosen(path="optim.lr", value=float(f"{lr * factor:.6g}"), reason=f"{lr:g} times {words} (train.scale_lr)")


def choose_multiplier(about: Circumstances) -> Chosen:
    """Rate of all but the head, as a share of the head's."""
    if about.is_pretrained:
        reason = "so that what the network knows already changes slowly"
        return Chosen(path="optim.backbone_multiplier", value=0.1, reason=reason)
    return Chosen(path="optim.backbone_multiplier", value=1.0, reason="since nothing is pretrained: all learns alike")


def _count(number: float, noun: str) -> str:
    return f"{number:,g} {noun}{'s' * (number != 1)}"
