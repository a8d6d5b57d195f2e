"""The one typed tree of settings of a run.

Validation, form, ``list settings`` and the YAML file are all made from these classes, so a setting is
written once. Dotted paths (``optim.lr``) name settings everywhere; their spelling is a promise to users.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

import annotated_types as at

from fine_tuner.config.knobs import STRICT, Knob
from fine_tuner.config.sections.data import AugmentSettings, DataSettings
from fine_tuner.config.sections.losses import CrossEntropyLoss, LossSettings
from fine_tuner.config.sections.optimizers import AdamW, OptimizerSettings
from fine_tuner.config.sections.precision import PrecisionSettings
from fine_tuner.config.sections.schedules import OneCycleLR, ScheduleSettings
from fine_tuner.config.sections.second_loss import NoSecondLoss, SecondLossSettings
from fine_tuner.config.sections.train import TrainSettings
from fine_tuner.config.tasks import DEFAULT_TASK, TASK_SPECS

TASKS: tuple[str, ...] = tuple(TASK_SPECS)


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """Which network, which weights it starts from, and which part of it trains."""

    __pydantic_config__ = STRICT
    name: Annotated[str, Knob(label="Network", help="Any torchvision network for the task.", widget="model")] = (
        "mobilenet_v2"
    )
    weights: Annotated[
        str,
        Knob(
            label="Start from",
            help="default: torchvision's best pretrained weights, or one of its others by name; none: random; "
            "source: a small network that ships with the app (shufflenet_v2_x0_5); "
            "backbone: ImageNet weights below a segmentation network; or a file of weights, or an earlier run.",
            widget="weights",
        ),
    ] = "default"
    trainable: Annotated[
        Literal["head", "all", "gradual"] | Annotated[int, at.Ge(1)],
        Knob(
            label="What trains",
            help="head: the new output layer only; all: everything; gradual: the head first, then all; "
            "a number: that many last stages, the head being the first of them.",
            widget="trainable",
        ),
    ] = "all"
    head_epochs: Annotated[
        int,
        at.Ge(1),
        Knob(
            label="Head only for",
            help="Epochs before the pretrained part starts to train.",
            unit="epochs",
            when=(("model.trainable", ("gradual",)),),
        ),
    ] = 1


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that decides the outcome of a run."""

    __pydantic_config__ = STRICT
    title: Annotated[
        str,
        at.MaxLen(120),
        Knob(label="Title", help="Shown in the list of runs; empty: made from data and network.", advanced=True),
    ] = ""
    task: Annotated[Literal[TASKS], Knob(label="Task", help="What the network learns to tell from an image.")] = (  # type: ignore[valid-type]
        DEFAULT_TASK
    )
    data: DataSettings = field(default_factory=DataSettings)
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    loss: LossSettings = field(default_factory=CrossEntropyLoss)
    second_loss: SecondLossSettings = field(default_factory=NoSecondLoss)
    optim: OptimizerSettings = field(default_factory=AdamW)
    schedule: ScheduleSettings = field(default_factory=OneCycleLR)
    precision: PrecisionSettings = field(default_factory=PrecisionSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    devices: Annotated[
        str,
        Knob(
            label="Device",
            help="auto: a GPU if there is one; cpu, cuda, cuda:1, mps, xpu. Several, with a process for each: 0,1, or "
            "all, or cpu:2.",
            advanced=True,
        ),
    ] = "auto"
    seed: Annotated[
        int,
        at.Ge(0),
        at.Le(2**32 - 1),
        Knob(label="Seed", help="Fixes the split, the order, augmentation and the new layer."),
    ] = 0
