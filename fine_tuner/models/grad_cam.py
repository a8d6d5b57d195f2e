"""Where a network looked: Grad-CAM for any class of a picture, on every network that has a map of it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from fine_tuner.base.errors import InputError
from fine_tuner.models.outputs import split_outputs

_HOT = (213, 94, 0)  # vermilion of Okabe-Ito: seen over green, brown and grey
_TOKEN_NORMS_AFTER = 2  # layer norms behind the one that begins the last block: its second, and the final one


def find_layer(model: nn.Module, pixels: Tensor) -> nn.Module | None:
    """The last module that gives a map of the picture; None if there is none.

    A map is ``(B, C, h, w)`` with more than one place. Where tokens ``(B, T, C)`` come later, as in a vision
    transformer, it is the layer norm at the beginning of the last block: behind that block's attention only the class
    token counts.

    Args:
        model: In evaluation mode.
        pixels: ``(1, 3, H, W)``.
    """
    seen: list[nn.Module] = []
    tokens: list[nn.Module] = []
    is_tokens_last = False

    def note(module: nn.Module, _: Any, output: Any) -> None:
        nonlocal is_tokens_last
        if not isinstance(output, Tensor):
            return
        if output.ndim == 4 and output.shape[2] * output.shape[3] > 1:
            seen.append(module)
            is_tokens_last = False
        elif output.ndim == 3 and isinstance(module, nn.LayerNorm) and _side(output.shape[1]):
            tokens.append(module)
            is_tokens_last = True

    handles = [m.register_forward_hook(note) for m in model.modules() if not any(True for _ in m.children())]
    try:
        with torch.inference_mode():
            model(pixels)
    finally:
        for handle in handles:
            handle.remove()
    if is_tokens_last and len(tokens) > _TOKEN_NORMS_AFTER:
        return tokens[-1 - _TOKEN_NORMS_AFTER]
    return seen[-1] if seen else None


def _side(tokens: int) -> int:
    """Side of the square that tokens make, with or without a class token in front; 0 if they make none."""
    for count in (tokens, tokens - 1):
        side = math.isqrt(count)
        if side > 1 and side * side == count:
            return side
    return 0


def grad_cam(model: nn.Module, pixels: Tensor, output: int) -> Tensor:
    """``(H, W)`` float32 in 0 to 1: how much each place of the picture speaks for an output; 0 where nothing does.

    ``relu(sum_c mean_xy(d logit / d A_c) A_c)``, scaled by its greatest value, enlarged to the picture.

    Args:
        model: In evaluation mode.
        pixels: ``(1, 3, H, W)``, as the network sees it.
        output: Number of the class, label or number.

    Raises:
        InputError: If the network has no map.

    Source: Selvaraju et al. 2017, eq. 1 and 2, https://arxiv.org/abs/1610.02391.
    """
    layer = find_layer(model, pixels)
    if layer is None:
        raise InputError("This network has no map of the picture by which one could see where it looks.")
    kept: list[Tensor] = []

    def keep(_: nn.Module, __: Any, out: Tensor) -> Tensor:
        kept.append(out)
        return out.clone()  # what follows may change it in place

    handle = layer.register_forward_hook(keep)
    try:
        with torch.enable_grad():
            logits, _ = split_outputs(model(pixels.detach().requires_grad_()))
            (gradient,) = torch.autograd.grad(logits[0, output], kept[-1])
    finally:
        handle.remove()
    maps, gradient = _as_maps(kept[-1].detach()), _as_maps(gradient)
    heat = (gradient.mean((2, 3), keepdim=True) * maps).sum(1, keepdim=True).relu()
    heat = F.interpolate(heat.float(), pixels.shape[-2:], mode="bilinear", align_corners=False)[0, 0]
    return heat / heat.max() if heat.max() > 0 else heat


def _as_maps(values: Tensor) -> Tensor:
    """``(B, T, C)`` tokens as ``(B, C, h, w)``; maps stay."""
    if values.ndim == 4:
        return values
    side = _side(values.shape[1])
    return values[:, -side * side :].transpose(1, 2).unflatten(2, (side, side))


def write_heat(heat: Tensor, path: Path) -> None:
    """A PNG to lay over the picture: one colour, the more opaque the more it counts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    alpha = (255 * heat.clamp(0, 1)).byte().cpu()
    colour = torch.tensor(_HOT, dtype=torch.uint8).expand(*alpha.shape, 3)
    Image.fromarray(torch.cat([colour, alpha[..., None]], -1).numpy(), "RGBA").save(path)
