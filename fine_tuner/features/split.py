"""A network in two: what is frozen from the input on, and the rest, which trains.

The network's own graph says where. A value is *frozen* if no weight that trains, no random draw and no statistics that
move have a part in it; the rest takes the last frozen values. So the cut is right for a head, for the last stages, for
a segmentation network whose classifier looks at two depths, and for dropout between frozen layers, which stays in the
rest. Both parts share the modules of the network.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torchvision.ops
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd
from torchvision.ops import StochasticDepth

from fine_tuner.models.probe import ShapesOnly

_PROBE_IMAGES = 3  # a number that no other axis is likely to have
_CHANGES_IN_TRAINING = (_DropoutNd, _NormBase, StochasticDepth, nn.RReLU)


class CannotSplitError(Exception):
    """Why a network has no part that can run once, in words that follow "because"."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """A network in two, in the mode and with the parts frozen that it had when it was split.

    Attributes:
        frozen: ``images -> tuple`` of tensors ``(B, ...)``.
        rest: ``(*those, images) -> output``; of the images it uses the shape only.
        shapes: Of the tensors between, without the batch's axis.
        image_shape: ``(C, H, W)`` of an image.
    """

    frozen: fx.GraphModule
    rest: fx.GraphModule
    shapes: tuple[torch.Size, ...]
    image_shape: torch.Size

    @property
    def numbers(self) -> int:
        """How many numbers the features of one image are."""
        return sum(shape.numel() for shape in self.shapes)

    def features(self, images: Tensor) -> Tensor:
        """Images ``(B, C, H, W)`` to features ``(B, numbers)``: what lies between the parts, one after the other."""
        return torch.cat([part.flatten(1) for part in self.frozen(images)], 1)

    def output(self, features: Tensor) -> Any:
        """What the network gives for the images of these features ``(B, numbers)``, in any floating type."""
        sizes = [shape.numel() for shape in self.shapes]
        # A copy of each: a ReLU of the rest may work in place, and what is kept has to stay as it is.
        parts = [
            part.unflatten(1, shape).to(torch.float32, copy=True, memory_format=torch.contiguous_format)
            for part, shape in zip(features.split(sizes, 1), self.shapes, strict=True)
        ]
        return self.rest(*parts, features.new_empty(()).expand(len(features), *self.image_shape))


def split_network(model: nn.Module, image_size: int) -> Split:
    """Divide a network as it is now: in its present mode, and with what is frozen at present.

    Args:
        model: Takes images ``(B, 3, image_size, image_size)``.
        image_size: Side of the images in px.

    Raises:
        CannotSplitError: If nothing is frozen at its input, or its graph cannot be found.
    """
    tracer = _Tracer(autowrap_modules=(math, torchvision.ops))
    try:
        graph = tracer.trace(model)
    except Exception as error:
        message = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CannotSplitError(f"its graph cannot be found ({message})") from error
    (images,) = (n for n in graph.nodes if n.op == "placeholder" and not n.args)
    live = set(_live(graph, model))
    used = _between(graph, live)
    if images in used and any(n in live for n in images.users if n.op != "call_function" or n.target is not getattr):
        raise CannotSplitError("its first layer trains")
    devices = {parameter.device for parameter in model.parameters()}
    device = next((d for d in devices if d.type == "meta"), next(iter(devices)))
    probe = torch.zeros(_PROBE_IMAGES, 3, image_size, image_size, device=device)
    values = _values(model, graph, probe, live)
    between = [n for n in graph.nodes if n in set(_tensors_needed(used, images, values))]
    if not between:
        raise CannotSplitError("its output does not depend on what is frozen")
    if any(values[n].shape[0] != _PROBE_IMAGES or not values[n].is_floating_point() for n in between):
        raise CannotSplitError("a frozen value belongs to the whole batch")
    return Split(
        frozen=_frozen_part(model, graph, between),
        rest=_rest(model, graph, images, between, live),
        shapes=tuple(values[n].shape[1:] for n in between),
        image_shape=probe.shape[1:],
    )


class _Tracer(fx.Tracer):
    """Leaves whole what torch and torchvision's operators are made of, and modules of ours."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        home = type(m).__module__
        is_ours = home.startswith(("torchvision.ops", "fine_tuner."))
        return (is_ours and not isinstance(m, nn.Sequential)) or super().is_leaf_module(m, module_qualified_name)


# --------------------------------------------------------------- which is what
def _live(graph: fx.Graph, model: nn.Module) -> Iterator[fx.Node]:
    """Nodes whose value can be another at the next step for the same images."""
    found: set[fx.Node] = set()
    for node in graph.nodes:
        if node.op == "output" or _changes(node, model) or any(i in found for i in node.all_input_nodes):
            found.add(node)
            yield node


def _changes(node: fx.Node, model: nn.Module) -> bool:
    if node.op == "get_attr":
        return getattr(_attribute(model, node.target), "requires_grad", False)
    if node.op == "call_module":
        module = model.get_submodule(node.target)
        return any(p.requires_grad for p in module.parameters()) or any(
            m.training and isinstance(m, _CHANGES_IN_TRAINING) for m in module.modules()
        )
    return node.op == "call_function" and bool(node.kwargs.get("training", False))


def _attribute(model: nn.Module, path: str) -> Any:
    parent, _, name = path.rpartition(".")
    return getattr(model.get_submodule(parent), name)


def _between(graph: fx.Graph, live: set[fx.Node]) -> list[fx.Node]:
    """Frozen nodes that the rest asks for."""
    return [n for n in graph.nodes if n not in live and any(user in live for user in n.users)]


def _values(model: nn.Module, graph: fx.Graph, probe: Tensor, live: set[fx.Node]) -> dict[fx.Node, Any]:
    """What each frozen node gives for the probe."""
    if probe.is_meta:
        model = copy.deepcopy(model).to("meta")  # an outline has its weights there, yet not its buffers
    values: dict[fx.Node, Any] = {}

    class Watch(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            if n in live:
                return None
            values[n] = super().run_node(n)
            return values[n]

    with torch.inference_mode(), ShapesOnly() if probe.is_meta else nullcontext():
        Watch(model, graph=graph, garbage_collect_values=False).run(probe)
    return values


def _tensors_needed(used: Iterable[fx.Node], images: fx.Node, values: dict[fx.Node, Any]) -> Iterator[fx.Node]:
    """Frozen tensors from which the rest can find all that it asks for; sizes and constants it finds by itself."""
    for node in used:
        if node is images or not _depends_on(node, images):
            continue
        if isinstance(values[node], Tensor):
            yield node
        else:
            yield from _tensors_needed(node.all_input_nodes, images, values)


def _depends_on(node: fx.Node, images: fx.Node) -> bool:
    seen, todo = {node}, [node]
    while todo:
        current = todo.pop()
        if current is images:
            return True
        new = set(current.all_input_nodes) - seen
        seen |= new
        todo.extend(new)
    return False


# -------------------------------------------------------------------- the parts
def _frozen_part(model: nn.Module, graph: fx.Graph, between: list[fx.Node]) -> fx.GraphModule:
    part = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    needed = _ancestors(between)
    for node in graph.nodes:
        if node in needed or node.op == "placeholder":
            copies[node] = part.node_copy(node, copies.__getitem__)
    part.output(tuple(copies[n] for n in between))
    return fx.GraphModule(model, part, "Frozen")


def _rest(
    model: nn.Module, graph: fx.Graph, images: fx.Node, between: list[fx.Node], live: set[fx.Node]
) -> fx.GraphModule:
    part = fx.Graph()
    copies = {node: part.placeholder(f"part{i}") for i, node in enumerate(between)}
    copies[images] = part.placeholder("images")
    needed = _ancestors([n for n in graph.nodes if n in live], stop=set(copies))
    for node in graph.nodes:
        if node in needed and node not in copies:
            copies[node] = part.node_copy(node, copies.__getitem__)
    return fx.GraphModule(model, part, "Rest")


def _ancestors(nodes: Iterable[fx.Node], stop: Iterable[fx.Node] = ()) -> set[fx.Node]:
    """These nodes and what they are made of, back to ``stop``."""
    ends, seen, todo = set(stop), set(nodes), list(nodes)
    while todo:
        node = todo.pop()
        if node not in ends:
            new = set(node.all_input_nodes) - seen
            seen |= new
            todo.extend(new)
    return seen
