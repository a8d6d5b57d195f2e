"""How numbers are represented while training: autocast, loss scaling, unscale-clip-step, and the scaler's state.

The order of the verbs is the one of the PyTorch AMP recipe: forward under autocast, scale and backward, unscale, clip,
step, update. The loss itself is computed in float32 by the loss modules, outside this file.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

DTYPES: dict[str, torch.dtype | None] = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


Switch = Literal["auto", "on", "off"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PrecisionChoice:
    """What was chosen and why, in words for the page.

    Attributes:
        notice: What was measured, if that decided; else empty.
    """

    dtype: str
    reason: str
    is_channels_last: bool = False
    notice: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """The fastest precision and memory format measured for a network on a device.

    Attributes:
        images_per_second: Its speed.
        fp32_per_second: That of plain float32.
        speeds: Images per second of all that were measured, by variant.
    """

    dtype: str
    is_channels_last: bool
    images_per_second: float
    fp32_per_second: float
    speeds: Mapping[str, float] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """Why it is chosen."""
        if self.dtype == "fp32" and not self.is_channels_last:
            return "measured here: nothing is faster than fp32"
        return f"measured here: {self.images_per_second / self.fp32_per_second:.2f} times the speed of fp32"

    @property
    def notice(self) -> str:
        """What was measured, what was chosen, and how to have it otherwise."""
        chosen = variant_name(self.dtype, is_channels_last=self.is_channels_last)
        listed = ", ".join(f"{name} {speed / self.fp32_per_second:.2f}" for name, speed in self.speeds.items())
        return f"Computes in {chosen}, the fastest measured here (times fp32: {listed}). Off: precision.dtype=fp32."


def variant_name(dtype: str, *, is_channels_last: bool) -> str:
    """Name of a precision in a memory format, such as ``bf16 channels-last``."""
    return f"{dtype} channels-last" if is_channels_last else dtype


def variants_for(device: torch.device) -> list[tuple[str, bool]]:
    """Precisions and whether channels are last, plain float32 first; fp16 is left out where it is emulated."""
    halves = {"cuda": ["bf16", "fp16"], "mps": ["fp16", "bf16"]}.get(device.type, ["bf16"])
    return [(dtype, is_last) for dtype in ("fp32", *halves) for is_last in (False, True)]


def half_for(device: torch.device) -> str:
    """The half precision that suits a device: bf16 unless its GPU has none."""
    if device.type == "mps" or (device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False)):
        return "fp16"
    return "bf16"


def choose_precision(
    wanted: str,
    device: torch.device,
    *,
    channels_last: Switch = "off",
    measured: Measured | None = None,
    until: str = "",
) -> PrecisionChoice:
    """Resolve ``auto`` for a device; any other choice is taken as it is.

    What was measured decides. Else on a GPU bf16, which has float32's range and needs no loss scaling, comes first
    where the hardware computes in it; on a processor float32, since some networks lose by bf16 (mobilenet_v3_small
    trains at 0.7 of the speed where resnet18 gains 2.1 times).

    Args:
        wanted: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        device: Where training runs.
        channels_last: The memory format wanted; ``auto``: as measured, else on for half precision on a GPU.
        measured: The fastest for this network on this device, if it is known.
        until: Why nothing was measured, or when it will be; ends the sentence of the reason.
    """
    if wanted != "auto":
        dtype, reason = wanted, "as set"
    elif measured is not None:
        dtype, reason = measured.dtype, measured.words
    else:
        dtype, reason = _by_rule(device)
        reason = until or reason
    if channels_last != "auto":
        is_channels_last = channels_last == "on"
    elif measured is not None and measured.dtype == dtype:
        is_channels_last = measured.is_channels_last
    else:
        is_channels_last = device.type == "cuda" and dtype != "fp32"
    notice = measured.notice if measured is not None and wanted == "auto" else ""
    return PrecisionChoice(dtype=dtype, reason=reason, is_channels_last=is_channels_last, notice=notice)


def _by_rule(device: torch.device) -> tuple[str, str]:
    """What suits a device on which nothing was measured, and why."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        if half_for(device) == "bf16":
            return "bf16", f"{name} computes in bf16"
        return "fp16", f"{name} has no bf16; fp16 with loss scaling"
    if device.type == "mps":
        return "fp16", "Apple GPUs compute in fp16; with loss scaling"
    return "fp32", "nothing was measured on this processor yet"


def device_support(device: torch.device) -> str:
    """Which precisions a device computes in, in a sentence for the page."""
    if device.type == "cuda":
        has_bf16, has_tf32 = half_for(device) == "bf16", torch.cuda.get_device_capability(device) >= (8, 0)
        halves = "bf16 and fp16" if has_bf16 else "fp16, and bf16 only by emulation, which is slow"
        return f"{torch.cuda.get_device_name(device)} computes in {halves}; TF32: {'yes' if has_tf32 else 'no'}."
    if device.type == "mps":
        return "This Apple GPU computes in fp16, and in bf16 since macOS 14; there is no TF32."
    if device.type != "cpu":
        return f"Which half precision {device.type} computes in fast is not known here: compare them by measuring."
    if cpu_computes_bf16():
        return "This processor has instructions for bf16; fp16 is emulated and slow. TF32 is for NVIDIA GPUs."
    return "This processor has no instructions for half precision: it saves memory here, not time."


def cpu_computes_bf16() -> bool:
    """Whether the processor multiplies bf16 natively."""
    try:
        capabilities = torch.cpu.get_capabilities()
    except AttributeError:  # torch < 2.12 has only the private probes
        probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
        return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)
    return any(capabilities.get(name, False) for name in ("amx_bf16", "avx512_bf16", "bf16"))


class Precision:
    """Four verbs around one training step, and their state.

    Args:
        dtype: ``fp32``, ``bf16`` or ``fp16``; weights stay float32 in all of them.
        device: Where the step runs.
        is_channels_last: The network and its images keep the channels of a pixel side by side.
        allow_tf32: On NVIDIA GPUs, float32 products may be made in TF32.
    """

    def __init__(
        self, dtype: str, device: torch.device, *, is_channels_last: bool = False, allow_tf32: bool = True
    ) -> None:
        if dtype not in DTYPES:
            raise ValueError(f"precision {dtype!r} is not one of {', '.join(DTYPES)}")
        self.dtype = dtype
        self.device = device
        self.is_channels_last = is_channels_last
        self.allow_tf32 = allow_tf32
        self._scaler = torch.amp.GradScaler(device.type, enabled=dtype == "fp16")

    def arrange(self, model: nn.Module) -> None:
        """Prepare a network on its device: memory format of weights and images, and what float32 products may be."""
        if self.device.type == "cuda":
            torch.set_float32_matmul_precision("high" if self.allow_tf32 else "highest")
            torch.backends.cudnn.allow_tf32 = self.allow_tf32
        if self.is_channels_last:
            model.to(memory_format=torch.channels_last)
            model.register_forward_pre_hook(_channels_last)

    def autocast(self) -> torch.autocast:
        """Context manager, or decorator of a ``forward``, under which eligible operations run in half precision."""
        half = DTYPES[self.dtype]
        return torch.autocast(self.device.type, dtype=half or torch.bfloat16, enabled=half is not None)

    def backward(self, loss: Tensor) -> None:
        """Backpropagate, scaled in fp16 so that small gradients do not vanish."""
        self._scaler.scale(loss).backward()

    def step(self, optimizer: torch.optim.Optimizer, *, clip_norm: float | None = None) -> Tensor:
        """Unscale, clip, update the weights, forget the gradients.

        In fp16 a step with a non-finite gradient is skipped and the scale halved; see ``scale``.

        Returns:
            Scalar tensor on the device: the gradient's norm before clipping.
        """
        self._scaler.unscale_(optimizer)
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        grad_norm = nn.utils.get_total_norm([p.grad for p in parameters])
        if clip_norm is not None:
            nn.utils.clip_grads_with_norm_(parameters, clip_norm, grad_norm)
        self._scaler.step(optimizer)
        self._scaler.update()
        optimizer.zero_grad(set_to_none=True)
        return grad_norm

    @property
    def scale(self) -> float | None:
        """The present loss scale; None where nothing is scaled. Waits for the device."""
        return self._scaler.get_scale() if self._scaler.is_enabled() else None

    @property
    def scale_tensor(self) -> Tensor | None:
        """The present loss scale on the device, without waiting for it; None where nothing is scaled."""
        return self._scaler._get_scale_async() if self._scaler.is_enabled() else None

    def switch(self, dtype: str) -> None:
        """Compute in another type from here on; a loss scale begins anew."""
        self.dtype = dtype
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=dtype == "fp16")

    def state_dict(self) -> dict[str, Any]:
        """The scaler's state; empty without scaling."""
        return self._scaler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of ``state_dict``."""
        if state:
            self._scaler.load_state_dict(state)


def _channels_last(module: nn.Module, images: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Before forward: the images in the weights' memory format, so that no layer has to convert."""
    return tuple(i.contiguous(memory_format=torch.channels_last) if i.ndim == 4 else i for i in images)


def compile_problem(device: torch.device) -> str | None:
    """Why ``torch.compile`` cannot work for a device here; None if nothing speaks against it."""
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        return "torch.compile needs Triton for a GPU, which is not installed"
    if not any(shutil.which(name) for name in (os.environ.get("CXX", ""), "g++", "clang++", "c++") if name):
        return "torch.compile needs a C++ compiler, and none was found (g++ or clang++)"
    return None


def compile_network(model: nn.Module, device: torch.device) -> str | None:
    """Let ``torch.compile`` make a program of the network at its first step; returns why it cannot, or None.

    The network stays the same object with the same names. A part that does not compile runs as it is, which torch
    says on standard error.
    """
    problem = compile_problem(device)
    if problem is None:
        torch._dynamo.config.suppress_errors = True
        model.compile()
    return problem
