"""Which device this process trains on, and its memory. Several are the same command under torchrun."""

from __future__ import annotations

import torch

from fine_tuner.base.errors import ConfigError
from fine_tuner.base.machine import local_rank
from fine_tuner.base.text import counted
from fine_tuner.launch.devices import rank_devices

_KINDS = ("cpu", "cuda", "mps", "xpu")  # ROCm calls itself cuda
_WRITE = "Write auto, cpu, cuda, cuda:1, mps or xpu; for several 0,1, all or cpu:2."


def choose_device(wanted: str) -> torch.device:
    """The device of this process among those named by ``devices``; ``auto`` is a GPU if there is one.

    Raises:
        ConfigError: If a name is not a device, or the machine does not have it.
    """
    devices, number = choose_devices(wanted), local_rank()
    if number >= len(devices):
        raise ConfigError({"devices": f"{wanted!r} is {counted(len(devices), 'device')}, and torchrun began more."})
    return devices[number]


def choose_devices(wanted: str) -> list[torch.device]:
    """The devices named by ``devices`` on this machine, one for each process.

    Raises:
        ConfigError: If a name is not a device, the machine does not have it, it comes twice, or kinds are mixed.
    """
    devices = [_device(word, wanted) for word in rank_devices(wanted, torch.accelerator.device_count)]
    if len({device.type for device in devices}) > 1:
        raise ConfigError({"devices": f"{wanted!r} mixes kinds of devices, which cannot train together. {_WRITE}"})
    if devices[0].type != "cpu" and len(set(devices)) < len(devices):
        raise ConfigError({"devices": f"{wanted!r} names a device twice. Name each once."})
    return devices


def _device(word: str, wanted: str) -> torch.device:
    """The device of one word of ``wanted``."""
    if word == "auto":
        found = torch.accelerator.current_accelerator(check_available=True)
        if found is None or found.type not in _KINDS:
            return torch.device("cpu")
        return found if found.type == "mps" else torch.device(found.type, 0)
    try:
        device = torch.accelerator.current_accelerator() if word.isdecimal() else torch.device(word)
    except RuntimeError:
        device = None
    if device is None and word.isdecimal():
        raise ConfigError({"devices": f"{wanted!r}: there is no device {word}, this machine has no GPU. {_WRITE}"})
    if device is None or (device.type not in _KINDS and not is_plugged_in(device.type)):
        raise ConfigError({"devices": f"{wanted!r} is not a device. {_WRITE}"})
    if device.type not in _KINDS[1:]:
        return device
    index, count = int(word) if word.isdecimal() else device.index or 0, _count(device.type)
    if index >= count:
        kind = {"mps": "Apple GPU"}.get(device.type, f"{device.type.upper()} device")
        found = counted(count, kind) if count else f"no {kind}"
        raise ConfigError({"devices": f"{wanted!r} is not there: this machine has {found}. Choose another, or auto."})
    return torch.device(device.type) if device.type == "mps" else torch.device(device.type, index)


def _count(kind: str) -> int:
    """How many accelerators of a kind there are."""
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    return torch.accelerator.device_count() if accelerator is not None and accelerator.type == kind else 0


def accelerators() -> list[str]:
    """Names of the accelerators that this machine has and that ``devices`` can number: CUDA, ROCm, Intel.

    >>> torch.accelerator.is_available() or accelerators() == []
    True
    """
    return [device_name(torch.device(kind, index)) for kind in ("cuda", "xpu") for index in range(_count(kind))]


def is_plugged_in(kind: str) -> bool:
    """Whether ``kind`` is an accelerator that a package of its maker's adds to torch, and is there."""
    module = getattr(torch, kind, None) if kind == torch._C._get_privateuse1_backend_name() else None
    return module is not None and module.is_available()


def device_name(device: torch.device) -> str:
    """Name for people, such as ``CUDA NVIDIA H200`` or ``CPU``."""
    if device.type == "cuda":
        return f"CUDA {torch.cuda.get_device_name(device)}"
    if device.type == "xpu":
        return f"XPU {torch.xpu.get_device_name(device)}"
    return {"cpu": "CPU", "mps": "Apple GPU"}.get(device.type, device.type.upper())


def finish(device: torch.device) -> None:
    """Wait until the device has done what was asked of it."""
    if device.type == "mps":
        torch.mps.synchronize()
    elif device.type not in ("cpu", "meta"):
        torch.get_device_module(device).synchronize(device)
