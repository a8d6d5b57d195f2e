"""How numbers are represented while training: autocast, loss scaling, unscale-clip-step, and the scaler's state.

The order of the verbs is the one of the PyTorch AMP recipe: forward under autocast, scale and backward, unscale, clip,
step, update. The loss itself is computed in float32 by the loss modules, outside this file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

DTYPES: dict[str, torch.dtype | None] = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, kw_only=True, slots=True)
class PrecisionChoice:
    """What was chosen and why, in words for the page."""

    dtype: str
    reason: str


def choose_precision(wanted: str, device: torch.device) -> PrecisionChoice:
    """Resolve ``auto`` for a device; any other choice is taken as it is.

    bf16 has float32's range and needs no loss scaling, so it comes first where the hardware computes in it; emulated
    bf16 is slower than float32 and is not chosen.
    """
    if wanted != "auto":
        return PrecisionChoice(dtype=wanted, reason="as set")
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return PrecisionChoice(dtype="bf16", reason=f"{torch.cuda.get_device_name(device)} computes in bf16")
        return PrecisionChoice(
            dtype="fp16", reason=f"{torch.cuda.get_device_name(device)} has no bf16; fp16 with loss scaling"
        )
    if device.type == "mps":
        return PrecisionChoice(dtype="fp16", reason="Apple GPUs compute in fp16; with loss scaling")
    if cpu_computes_bf16():
        return PrecisionChoice(dtype="bf16", reason="this processor has bf16 instructions (AMX or AVX512-BF16)")
    return PrecisionChoice(
        dtype="fp32", reason="this processor has no bf16 instructions; half precision would be slower"
    )


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
    """

    def __init__(self, dtype: str, device: torch.device) -> None:
        if dtype not in DTYPES:
            raise ValueError(f"precision {dtype!r} is not one of {', '.join(DTYPES)}")
        self.dtype = dtype
        self.device = device
        self._scaler = torch.amp.GradScaler(device.type, enabled=dtype == "fp16")

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

    def state_dict(self) -> dict[str, Any]:
        """The scaler's state; empty without scaling."""
        return self._scaler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of ``state_dict``."""
        if state:
            self._scaler.load_state_dict(state)
