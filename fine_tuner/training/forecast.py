"""How much memory a step will take, before it is taken: counted on tensors without data, so the device is not used.

::

    weights        the network's parameters and buffers
    gradients      one number per trained parameter
    optimizer      what it remembers per trained parameter
    activations    what forward keeps for backward, counted by hooks on every saved tensor
    workspace      the largest activation and its gradient, alive at once in backward

A saved tensor is counted once per storage, whatever views of it are kept; parameters are not counted again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial

import psutil
import torch
from torch import Tensor, nn

from fine_tuner.distributed import device_name
from fine_tuner.errors import ConfigError
from fine_tuner.models.build import BuiltModel
from fine_tuner.models.freezing import Freezing, Trainable
from fine_tuner.models.outputs import split_outputs
from fine_tuner.models.probe import construct
from fine_tuner.precision import DTYPES
from fine_tuner.tasks.build import Assembly
from fine_tuner.training.memory import memory_limit_mib

MIB = 2**20
# Tensors of the parameter's shape that an optimizer of torch keeps, in float32; momentum is one more where it is used.
_STATES: Mapping[str, int] = {"SGD": 0, "Adagrad": 1, "RMSprop": 1, "Adafactor": 0}
_MOST_STATES = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """Memory of one step at its peak, MiB."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    workspace: float

    @property
    def total(self) -> float:
        """All of it, MiB."""
        return sum(asdict(self).values())

    def to_json(self) -> dict[str, float]:
        """The parts and ``total``, MiB with one decimal."""
        return {name: round(value, 1) for name, value in (asdict(self) | {"total": self.total}).items()}


def forecast_of(assembly: Assembly) -> Forecast:
    """The forecast of an assembled run."""
    settings = assembly.settings
    return forecast_memory(
        assembly.built,
        batch_size=min(settings.train.batch_size, len(assembly.data.splits["train"])),
        trainable=settings.model.trainable,
        dtype=assembly.precision.dtype,
        optimizer=settings.optim.name,
        momentum=getattr(settings.optim, "momentum", 0.0),
        device_type=assembly.device.type,
    )


def expected_mib(forecast: Forecast, device: torch.device) -> float:
    """What the chart will show at the peak: on a CPU the process, which holds more than tensors."""
    if device.type != "cpu":
        return forecast.total
    return psutil.Process().memory_info().rss / MIB + forecast.total - forecast.weights


def check_fits(assembly: Assembly, forecast: Forecast) -> None:
    """Refuse a run that cannot fit into the memory there is.

    Raises:
        ConfigError: At ``train.batch_size``, with the largest that fits.
    """
    limit = memory_limit_mib(assembly.device)
    if forecast.total <= limit:
        return
    batch_size = assembly.settings.train.batch_size
    per_image = (forecast.activations + forecast.workspace) / batch_size
    fitting = int((limit - forecast.weights - forecast.gradients - forecast.optimizer) / per_image)
    wanted, there = forecast.total / 1024, limit / 1024
    remedy = f"Choose at most {fitting}" if fitting >= 1 else "Choose a smaller network or image"
    message = (
        f"{batch_size} images would take about {wanted:.1f} GiB, and {device_name(assembly.device)} has {there:.1f}."
    )
    raise ConfigError({"train.batch_size": f"{message} {remedy}, and raise train.accumulate instead."})


def forecast_memory(
    built: BuiltModel,
    *,
    batch_size: int,
    trainable: Trainable,
    dtype: str,
    optimizer: str,
    momentum: float = 0.0,
    device_type: str = "cpu",
) -> Forecast:
    """Memory of a training step with everything thawed that will train at some time.

    Args:
        built: The network; only its structure is read.
        batch_size: Images of one micro-batch.
        trainable: As ``model.trainable``.
        dtype: fp32, bf16 or fp16.
        optimizer: Name of the class in ``torch.optim``.
        momentum: Of SGD or RMSprop; one more number per parameter if it is not 0.
        device_type: Decides what autocast runs in half precision.
    """
    model = construct(built.name, built.num_outputs, built.options, on_meta=True).to("meta")
    freezing = Freezing(_Staged(model, built.stages), "all" if trainable == "gradual" else trainable)
    freezing.set_train_mode()
    weights = sum(t.nbytes for t in (*model.parameters(), *model.buffers()))
    trained = sum(p.nbytes for p in model.parameters() if p.requires_grad)
    states = _STATES.get(optimizer, _MOST_STATES) + (momentum != 0)
    activations, largest = _saved_bytes(
        model, batch_size=batch_size, image_size=built.preprocessing.image_size, dtype=dtype, device_type=device_type
    )
    return Forecast(
        weights=weights / MIB,
        gradients=trained / MIB,
        optimizer=states * trained / MIB,
        activations=activations / MIB,
        workspace=2 * largest / MIB,
    )


@dataclass(frozen=True)
class _Staged:
    """What ``Freezing`` needs to know of a network."""

    model: nn.Module
    stages: tuple


def _saved_bytes(
    model: nn.Module, *, batch_size: int, image_size: int, dtype: str, device_type: str
) -> tuple[int, int]:
    """Bytes that forward keeps for backward, and those of the largest single tensor."""
    counted: dict[int, Tensor] = {}
    images = torch.empty(batch_size, 3, image_size, image_size, device="meta")
    known = {t.untyped_storage()._cdata for t in (images, *model.parameters(), *model.buffers())}

    def pack(tensor: Tensor) -> Tensor:
        key = tensor.untyped_storage()._cdata
        if key not in known:
            counted.setdefault(key, tensor)  # kept alive, so that no other storage gets its address
        return tensor

    half = DTYPES[dtype]
    autocast = partial(torch.autocast, device_type, dtype=half or torch.bfloat16, enabled=half is not None)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        with autocast():
            logits, auxiliary = split_outputs(model(images))
        total = logits.float().sum()
        for _, aux_logits in auxiliary:
            total = total + aux_logits.float().sum()
    sizes = [tensor.untyped_storage().nbytes() for tensor in counted.values()]
    return sum(sizes) + images.nbytes, max(sizes, default=images.nbytes)
