"""Fitting weights that were read into a network, and saying exactly what matched.

The head may be absent from the weights or have another shape: it is then new. Everything else must be there with the
right shape, and nothing may be left over; else the weights belong to another network (resnet34's fill all of resnet18).
Two exceptions that cannot hide a mistake: counters of BatchNorm batches, which old files lack, and auxiliary heads,
which the file or this network may have been made without.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchvision.models.vision_transformer import interpolate_embeddings

from fine_tuner.base.errors import WeightsError
from fine_tuner.models.pretrained.state import State
from fine_tuner.models.rescaling import without_rescaling
from fine_tuner.models.stages import is_auxiliary

_COUNTER = ".num_batches_tracked"
_POSITIONS = "encoder.pos_embedding"
_SHOWN = 8
Mismatch = tuple[str, tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightsReport:
    """What became of weights.

    Attributes:
        source: What they were read from.
        matched: How many tensors were taken.
        missing: Names in the network that the weights lack; these parameters are new.
        unused: Names in the weights that the network does not have, or replaced although they fit.
        mismatched: Name, shape in the weights and shape in the network, where the two differ.
    """

    source: str
    matched: int
    missing: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    mismatched: tuple[Mismatch, ...] = ()

    def lines(self) -> list[str]:
        """For people, shape by shape."""
        found = [f"{self.source}: {self.matched} tensors match."]
        found += [
            f"{name}: {_shape(theirs)} in the weights, {_shape(ours)} in the network"
            for name, theirs, ours in self.mismatched
        ]
        found += [f"{name}: not in the weights" for name in self.missing]
        return found + [f"{name}: in the weights, not used" for name in self.unused]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fitted:
    """Weights that fit, and what is new beside them.

    Attributes:
        tensors: By name in the network.
        absent: Parameters and buffers of the network that the weights do not fill.
        new: The parameters among them.
        notices: What was adapted, for people.
    """

    tensors: dict[str, Tensor]
    absent: frozenset[str]
    new: frozenset[str]
    report: WeightsReport
    notices: tuple[str, ...] = ()


def fit_network(model: nn.Module, state: State, *, head: Iterable[str], keep_head: bool, source: str) -> Fitted:
    """Weights of the same network, with or without its head.

    Args:
        model: May be on the meta device.
        state: As read.
        head: Parameters that may be new.
        keep_head: Take layers of the head from the weights where all their shapes agree.
        source: For messages.

    Raises:
        WeightsError: If anything but the head does not fit, naming each tensor.
    """
    tensors = without_rescaling(state.tensors)
    notices = _stretch_positions(model, tensors)
    ours = {name: tuple(t.shape) for name, t in model.state_dict().items()}
    theirs = {name: tuple(t.shape) for name, t in tensors.items()}
    mismatched = [(n, theirs[n], ours[n]) for n in ours if n in theirs and theirs[n] != ours[n]]
    new = {n for layer in _layers(head) for n in layer if not keep_head or any(theirs.get(m) != ours[m] for m in layer)}
    missing = [n for n in ours if n not in theirs and not n.endswith(_COUNTER)]
    absent = new | {n for n in missing if is_auxiliary(n)}
    extra = [n for n in theirs if n not in ours]
    report = WeightsReport(
        source=source,
        matched=sum(theirs.get(n) == s for n, s in ours.items() if n not in absent),
        missing=tuple(missing),
        unused=(*extra, *sorted(n for n in new if theirs.get(n) == ours[n])),
        mismatched=tuple(mismatched),
    )
    _require_fit(report, absent, [n for n in extra if not is_auxiliary(n)])
    return Fitted(
        tensors={n: t for n, t in tensors.items() if n in ours and n not in absent},
        absent=frozenset(absent),
        new=frozenset(n for n, _ in model.named_parameters() if n in absent),
        report=report,
        notices=tuple(notices),
    )


def fit_backbone(model: nn.Module, state: State, *, source: str) -> Fitted:
    """Weights of a classification network for the backbone of a segmentation network; all else is new.

    Raises:
        WeightsError: If a tensor of the backbone is not among them, or has another shape.
    """
    ours = {n: tuple(t.shape) for n, t in model.state_dict().items() if n.startswith("backbone.")}
    tensors: dict[str, Tensor] = {}
    used: dict[str, str] = {}
    for name in ours:
        inner = name.removeprefix("backbone.")
        # torchvision's mobilenet backbones are the network's ``features``, resnet's are the network itself
        key = next((k for k in (inner, f"features.{inner}") if k in state.tensors), None)
        if key is not None:
            tensors[name], used[name] = state.tensors[key], key
    mismatched = [(n, tuple(t.shape), ours[n]) for n, t in tensors.items() if tuple(t.shape) != ours[n]]
    missing = [n for n in ours if n not in tensors and not n.endswith(_COUNTER)]
    absent = {n for n in model.state_dict() if not n.startswith("backbone.")}
    new = [n for n, _ in model.named_parameters() if n in absent]
    report = WeightsReport(
        source=source,
        matched=len(tensors) - len(mismatched),
        missing=(*missing, *new),
        unused=tuple(k for k in state.tensors if k not in set(used.values())),
        mismatched=tuple(mismatched),
    )
    _require_fit(report, absent, [])
    return Fitted(tensors=tensors, absent=frozenset(absent), new=frozenset(new), report=report)


def load_fitted(model: nn.Module, fitted: Fitted, state: State) -> None:
    """Copy weights that fit into a network (converted to its dtype).

    Raises:
        WeightsError: If torch finds something that does not fit after all.
    """
    versions = state.versions if state.versions is not None else getattr(model.state_dict(), "_metadata", None)
    tensors = _with_versions(fitted.tensors, versions)
    try:
        result = model.load_state_dict(tensors, strict=False)
    except (RuntimeError, ValueError) as error:
        raise WeightsError(
            f"{fitted.report.source} does not fit the network: {error}. Give weights of the same network, or use "
            "default or none (model.weights)."
        ) from None
    left = [n for n in result.missing_keys if n not in fitted.absent and not n.endswith(_COUNTER)]
    if left or result.unexpected_keys:
        raise WeightsError(
            f"{fitted.report.source} does not fit the network: missing {left[:_SHOWN]}, left over "
            f"{result.unexpected_keys[:_SHOWN]}. Give weights of the same network, or use default or none "
            "(model.weights)."
        )


def _with_versions(tensors: dict[str, Tensor], versions: object) -> dict[str, Tensor]:
    """A state dict that carries module versions, which mnasnet insists on."""

    class StateDict(dict[str, Tensor]):
        _metadata = versions

    return StateDict(tensors)


def _layers(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Parameters by the layer they belong to."""
    layers: dict[str, list[str]] = {}
    for name in names:
        layers.setdefault(name.rpartition(".")[0], []).append(name)
    return [tuple(v) for v in layers.values()]


def _stretch_positions(model: nn.Module, tensors: dict[str, Tensor]) -> list[str]:
    """Interpolate a vision transformer's position embedding to the network's image size, in ``tensors``."""
    theirs, patch = tensors.get(_POSITIONS), getattr(model, "patch_size", None)
    if theirs is None or patch is None or theirs.shape == model.state_dict()[_POSITIONS].shape:
        return []
    side = model.image_size // patch
    was = round((theirs.shape[1] - 1) ** 0.5)
    tensors.update(interpolate_embeddings(model.image_size, patch, {_POSITIONS: theirs.float()}))
    return [
        f"The position embedding was interpolated from {was}x{was} to {side}x{side} patches ({model.image_size} px)."
    ]


def _require_fit(report: WeightsReport, absent: set[str], extra: list[str]) -> None:
    wrong = WeightsReport(
        source=report.source,
        matched=report.matched,
        missing=tuple(n for n in report.missing if n not in absent),
        unused=tuple(extra),
        mismatched=tuple(m for m in report.mismatched if m[0] not in absent),
    )
    count = len(wrong.missing) + len(wrong.unused) + len(wrong.mismatched)
    if count:
        shown = wrong.lines()[1:]
        more = f"; and {count - _SHOWN} more" if count > _SHOWN else ""
        raise WeightsError(
            f"{report.source} does not fit the network: {'; '.join(shown[:_SHOWN])}{more}. {report.matched} tensors "
            "match. Give weights of the same network, or use default or none (model.weights)."
        )


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a number"


def materialise(model: nn.Module) -> None:
    """Give every parameter and buffer on the meta device memory, with whatever is in it."""
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.is_meta:
                setattr(module, name, nn.Parameter(torch.empty_like(parameter, device="cpu"), parameter.requires_grad))
        for name, buffer in module.named_buffers(recurse=False):
            if buffer.is_meta:
                setattr(module, name, torch.empty_like(buffer, device="cpu"))
