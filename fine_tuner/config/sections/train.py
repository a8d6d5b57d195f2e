"""Settings of the length of a run and its micro-batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import annotated_types as at

from fine_tuner.config.knobs import STRICT, Knob


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """How long to train and in which micro-batches."""

    __pydantic_config__ = STRICT
    epochs: Annotated[
        int | None,
        at.Ge(1),
        at.Le(100_000),
        Knob(label="Epochs", help="Passes over the training images; empty: chosen for the data."),
    ] = 10
    minutes: Annotated[
        float | None,
        at.Gt(0),
        at.Le(100_000),
        Knob(
            label="Time, at most",
            help="Where the epochs are chosen for the data: no more than go into this time at the pace that was "
            "measured here; empty: as many as the data needs.",
            unit="minutes",
            when=(("train.epochs", (None,)),),
        ),
    ] = None
    batch_size: Annotated[
        int | None,
        at.Ge(1),
        at.Le(65_536),
        Knob(
            label="Batch size",
            help="Images in one forward pass on one device; empty: chosen for the data.",
            unit="images",
        ),
    ] = 32
    accumulate: Annotated[
        int,
        at.Ge(1),
        at.Le(4096),
        Knob(
            label="Accumulate",
            help="Forward passes whose gradients make one step; a large batch in little memory.",
            advanced=True,
        ),
    ] = 1
    scale_lr: Annotated[
        Literal["none", "linear", "sqrt"],
        Knob(
            label="Rate on several devices",
            help="A step learns from the images of all devices. none: at the rate as it is; linear: times the number "
            "of devices; sqrt: times its root, which suits Adam and its like.",
            advanced=True,
        ),
    ] = "none"
    sync_batchnorm: Annotated[
        bool,
        Knob(
            label="Batch statistics of all devices",
            help="On several GPUs, BatchNorm looks at the images of all of them (SyncBatchNorm) in place of each its "
            "own: slower, better where a device takes few images.",
            advanced=True,
        ),
    ] = False
    checkpoint_activations: Annotated[
        bool,
        Knob(
            label="Make activations again",
            help="Keep only the input of each block for the backward pass, and run the block again there: a large "
            "network or batch in a fraction of the memory, for about a third more time. Results stay the same "
            "(activation checkpointing).",
            advanced=True,
            link="https://docs.pytorch.org/docs/stable/checkpoint.html",
        ),
    ] = False
    best_metric: Annotated[
        str,
        Knob(
            label="Keep the best by",
            help="Metric that chooses the best weights, such as val/loss or val/f1; auto: the task's most telling one.",
            advanced=True,
        ),
    ] = "auto"
    early_stopping: Annotated[
        int | None,
        at.Ge(1),
        at.Le(100_000),
        Knob(
            label="Stop early after",
            help="Epochs without a better value that end the run; empty: train to the end.",
            unit="epochs",
            advanced=True,
        ),
    ] = None
    ema_decay: Annotated[
        float | None,
        at.Gt(0),
        at.Lt(1),
        Knob(
            label="Average of weights",
            help="Validate and keep a moving average of the weights with this decay, such as 0.999; empty: off.",
            advanced=True,
        ),
    ] = None
    features: Annotated[
        Literal["auto", "off"],
        Knob(
            label="Frozen part",
            help="auto: what is frozen runs once for each image, and epochs train on what came out of it, many times "
            "faster; off: it runs in every epoch.",
            unless=(("model.trainable", ("all",)),),
            advanced=True,
        ),
    ] = "auto"
    views: Annotated[
        int,
        at.Ge(1),
        at.Le(1000),
        Knob(
            label="Views of an image",
            help="Random changes of each training image that go through the frozen part and are repeated in later "
            "epochs; more vary more and take longer.",
            unit="views",
            unless=(("model.trainable", ("all",)), ("train.features", ("off",)), ("augment.name", ("none",))),
            advanced=True,
        ),
    ] = 2
    keep_checkpoints: Annotated[
        int,
        at.Ge(1),
        at.Le(100_000),
        Knob(
            label="Checkpoints kept",
            help="Last states to go back to or resume from, besides the best weights.",
            advanced=True,
        ),
    ] = 2
    on_nonfinite: Annotated[
        Literal["pass_over", "lower", "bf16", "skip"],
        Knob(
            label="If numbers go bad",
            help="When a loss or gradient is NaN or infinite, go back to the last good state and, pass_over: go on "
            "past the step; lower: halve the rate; bf16: leave fp16; skip: leave its images out.",
            advanced=True,
        ),
    ] = "pass_over"
    nonfinite_limit: Annotated[
        int,
        at.Ge(1),
        at.Le(1000),
        Knob(
            label="Give up after",
            help="How often numbers may go bad until the run ends; 1: it never goes back.",
            unit="times",
            advanced=True,
        ),
    ] = 3
