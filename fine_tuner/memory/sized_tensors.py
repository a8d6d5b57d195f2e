"""Tensors without data that say they are on a CPU, and a ledger of the bytes they would hold.

A tensor on torch's meta device has a shape and no data, but autocast passes it by. A ``SizedTensor`` wraps one and
claims to be on a CPU, so that autocast, autograd and the hooks on saved tensors treat it like a real one; every
operation runs on the meta tensor inside. FakeTensor of torch does the same, four times slower, and for much else.

The ledger hears of every storage that is made and freed. Bytes in proportion to the batch are told from those that are
not by a trick: the batch has a prime number of images that divides no weight, so what it divides is per image.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

PRIMES = (61, 67, 71, 73, 79, 83, 89, 97)


@dataclass(frozen=True, slots=True)
class Moment:
    """Bytes alive besides weights and the batch itself: those that do not depend on the batch, and those per image.

    Attributes:
        gradients: Of parameters.
        kept: Kept for backward, whatever the batch: half-precision copies of weights.
        other: Everything else, whatever the batch.
        kept_per_image: Kept for backward.
        other_per_image: Results on their way, gradients of results.
    """

    gradients: int
    kept: int
    other: int
    kept_per_image: float
    other_per_image: float

    def at(self, batch_size: int) -> float:
        """Bytes for a batch."""
        fixed = self.gradients + self.kept + self.other
        return fixed + batch_size * (self.kept_per_image + self.other_per_image)


class Ledger:
    """Bytes of the storages alive, by kind, at every allocation.

    Args:
        batch_size: Of the images; one of ``PRIMES``.
    """

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self._alive: dict[int, weakref.ref] = {}
        self._kept: dict[int, bool] = {}
        self._bytes = {(is_kept, per_image): 0 for is_kept in (False, True) for per_image in (False, True)}
        self._gradients = 0
        self._moments: list[Moment] = []

    def sized_tensor(self, *shape: int, dtype: torch.dtype = torch.float32, is_counted: bool = True) -> SizedTensor:
        """A tensor without data; not counted if it is there before and after."""
        inner = torch.empty(shape, dtype=dtype, device="meta")
        if not is_counted:
            self._alive[inner.untyped_storage()._cdata] = weakref.ref(inner.untyped_storage())
        return SizedTensor(inner, self)

    def hear(self, inner: Tensor) -> None:
        """Count the storage of a tensor on the meta device until it is freed."""
        storage = inner.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._alive:
            return
        per_image = size % self.batch_size == 0

        def free(_: Any) -> None:
            self._bytes[self._kept.pop(key), per_image] -= size
            del self._alive[key]

        self._alive[key] = weakref.ref(storage, free)
        self._kept[key] = False
        self._bytes[False, per_image] += size
        self._note()

    def keep(self, tensor: Tensor) -> Tensor:
        """Hook on saved tensors: the bytes are kept for backward."""
        if isinstance(tensor, SizedTensor):
            storage = tensor.inner.untyped_storage()
            if self._kept.get(storage._cdata) is False:
                size = storage.nbytes()
                per_image = size % self.batch_size == 0
                self._kept[storage._cdata] = True
                self._bytes[False, per_image] -= size
                self._bytes[True, per_image] += size
        return tensor

    def has_gradient(self, parameter: Tensor) -> None:
        """Hook on a parameter: its gradient is there."""
        self._gradients += parameter.nbytes

    @property
    def kept(self) -> int:
        """Bytes kept for backward now, whatever the batch."""
        return self._bytes[True, False]

    @property
    def kept_per_image(self) -> float:
        """Bytes per image kept for backward now."""
        return self._bytes[True, True] / self.batch_size

    def _note(self) -> None:
        images = self.batch_size
        self._moments.append(
            Moment(
                gradients=self._gradients,
                kept=self._bytes[True, False],
                other=self._bytes[False, False] - self._gradients,
                kept_per_image=self._bytes[True, True] / images,
                other_per_image=self._bytes[False, True] / images,
            )
        )

    def fullest(self) -> tuple[Moment, ...]:
        """The moments that can be the fullest at some batch size, and forget all of them."""
        moments, self._moments = self._moments, []
        found: list[Moment] = []
        for moment in sorted(moments, key=lambda m: (m.kept_per_image + m.other_per_image, m.at(0)), reverse=True):
            if not found or moment.at(0) > found[-1].at(0):
                found.append(moment)
        return tuple(found)


class SizedTensor(Tensor):
    """A tensor without data that says it is on a CPU.

    Attributes:
        inner: The same on the meta device.
        ledger: Counts it.
    """

    inner: Tensor
    ledger: Ledger

    @staticmethod
    def __new__(cls: type[SizedTensor], inner: Tensor, ledger: Ledger) -> SizedTensor:
        """Wrap a tensor of the meta device and count it."""
        tensor = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device="cpu",
        )
        tensor.inner, tensor.ledger = inner, ledger
        ledger.hear(inner)
        return tensor

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run the operation on what is inside, wrap what comes out."""
        tensors: list[SizedTensor] = []
        inner_args = [_unwrap(value, tensors) for value in args]
        inner_kwargs = {name: _unwrap(value, tensors) for name, value in (kwargs or {}).items()}
        if func.__name__.split(".")[0] in _POINTWISE and not inner_kwargs and _are_alike(tensors):
            return SizedTensor(torch.empty_like(tensors[0].inner), tensors[0].ledger)
        short = _SHORT.get(func.__name__.split(".")[0])
        out = short(*inner_args) if short else func(*inner_args, **inner_kwargs)
        same = {id(tensor.inner): tensor for tensor in tensors}  # in-place operations return their input
        return _wrap(out, same, tensors[0].ledger)


# Operations whose result has shape and type of their operands, if these are alike: torch's own kernels for tensors
# without data are written in Python and take ten times as long.
_BACKWARD = ("threshold", "silu", "gelu", "hardswish", "hardsigmoid", "sigmoid", "hardtanh")
_POINTWISE = frozenset(
    {"add", "sub", "mul", "div", "relu", "sigmoid", "silu", "gelu", "hardswish", "hardsigmoid"}
    | {f"{name}_backward" for name in _BACKWARD}
)


def _batch_norm(images: Tensor, weight: Tensor | None, bias: Any, mean: Any, var: Any, training: bool, *_: Any) -> Any:
    """Result, and mean and deviation per channel, which evaluation does not keep."""
    channels = images.new_empty(images.shape[1] if training else 0, dtype=torch.float32)
    return torch.empty_like(images), channels, torch.empty_like(channels)


def _batch_norm_backward(grad: Tensor, images: Tensor, weight: Tensor | None, *rest: Any) -> Any:
    """Gradients of images, weight and bias, as far as they are wanted."""
    wanted = rest[-1]
    channels = images.new_empty(images.shape[1], dtype=torch.float32)
    made = (torch.empty_like(images), channels, torch.empty_like(channels))
    return tuple(tensor if is_wanted else None for tensor, is_wanted in zip(made, wanted, strict=True))


_SHORT = {"native_batch_norm": _batch_norm, "native_batch_norm_backward": _batch_norm_backward}


def _are_alike(tensors: list[SizedTensor]) -> bool:
    first = tensors[0].inner
    return all(s.inner.shape == first.shape and s.inner.dtype == first.dtype for s in tensors)


def _unwrap(value: Any, tensors: list[SizedTensor]) -> Any:
    if isinstance(value, SizedTensor):
        tensors.append(value)
        return value.inner
    if isinstance(value, (list, tuple)):
        return type(value)(_unwrap(item, tensors) for item in value)
    if isinstance(value, torch.device):
        return torch.device("meta")
    return value.to("meta") if isinstance(value, Tensor) else value


def _wrap(value: Any, same: Mapping[int, SizedTensor], ledger: Ledger) -> Any:
    if isinstance(value, Tensor):
        known = same.get(id(value))
        return SizedTensor(value, ledger) if known is None else known
    if isinstance(value, (list, tuple)):
        return tuple(_wrap(item, same, ledger) for item in value)
    return value


def use_sized_tensors(module: nn.Module, ledger: Ledger) -> None:
    """Put sized tensors, which are not counted, in the place of a module's parameters and buffers."""
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                tensor = ledger.sized_tensor(*parameter.shape, dtype=parameter.dtype, is_counted=False)
                part._parameters[name] = nn.Parameter(tensor, requires_grad=parameter.requires_grad)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = ledger.sized_tensor(*buffer.shape, dtype=buffer.dtype, is_counted=False)


def prime_for(module: nn.Module) -> int:
    """A batch size that divides the size of no parameter."""
    sizes = [p.numel() for p in module.parameters()]
    return next((prime for prime in PRIMES if all(size % prime for size in sizes)), PRIMES[0])
