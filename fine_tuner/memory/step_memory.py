"""What one step holds in memory, moment by moment: forward, loss and backward are run on tensors without data.

Nothing is computed and no device is used. The answer is per image and for what does not depend on the batch, so that
one run of it answers for every batch size; it is remembered.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from fine_tuner.config.tasks import TargetKind, target_kind
from fine_tuner.data.loading.mixing import MixedTargets
from fine_tuner.losses.custom import CustomLossModule
from fine_tuner.memory.sized_tensors import Ledger, Moment, SizedTensor, prime_for, use_sized_tensors
from fine_tuner.models.activation_checkpointing import blocks_of, checkpoint_activations
from fine_tuner.models.freezing import Freezing, Trainable
from fine_tuner.models.outputs import loss_of_outputs, split_outputs
from fine_tuner.models.probe import construct
from fine_tuner.models.stages import Stage
from fine_tuner.precision import DTYPES
from fine_tuner.tasks.mixed import MixedLoss

_KEPT = 32


@dataclass(frozen=True, kw_only=True)
class StepSetup:
    """What decides the memory of a step besides batch size and optimizer.

    Attributes:
        name: Of the network.
        options: Arguments of torchvision's builder, as sorted pairs.
        stages: Of the network, for what trains.
        dtype: fp32, bf16 or fp16.
        device_type: Decides what autocast runs in half precision.
        accumulates: Gradients of earlier micro-batches are there while a later one runs.
        is_mixed: Each image is mixed of two and has two targets.
        is_checkpointed: Blocks make their activations again in the backward pass.
    """

    name: str
    num_outputs: int
    options: tuple[tuple[str, Any], ...]
    stages: tuple[Stage, ...]
    image_size: int
    task: str
    trainable: Trainable
    dtype: str
    device_type: str = "cpu"
    accumulates: bool = False
    is_mixed: bool = False
    is_checkpointed: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class StepMemory:
    """Bytes of a step.

    Attributes:
        weights: Parameters and buffers.
        trained: Parameters that train at some time.
        largest: The largest of them.
        training: The moments of forward and backward that can be the fullest.
        evaluating: Those of a forward pass without gradients.
        kept: What forward keeps for backward whatever the batch: half-precision copies of weights.
        kept_per_image: What forward keeps for backward per image, the image included.
        image: One image with its target.
    """

    weights: int
    trained: int
    largest: int
    training: tuple[Moment, ...]
    evaluating: tuple[Moment, ...]
    kept: int
    kept_per_image: float
    image: float


class _MemoryCache:
    """Step memory by setup and loss, the last asked for."""

    def __init__(self) -> None:
        self.known: dict[tuple[StepSetup, str], StepMemory] = {}

    def get(self, key: tuple[StepSetup, str], make: Callable[[], StepMemory]) -> StepMemory:
        if key not in self.known:
            while len(self.known) >= _KEPT:
                self.known.pop(next(iter(self.known)))
            self.known[key] = make()
        return self.known[key]


_KNOWN = _MemoryCache()


def step_memory(setup: StepSetup, loss_fn: nn.Module) -> StepMemory:
    """Memory of a step; remembered by setup and by what ``loss_fn`` prints as.

    Args:
        setup: Of the step.
        loss_fn: As the trainer has it; a loss of the user's own is not run but counted as cross entropy is.
    """
    return _KNOWN.get((setup, repr(loss_fn)), lambda: _simulate(setup, loss_fn))


def _simulate(setup: StepSetup, loss_fn: nn.Module) -> StepMemory:
    model = construct(setup.name, setup.num_outputs, dict(setup.options), on_meta=True).to("meta")
    trainable = "all" if setup.trainable == "gradual" else setup.trainable  # the later phase counts
    if setup.is_checkpointed:
        checkpoint_activations(model, blocks_of(model, setup.stages[-1].parameter_names))
    freezing = Freezing(_Staged(model, setup.stages), trainable)
    weights = sum(t.nbytes for t in (*model.parameters(), *model.buffers()))
    trained = [p.nbytes for p in model.parameters() if p.requires_grad]
    ledger = Ledger(prime_for(model))
    use_sized_tensors(model, ledger)
    loss = _counted_loss(loss_fn, ledger)
    images = ledger.sized_tensor(ledger.batch_size, 3, setup.image_size, setup.image_size, is_counted=False)
    targets = _targets(setup, ledger)
    image = sum(t.nbytes for t in (images, *_tensors(targets))) / ledger.batch_size

    freezing.model = model
    freezing.set_train_mode()
    with _watched(model, ledger, setup):
        with _autocast(setup):
            output = model(images)
        value = loss_of_outputs(output, targets, loss)
        kept, kept_per_image = ledger.kept, ledger.kept_per_image + image
        value.backward()
    training = ledger.fullest()
    for parameter in model.parameters():
        parameter.grad = None
    del output, value

    ledger.fullest()
    evaluating = _evaluation(model, images, targets, loss, setup, ledger)
    return StepMemory(
        weights=weights, trained=sum(trained), largest=max(trained, default=0), training=training,
        evaluating=evaluating, kept=kept, kept_per_image=kept_per_image, image=image,
    )  # fmt: skip


def _evaluation(
    model: nn.Module, images: Tensor, targets: Any, loss: nn.Module, setup: StepSetup, ledger: Ledger
) -> tuple[Moment, ...]:
    """The fullest moments of evaluation; targets are never mixed in it."""
    model.eval()
    with torch.no_grad():
        with _autocast(setup):
            logits, _ = split_outputs(model(images))
        loss(logits.float(), targets.first if isinstance(targets, MixedTargets) else targets)
    return ledger.fullest()


@contextmanager
def _watched(model: nn.Module, ledger: Ledger, setup: StepSetup) -> Iterator[None]:
    """Count what is saved and the gradients; without gradients of earlier micro-batches, they come one by one."""
    trained = [p for p in model.parameters() if p.requires_grad]
    for parameter in trained:
        if setup.accumulates:
            parameter.grad = ledger.sized_tensor(*parameter.shape, is_counted=True)
            ledger.has_gradient(parameter)
        else:
            parameter.register_post_accumulate_grad_hook(ledger.has_gradient)
    with torch.autograd.graph.saved_tensors_hooks(ledger.keep, lambda tensor: tensor):
        yield


@dataclass(frozen=True)
class _Staged:
    """What ``Freezing`` needs to know of a network."""

    model: nn.Module
    stages: tuple[Stage, ...]


def _targets(setup: StepSetup, ledger: Ledger) -> Any:
    """Targets of a batch, as the loss wants them."""
    batch, outputs, side = ledger.batch_size, setup.num_outputs, setup.image_size
    shapes = {TargetKind.CLASS: (batch,), TargetKind.MASK: (batch, side, side)}
    dtype = torch.int64 if target_kind(setup.task) in shapes else torch.float32
    targets = ledger.sized_tensor(*shapes.get(target_kind(setup.task), (batch, outputs)), dtype=dtype, is_counted=False)
    if not setup.is_mixed:
        return targets
    second = ledger.sized_tensor(*targets.shape, dtype=dtype, is_counted=False)
    return MixedTargets(targets, second, 0.5)


def _tensors(targets: Any) -> tuple[Tensor, ...]:
    return (targets.first, targets.second) if isinstance(targets, MixedTargets) else (targets,)


class _CountedAsCrossEntropy(nn.Module):
    """In the place of a user's own code, which is run nowhere but in its check and in training."""

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Scalar."""
        return F.log_softmax(logits.float(), dim=1).mean()


def _counted_loss(loss_fn: nn.Module, ledger: Ledger) -> nn.Module:
    """A copy of the loss whose buffers have no data."""
    if any(isinstance(part, CustomLossModule) for part in loss_fn.modules()):
        counted: nn.Module = _CountedAsCrossEntropy()
        return MixedLoss(counted) if isinstance(loss_fn, MixedLoss) else counted
    loss = copy.deepcopy(loss_fn)
    use_sized_tensors(loss, ledger)
    return loss


# --------------------------------------------------------------- autocast
@contextmanager
def _autocast(setup: StepSetup) -> Iterator[None]:
    half = DTYPES[setup.dtype]
    with torch.autocast("cpu", dtype=half or torch.bfloat16, enabled=half is not None):
        is_gpu = half is not None and setup.device_type != "cpu"
        with _GpuCasts() if is_gpu else nullcontext():
            yield


class _GpuCasts(TorchFunctionMode):
    """Where a GPU's autocast differs from a CPU's, in what torchvision's networks use.

    Source: torch docs, Automatic Mixed Precision package, op reference: norms and softmax run in float32 on CUDA and
    as they come on a CPU; interpolation the other way round.
    """

    _IN_FLOAT32 = frozenset({F.layer_norm, F.group_norm, F.softmax, torch.softmax})

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in self._IN_FLOAT32 and args and isinstance(args[0], SizedTensor):
            args = (args[0].float(), *args[1:])
        if func is F.interpolate:
            with torch.autocast("cpu", enabled=False):
                return func(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))
