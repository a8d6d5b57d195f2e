"""Numbers in their own units out of a network that learns them as it learns anything else: near 0, spread about 1.

::

    output = output_mean + output_scale * layer(features)

An output layer of a new regression network starts near 0, so counts around 300 would cost it a run merely to get
there, and numbers of unlike size would not learn at one rate. The two constants are buffers of the output layer: they
are saved with the weights, no optimizer sees them, and parameters keep the names that torchvision gives them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

MEAN, SCALE = "output_mean", "output_scale"


class RescaledLinear(nn.Linear):
    """A linear layer whose result ``(..., D)`` is scaled and shifted."""

    output_mean: Tensor
    output_scale: Tensor

    def forward(self, features: Tensor) -> Tensor:
        """``output_mean + output_scale * linear(features)``; float32 also where the layer computes in half."""
        return torch.addcmul(self.output_mean, super().forward(features).float(), self.output_scale)


class RescaledConv2d(nn.Conv2d):
    """A convolution whose result ``(B, D, H, W)`` is scaled and shifted by channel."""

    output_mean: Tensor
    output_scale: Tensor

    def forward(self, features: Tensor) -> Tensor:
        """``output_mean + output_scale * conv(features)``; float32 also where the layer computes in half."""
        mean, scale = self.output_mean[:, None, None], self.output_scale[:, None, None]
        return torch.addcmul(mean, super().forward(features).float(), scale)


def rescale_outputs(model: nn.Module, layers: Iterable[str], mean: Sequence[float], sd: Sequence[float]) -> None:
    """Make output layers, auxiliary ones included, give numbers of this mean and spread; their parameters stay.

    Args:
        model: Changed in place; may be on the meta device.
        layers: Paths of its output layers.
        mean: Of each of the D numbers.
        sd: Standard deviation of each; where it is 0, there is nothing to scale by and 1 is taken.
    """
    for path in layers:
        scale = [value or 1.0 for value in sd]
        _rescale(model, path, torch.tensor([*mean]), torch.tensor(scale))


def rescale_as_saved(model: nn.Module, layers: Iterable[str], tensors: Mapping[str, Tensor]) -> bool:
    """The same with the constants that a file of weights holds for these layers; False if it holds none."""
    held = [path for path in layers if f"{path}.{MEAN}" in tensors]
    for path in held:
        _rescale(model, path, tensors[f"{path}.{MEAN}"], tensors[f"{path}.{SCALE}"])
    return bool(held)


def without_rescaling(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a file without those constants: what torchvision's own network has."""
    return {name: t for name, t in tensors.items() if name.rpartition(".")[2] not in (MEAN, SCALE)}


def is_rescaled(model: nn.Module) -> bool:
    """Whether the network gives numbers in their own units."""
    return any(isinstance(module, RescaledLinear | RescaledConv2d) for module in model.modules())


def _rescale(model: nn.Module, path: str, mean: Tensor, scale: Tensor) -> None:
    old = model.get_submodule(path)
    new = _copy(old)
    new.weight, new.bias = old.weight, old.bias
    new.register_buffer(MEAN, mean.to(old.weight.device, torch.float32).clone())
    new.register_buffer(SCALE, scale.to(old.weight.device, torch.float32).clone())
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, new.train(old.training))


def _copy(layer: nn.Module) -> RescaledLinear | RescaledConv2d:
    """A layer of the same shape that holds nothing yet.

    Raises:
        TypeError: If it is neither linear nor a convolution; no network of torchvision ends in anything else.
    """
    with torch.device("meta"):
        if isinstance(layer, nn.Linear):
            return RescaledLinear(layer.in_features, layer.out_features, bias=layer.bias is not None)
        if isinstance(layer, nn.Conv2d):
            shape = {n: getattr(layer, n) for n in ("kernel_size", "stride", "padding", "dilation", "groups")}
            return RescaledConv2d(layer.in_channels, layer.out_channels, bias=layer.bias is not None, **shape)
    raise TypeError(f"an output layer is a {type(layer).__name__}, neither linear nor a convolution")
