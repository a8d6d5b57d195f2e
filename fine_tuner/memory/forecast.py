"""How much memory a run will take at its fullest moment, before it is taken, and the largest batch that fits.

::

    weights        the network's parameters and buffers
    gradients      those alive at the fullest moment of training
    optimizer      what it remembers per trained parameter
    activations    what forward keeps for backward, and the images
    workspace      results on their way, gradients of results, what the optimizer's step needs meanwhile; on a CPU
                   also what the allocator holds in pieces that fit no tensor
    evaluation     what an evaluation batch takes beyond the fullest moment of training
    features       what came out of a frozen part that runs once; in the memory of the processor

The moments come from ``step_memory``. Counted are tensors; what a library takes besides (convolution workspaces) is not
known beforehand, and ``RESERVES_MIB`` stands for it.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from fine_tuner.base.errors import ConfigError
from fine_tuner.config.sections.optimizers import OptimizerSettings
from fine_tuner.distributed.devices import device_name
from fine_tuner.memory.readings import memory_limit_mib, process_mib
from fine_tuner.memory.sized_tensors import Moment
from fine_tuner.memory.step_memory import StepMemory, StepSetup, step_memory
from fine_tuner.precision import half_for
from fine_tuner.tasks.build import Assembly
from fine_tuner.tasks.mixed import MixedLoss

MIB = 2**20
LARGEST_BATCH = 65_536  # as the field's bound
# What no tensor shows. On a CPU: kernels that libraries make at the first steps, and memory that the allocator holds in
# pieces that fit no tensor of the next step, which grows with the activations. Peak of the process over a run of a few
# steps less its tensors, MiB: shufflenet_v2_x0_5 at 4 images of 96 px 220, resnet18 at 16 of 224 px 259, resnet50 at 8
# 315, mobilenet_v2 at 16 417, efficientnet_b0 at 16 554; with these two numbers the forecast is 0 to 9 % above, of the
# networks in benchmarks/README.md. On a GPU: the driver's context and the libraries' workspaces, an estimate without a
# measurement.
RESERVES_MIB: Mapping[str, int] = {"cpu": 225, "cuda": 700, "mps": 300}
SCATTERED = 0.25  # of the activations, on a CPU
SCATTERED_AGAIN = 0.35  # of those that are made again: resnet50 at 8 and 16 images of 224 px, densenet121, vit_b_16
_READ_AHEAD = 2  # micro-batches that the loading threads hold


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """Memory of tensors at the fullest moment, MiB."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    workspace: float
    evaluation: float
    features: float = 0.0

    @property
    def total(self) -> float:
        """All of it, MiB."""
        return sum(asdict(self).values())

    def to_json(self) -> dict[str, float]:
        """The parts and ``total``, MiB with one decimal."""
        return {name: round(value, 1) for name, value in (asdict(self) | {"total": self.total}).items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Counted:
    """What the parts are counted from; ``at`` a batch size they are a forecast.

    Attributes:
        states: Tensors that the optimizer keeps per parameter.
        accumulate: Micro-batches of a step.
        is_gpu: Tensors live on a GPU, apart from the batches that wait.
        copies: Copies of the weights besides those that train: the averaged ones; on a CPU also those that the run
            began with, kept to go back to until there is a checkpoint.
        features: Bytes kept of a frozen part that runs once, on a CPU.
        made_per_image: Bytes of the activations that are made again in the backward pass: they scatter, too.
    """

    step: StepMemory
    states: int
    accumulate: int = 1
    is_gpu: bool = False
    copies: int = 0
    features: float = 0.0
    made_per_image: float = 0.0

    def at(self, batch_size: int) -> Forecast:
        """The forecast for micro-batches of this size."""
        step = self.step
        waiting = 2 if self.is_gpu else self.accumulate + _READ_AHEAD  # on a CPU all of the step are there
        images = waiting * batch_size * step.image
        # Adam and its like update all parameters at once on a GPU, through one more tensor of each.
        update = step.trained if self.is_gpu and self.states > 1 else 2 * step.largest
        stepping = Moment(gradients=step.trained, kept=0, other=update, kept_per_image=0.0, other_per_image=0.0)
        fullest = max((*step.training, stepping), key=lambda moment: moment.at(batch_size))
        evaluating = max((moment.at(batch_size) for moment in step.evaluating), default=0.0) + batch_size * step.image
        training = fullest.at(batch_size) + images
        activations = fullest.kept + batch_size * fullest.kept_per_image + images
        scattered = max(SCATTERED * activations, SCATTERED_AGAIN * batch_size * self.made_per_image)
        scattered = 0.0 if self.is_gpu else scattered
        parts = {
            "weights": step.weights * (1 + self.copies),
            "gradients": fullest.gradients,
            "optimizer": self.states * step.trained,
            "activations": activations,
            "workspace": fullest.other + batch_size * fullest.other_per_image + scattered,
            "evaluation": max(0.0, evaluating - training),
            "features": self.features,
        }
        return Forecast(**{name: value / MIB for name, value in parts.items()})

    def largest_batch_size(self, limit_mib: float, *, most: int = LARGEST_BATCH) -> int:
        """The largest micro-batch whose forecast is within a limit; 0 if not even one image is."""
        low, high = 0, most + 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.at(middle).total <= limit_mib else (low, middle)
        return low


@dataclass(frozen=True, kw_only=True, slots=True)
class RunForecast:
    """The forecast of a run beside the memory there is.

    Attributes:
        parts: Of tensors, MiB.
        base_mib: What is taken besides tensors: on a CPU by the process, on a GPU by driver and libraries.
        limit_mib: Memory there is.
        largest_batch_size: That fits; no more than there are images.
        other: The same in the other precision: float32 beside half, or half beside float32.
        checkpointed_mib: What a run that does not fit would take if blocks made their activations again; None where
            that is no way out.
    """

    dtype: str
    batch_size: int
    parts: Forecast
    base_mib: float
    limit_mib: float
    largest_batch_size: int
    other: RunForecast | None = None
    checkpointed_mib: float | None = None

    @property
    def total_mib(self) -> float:
        """Tensors and what is taken besides, MiB."""
        return self.parts.total + self.base_mib

    @property
    def fits(self) -> bool:
        """Whether there is that much."""
        return self.total_mib <= self.limit_mib

    def to_json(self) -> dict[str, Any]:
        """For ``plan --json`` and the page."""
        return {
            "dtype": self.dtype,
            "parts": self.parts.to_json(),
            "base_mib": round(self.base_mib, 1),
            "total_mib": round(self.total_mib, 1),
            "fits": self.fits,
            "largest_batch_size": self.largest_batch_size,
        }


def forecast_run(assembly: Assembly, *, is_outline: bool = False) -> RunForecast:
    """The forecast of an assembled run, and of its other precision.

    Args:
        assembly: Its objects.
        is_outline: They are those of a plan: the network has no data yet.
    """
    dtype = assembly.precision.dtype
    half = half_for(assembly.device)
    forecast = _forecast_in(dtype, assembly, is_outline=is_outline)
    other = half if dtype == "fp32" else "fp32"
    return replace(
        forecast,
        other=_forecast_in(other, assembly, is_outline=is_outline),
        checkpointed_mib=None if forecast.fits else _checkpointed_mib(dtype, assembly, is_outline=is_outline),
    )


def _checkpointed_mib(dtype: str, assembly: Assembly, *, is_outline: bool) -> float | None:
    """What the run would take with activations made again, if it then fits and can be had."""
    settings = assembly.settings
    if settings.train.checkpoint_activations or settings.precision.compile:
        return None
    forecast = _forecast_in(dtype, assembly, is_outline=is_outline, is_checkpointed=True)
    return forecast.total_mib if forecast.fits else None


def _forecast_in(
    dtype: str, assembly: Assembly, *, is_outline: bool, is_checkpointed: bool | None = None
) -> RunForecast:
    counted = counted_of(assembly, dtype, is_checkpointed=is_checkpointed)
    images = len(assembly.data.splits["train"])
    batch_size = min(assembly.settings.train.batch_size, images)
    limit_mib = memory_limit_mib(assembly.device)
    base_mib = _base_mib(assembly.device, None if is_outline else counted.step.weights / MIB)
    return RunForecast(
        dtype=dtype,
        batch_size=batch_size,
        parts=counted.at(batch_size),
        base_mib=base_mib,
        limit_mib=limit_mib,
        largest_batch_size=counted.largest_batch_size(limit_mib - base_mib, most=min(images, LARGEST_BATCH)),
    )


def counted_of(assembly: Assembly, dtype: str, *, is_checkpointed: bool | None = None) -> Counted:
    """What a forecast of a run counts, in a precision; ``is_checkpointed`` as the run has it, or as given."""
    settings, built, optim = assembly.settings, assembly.built, assembly.settings.optim
    setup = StepSetup(
        name=built.name,
        num_outputs=built.num_outputs,
        options=tuple(sorted(built.options.items())),
        stages=tuple(built.stages),
        image_size=built.preprocessing.image_size,
        task=settings.task,
        trainable=settings.model.trainable,
        dtype=dtype,
        device_type=assembly.device.type,
        accumulates=settings.train.accumulate > 1,
        is_mixed=isinstance(assembly.loss_fn, MixedLoss),
        is_checkpointed=settings.train.checkpoint_activations if is_checkpointed is None else is_checkpointed,
    )
    is_made_again = setup.is_checkpointed and assembly.device.type == "cpu"
    made = step_memory(replace(setup, is_checkpointed=False), assembly.loss_fn) if is_made_again else None
    return Counted(
        step=step_memory(setup, assembly.loss_fn),
        made_per_image=made.kept_per_image if made else 0.0,
        states=optimizer_states(optim),
        accumulate=settings.train.accumulate,
        is_gpu=assembly.device.type != "cpu",
        features=assembly.features.mib * MIB if assembly.device.type == "cpu" else 0.0,
        copies=int(bool(settings.train.ema_decay)) + (assembly.device.type == "cpu"),
    )


def optimizer_states(settings: OptimizerSettings) -> int:
    """Tensors that an optimizer of ``torch.optim`` keeps per parameter."""
    return settings.num_states + (getattr(settings, "momentum", 0.0) != 0)


def _base_mib(device: torch.device, weights_mib: float | None) -> float:
    """What is taken besides tensors: by a GPU's driver, or by the process that trains.

    Args:
        device: Of the run.
        weights_mib: Weights that this process holds and that are counted as tensors; None: it will not train, but one
            like it will.
    """
    reserve = RESERVES_MIB.get(device.type, 0)
    if device.type != "cpu":
        return reserve
    return reserve + (_first_process_mib() if weights_mib is None else max(0.0, process_mib() - weights_mib))


@functools.cache
def _first_process_mib() -> float:
    """This process before it has answered many questions."""
    return process_mib()


def expected_mib(forecast: RunForecast, device: torch.device) -> float:
    """What the chart will show at the peak: on a CPU the process, on a GPU its tensors."""
    return forecast.total_mib if device.type == "cpu" else forecast.parts.total


def check_fits(forecast: RunForecast, device: torch.device) -> None:
    """Refuse a run that cannot fit into the memory there is.

    Raises:
        ConfigError: At ``train.batch_size``, with the largest that fits.
    """
    if not forecast.fits:
        raise ConfigError({"train.batch_size": misfit_words(forecast, device)})


def misfit_words(forecast: RunForecast, device: torch.device) -> str:
    """What is too much, and what to do."""
    wanted, there = forecast.total_mib / 1024, forecast.limit_mib / 1024
    fitting = forecast.largest_batch_size
    remedy = f"Choose at most {fitting}" if fitting >= 1 else "Choose a smaller network or image"
    again = forecast.checkpointed_mib
    other = (
        "" if again is None else f" Or turn train.checkpoint_activations on: about {again / 1024:.1f} GiB, and slower."
    )
    return (
        f"{forecast.batch_size} images would take about {wanted:.1f} GiB, and {device_name(device)} has {there:.1f}. "
        f"{remedy}, and raise train.accumulate instead.{other}"
    )
