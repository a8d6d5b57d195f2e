"""An accelerator for machines without one: a device of its own to torch, whose tensors lie in host memory.

What a GPU forbids is forbidden here too: an operation that mixes its tensors with those of the CPU (but for scalars
without dimensions, which CUDA takes), reading its memory as a NumPy array, and using it without a copy that was asked
for. Everything else is computed by torch's kernels for the CPU, so that numbers are those of a run on the CPU.

Made of torch's own means for devices from outside: the PrivateUse1 key, its Python hooks, and a wrapper subclass.
``python stand_in_device.py ARGUMENTS`` is ``python -m fine_tuner ARGUMENTS`` where this device is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
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
        if target is not None:
            kwargs["device"] = torch.device("cpu")
        if kwargs.get("pin_memory"):
            raise RuntimeError(f"memory of {NAME} cannot be pinned")
        result = func(*tree_map(_unwrap, args), **tree_map(_unwrap, kwargs))
        if target is not None and torch.device(target).type == "cpu":
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


class _Module:
    """What ``torch.standin`` is."""

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
        pass

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.float16, torch.bfloat16]


@cache
def stand_in() -> torch.device:
    """The device; known to torch in this process from the first call on."""
    backend_registration._setup_privateuseone_for_python_backend(NAME, backend_module=_Module())
    library = torch.library.Library("aten", "IMPL")
    for operator, make in (("empty.memory_format", torch.empty), ("empty_strided", torch.empty_strided)):
        library.impl(operator, _factory(make), "PrivateUse1")
    _KEPT.append(library)
    return torch.device(NAME, 0)


_KEPT: list[Any] = []


def _factory(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def made(
        *sizes: Any, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: Any = None, **more: Any
    ):
        return StandInTensor(make(*sizes, dtype=dtype, **{k: v for k, v in more.items() if v is not None}))

    return made


if __name__ == "__main__":
    from fine_tuner.cli.main import main

    stand_in()
    sys.exit(main(sys.argv[1:]))
