"""What can be asked of a network itself, on tensors without data: its head, its legal image sizes, its shapes.

torchvision's constructors take the number of classes. Whatever changes shape when that number changes is the head;
so no table of layer names is needed, and auxiliary heads are found with the main one.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torchvision.models import get_model_builder

from fine_tuner.base.errors import ConfigError
from fine_tuner.models.catalogue import builder_parameters, class_parameters

Options = dict[str, Any]
LARGEST_SEARCHED_PX = 1024


# In-place operations by which layers draw or set their first values; without data they do nothing, slowly.
_FILLING = frozenset({"normal_", "uniform_", "fill_", "zero_", "erfinv_", "mul_", "add_", "clamp_"})


class OnMeta(TorchFunctionMode):
    """Inside, layers get their weights on the meta device: no memory, no time spent on random numbers.

    ``torch.device("meta")`` would move every tensor, also those that a constructor computes shapes with (regnet).
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.empty and kwargs.get("device") is None:
            kwargs["device"] = "meta"
        if getattr(func, "__name__", "") in _FILLING:
            filled = args[0] if args else kwargs["tensor"]  # torch.nn.init passes it by name
            if filled.is_meta:
                return filled
        return func(*args, **kwargs)


# Functions whose output has the shape of their input; on tensors without data torch runs them in Python, slowly.
_SHAPE_KEEPING = frozenset(
    {F.batch_norm, F.layer_norm, F.dropout, F.relu, F.relu6, F.hardtanh, F.silu, F.gelu, F.hardswish, F.hardsigmoid}
)


class ShapesOnly(TorchFunctionMode):
    """Inside, norms and activations return their input, which has the right shape."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return args[0] if func in _SHAPE_KEEPING else func(*args, **(kwargs or {}))


def constructor_options(name: str, *, pretrained: bool, image_size: int) -> Options:
    """Arguments of a network's builder besides weights and number of outputs.

    Auxiliary heads are wanted. Weights of googlenet and inception_v3 expect values in [-1, 1] and bring a layer that
    makes them from ImageNet's normalisation. vit and maxvit are made for one image size.
    """
    builder, cls = builder_parameters(name), class_parameters(name)
    options: Options = {}
    if "weights_backbone" in builder:
        options["weights_backbone"] = None
    if "aux_loss" in builder:
        options["aux_loss"] = True
    if "transform_input" in cls:
        options["transform_input"] = pretrained
    if "init_weights" in cls:
        options["init_weights"] = True
    if "image_size" in cls:
        options["image_size"] = image_size
    if "input_size" in cls:
        options["input_size"] = (image_size, image_size)
    return options


def construct(name: str, num_outputs: int, options: Options, *, on_meta: bool = False) -> nn.Module:
    """A network with ``num_outputs`` outputs, random or (``on_meta``) with parameters that have no data."""
    with OnMeta() if on_meta else nullcontext():
        return get_model_builder(name)(weights=None, num_classes=num_outputs, **options)


def head_names(model: nn.Module, other: nn.Module) -> list[str]:
    """Parameters of ``model`` whose shape differs in ``other``, the same network for another number of outputs."""
    shapes = {name: p.shape for name, p in other.named_parameters()}
    return [name for name, p in model.named_parameters() if p.shape != shapes[name]]


@dataclass(frozen=True, kw_only=True, slots=True)
class ForwardTrace:
    """One forward pass in training mode, on meta tensors.

    Attributes:
        order: Modules asked for, in the order in which they ran first.
        shapes: Their output shapes, batch first.
    """

    order: tuple[str, ...]
    shapes: Mapping[str, tuple[int, ...]]


def trace(model: nn.Module, paths: list[str], *, image_size: int, batch_size: int = 2) -> ForwardTrace:
    """Run a network (moved to the meta device) and note what the modules at ``paths`` return.

    Raises:
        RuntimeError: As torch says, or ValueError or AssertionError, if the image size is not legal.
    """
    shapes: dict[str, tuple[int, ...]] = {}

    def note(path: str, output: Any) -> None:
        if isinstance(output, Tensor):
            shapes.setdefault(path, tuple(output.shape))

    model.to("meta").train()
    handles = [
        model.get_submodule(path).register_forward_hook(lambda _, __, output, path=path: note(path, output))
        for path in paths
    ]
    try:
        with torch.no_grad(), ShapesOnly():
            model(torch.empty(batch_size, 3, image_size, image_size, device="meta"))
    finally:
        for handle in handles:
            handle.remove()
    return ForwardTrace(order=tuple(shapes), shapes=shapes)


ILLEGAL_SIZE = (RuntimeError, ValueError, AssertionError)


def fitting_options(name: str, options: Options, *, image_size: int) -> tuple[Options, list[str]]:
    """Options with which the network takes images of a size that ``options`` do not allow, and what is left out.

    Raises:
        ConfigError: At ``data.image_size``, if there are none; it names the nearest legal sizes.
    """
    if "aux_logits" in class_parameters(name):
        without = options | {"aux_logits": False}
        if _takes(construct(name, 2, without, on_meta=True), image_size):
            least = smallest_size(name, options, above=image_size)
            return without, [
                f"{name}'s auxiliary head needs images of at least {least} px; at {image_size} px it is left out."
            ]
        options = without
    sizes = " or ".join(str(s) for s in _legal_near(name, options, image_size)) or "the size its weights come with"
    raise ConfigError(
        {"data.image_size": f"{name} cannot take images of {image_size} px. Use {sizes}, or leave it empty."}
    )


def smallest_size(name: str, options: Options, *, above: int) -> int:
    """The smallest legal size greater than ``above``, for a network that takes every size from some size on."""
    model = construct(name, 2, options, on_meta=True)
    low, high = above, LARGEST_SEARCHED_PX
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _takes(model, middle) else (middle, high)
    return high


def _takes(model: nn.Module, image_size: int) -> bool:
    try:
        trace(model, [], image_size=image_size)
    except ILLEGAL_SIZE:
        return False
    return True


def _legal_near(name: str, options: Options, image_size: int) -> list[int]:
    """The nearest legal sizes below and above an illegal one."""
    fixed = next((k for k in ("image_size", "input_size") if k in options), None)
    if fixed is None:
        return [smallest_size(name, options, above=image_size)]
    as_option = (lambda size: (size, size)) if fixed == "input_size" else (lambda size: size)
    half = image_size // 2  # even sizes only: who wants 447?
    below, above = range(2 * half, 15, -2), range(2 * half + 2, LARGEST_SEARCHED_PX + 1, 2)
    found = (
        next((s for s in sizes if _constructs(name, options | {fixed: as_option(s)})), None) for sizes in (below, above)
    )
    return [size for size in found if size is not None]


def _constructs(name: str, options: Options) -> bool:
    try:
        construct(name, 2, options, on_meta=True)
    except ILLEGAL_SIZE:
        return False
    return True
