"""An accelerator for machines without one: a device of its own to torch, whose tensors lie in host memory.

What a GPU forbids is forbidden here too: an operation that mixes its tensors with those of the CPU (but for scalars
without dimensions, which CUDA takes), reading its memory as a NumPy array, and using it without a copy that was asked
for. It counts its memory, which runs out where ``STAND_IN_MIB`` says, and draws random numbers from a generator of its
own. Everything else is computed by torch's kernels for the CPU, so that numbers are those of a run on the CPU.

Made of torch's own means for devices from outside: the PrivateUse1 key, its Python hooks, and a wrapper subclass.
``python stand_in_device.py stand-in ARGUMENTS`` is ``python -m fine_tuner ARGUMENTS`` where this device is, and
``real`` in its place where it is not. A ``+`` stands between several commands, which end with the first that fails.
"""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._pytree import tree_map

NAME = "standin"
_COPIES = {"aten::copy_", "aten::_to_copy", "aten::_copy_from", "aten::_copy_from_and_resize"}


class StandInTensor(Tensor):
    """A tensor of the device; ``host`` holds its numbers, where no operation of the CPU reaches them."""

    host: Tensor

    @staticmethod
    def __new__(cls, host: Tensor) -> StandInTensor:
        wrapper = Tensor._make_wrapper_subclass(
            cls, host.size(), strides=host.stride(), storage_offset=host.storage_offset(), dtype=host.dtype,
            device=torch.device(NAME, 0),
        )  # fmt: skip
        wrapper.host = host
        MEMORY.take(host, wrapper)
        return wrapper

    def tolist(self) -> Any:
        """As a tensor of any device; torch does not do it for subclasses."""
        return self.host.tolist()

    def __reduce_ex__(self, protocol: int) -> Any:
        """Saved as its numbers, as tensors of other devices are; what is loaded is asked onto the device again."""
        return self.host.__reduce_ex__(protocol)

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        name = func._schema.name
        target = kwargs.get("device")
        if name not in _COPIES:
            _refuse_mixed(func, args, kwargs)
        is_for_other = target is not None and torch.device(target).type != NAME
        if target is not None and not is_for_other:
            kwargs["device"] = torch.device("cpu")
        if kwargs.get("pin_memory"):
            raise RuntimeError(f"memory of {NAME} cannot be pinned")
        with _own_generator(torch.Tag.nondeterministic_seeded in func.tags):
            result = func(*tree_map(_unwrap, args), **tree_map(_unwrap, kwargs))
        if is_for_other:
            return result
        if name == "aten::copy_" and not isinstance(args[0], StandInTensor):
            return args[0]
        changed = [a for a in (*args, *kwargs.values()) if isinstance(a, StandInTensor)]
        return tree_map(lambda value: _wrap(value, changed), result)


def _refuse_mixed(func: Any, args: Any, kwargs: Any) -> None:
    found: list[Tensor] = []
    tree_map(lambda value: found.append(value) if isinstance(value, Tensor) else None, (args, kwargs))
    strangers = [t for t in found if not isinstance(t, StandInTensor) and t.ndim > 0]
    if strangers:
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found at least two devices, {NAME}:0 and "
            f"{strangers[0].device}! ({func})"
        )


def _unwrap(value: Any) -> Any:
    return value.host if isinstance(value, StandInTensor) else value


def _wrap(value: Any, known: list[StandInTensor]) -> Any:
    """The tensor of the device for one of the host; an operation in place gives the one that it changed."""
    if not isinstance(value, Tensor) or isinstance(value, StandInTensor):
        return value
    changed = [one for one in known if one.host is value]
    return changed[0] if changed else StandInTensor(value)


class _Memory:
    """Bytes of the tensors that are alive, each storage once, and their peak; there are ``STAND_IN_MIB`` of them."""

    def __init__(self) -> None:
        self.limit = int(float(os.environ.get("STAND_IN_MIB", 1024)) * 2**20)
        self.taken = self.peak = 0
        self.is_overrun = False  # in a backward pass
        self._holders: dict[int, int] = {}  # by storage: tensors that share it

    def take(self, host: Tensor, holder: Tensor) -> None:
        storage = host.untyped_storage()
        self._holders[storage._cdata] = self._holders.get(storage._cdata, 0) + 1
        weakref.finalize(holder, self._give_back, storage._cdata, storage.nbytes()).atexit = False
        if self._holders[storage._cdata] == 1:
            self.taken += storage.nbytes()
            self.peak = max(self.peak, self.taken)
        self.is_overrun |= self.taken > self.limit
        if torch._C._current_graph_task_id() == -1:
            self.refuse()

    def refuse(self) -> None:
        """Raise if there was too little. Not inside of a backward pass: an error of Python's there ends the process."""
        if self.is_overrun:
            self.is_overrun = False
            raise torch.OutOfMemoryError(f"{NAME} out of memory: more than {self.limit} bytes")

    def _give_back(self, storage: int, size: int) -> None:
        self._holders[storage] -= 1
        if not self._holders[storage]:
            del self._holders[storage]
            self.taken -= size


MEMORY = _Memory()
_torch_s_backward = torch.autograd.backward


def _backward(*args: Any, **kwargs: Any) -> None:
    _torch_s_backward(*args, **kwargs)
    MEMORY.refuse()


class _Module:
    """What ``torch.standin`` is: the functions that makers of accelerators give their modules."""

    def __init__(self) -> None:
        self.draws = torch.Generator().get_state()  # of the device's own generator

    def is_initialized(self) -> bool:
        return True

    def is_available(self) -> bool:
        return True

    def current_device(self) -> int:
        return 0

    def device_count(self) -> int:
        return 1

    def _is_in_bad_fork(self) -> bool:
        return False

    def manual_seed_all(self, seed: int) -> None:
        self.draws = torch.Generator().manual_seed(seed).get_state()

    def get_rng_state(self, device: Any) -> Tensor:
        return self.draws

    def set_rng_state(self, state: Tensor, device: Any) -> None:
        self.draws = state

    def synchronize(self, device: Any) -> None:
        pass

    def empty_cache(self) -> None:
        pass

    def memory_reserved(self, device: Any) -> int:
        return MEMORY.taken

    def max_memory_allocated(self, device: Any) -> int:
        return MEMORY.peak

    def max_memory_reserved(self, device: Any) -> int:
        return MEMORY.peak

    def reset_peak_memory_stats(self, device: Any) -> None:
        MEMORY.peak = MEMORY.taken

    def mem_get_info(self, device: Any) -> tuple[int, int]:
        return MEMORY.limit - MEMORY.taken, MEMORY.limit

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.float16, torch.bfloat16]


MODULE = _Module()


@contextmanager
def _own_generator(is_drawing: bool) -> Iterator[None]:
    """What is drawn inside comes from the device's generator; torch's kernels for the CPU know only the CPU's."""
    if not is_drawing:
        yield
        return
    kept = torch.get_rng_state()
    torch.set_rng_state(MODULE.draws)
    try:
        yield
    finally:
        MODULE.draws = torch.get_rng_state()
        torch.set_rng_state(kept)


@cache
def stand_in() -> torch.device:
    """The device; known to torch in this process from the first call on."""
    backend_registration._setup_privateuseone_for_python_backend(NAME, backend_module=MODULE)
    library = torch.library.Library("aten", "IMPL")
    for operator, make in (("empty.memory_format", torch.empty), ("empty_strided", torch.empty_strided)):
        library.impl(operator, _factory(make), "PrivateUse1")
    for names, is_half in ((_IN_HALF, True), (_IN_FLOAT32, False)):
        for operator in names:
            packet, _, overload = operator.partition(".")
            function = getattr(getattr(torch.ops.aten, packet), overload or "default")
            library.impl(operator, _autocasting(function, is_half=is_half), "AutocastPrivateUse1")
    others = torch.library.Library("_", "IMPL")
    others.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    _KEPT.extend((library, others))
    torch.autograd.backward = _backward
    # A network in another layout gets new parameters: ``.data`` of a wrapper does not reach what it wraps.
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    return torch.device(NAME, 0)


_KEPT: list[Any] = []


def _factory(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def made(
        *sizes: Any, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: Any = None, **more: Any
    ):
        return StandInTensor(make(*sizes, dtype=dtype, **{k: v for k, v in more.items() if v is not None}))

    return made


# As in CUDA's autocast, of what torchvision's networks use. Source: torch docs, Automatic Mixed Precision package.
_IN_HALF = ("conv2d", "linear", "matmul", "mm", "bmm", "addmm", "baddbmm", "conv_transpose2d.input")
_IN_FLOAT32 = ("layer_norm", "group_norm", "softmax.int", "log_softmax.int", "native_layer_norm")


def _autocasting(function: Any, *, is_half: bool) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        dtype = torch.get_autocast_dtype(NAME) if is_half else torch.float32

        def cast(value: Any) -> Any:
            return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value

        with torch.autocast(NAME, enabled=False):
            return function(*tree_map(cast, args), **tree_map(cast, kwargs))

    return run


if __name__ == "__main__":
    from fine_tuner.cli.main import main

    if sys.argv[1] == "stand-in":
        stand_in()
    commands: list[list[str]] = [[]]
    for word in sys.argv[2:]:
        commands.append([]) if word == "+" else commands[-1].append(word)
    sys.exit(next((code for code in map(main, commands) if code), 0))
