"""A network as an ordered list of stages, found from its structure and from one forward pass without data.

A *unit* is a module that is treated as a whole: a layer outside any block, a residual or inception block, a small
sequence of layers. Units that see images of the same scale (1/4, 1/8, ... of the input) and belong to the same series
of equal blocks make a stage. A transformer without scales has one stage per block. The last stage is the head:
the layers that were replaced, and auxiliary heads.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from fine_tuner.models.probe import ForwardTrace

HEAD = "head"
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm)
_SERIES_LENGTH = 4  # blocks in a row below a plain module (a transformer's encoder) that make it worth splitting
_PLAIN_LENGTH = 5  # plain layers in a row (alexnet's and vgg's features) that make it worth splitting
_FEWEST_STAGES = 3  # fewer before the head, and a series of blocks is split into its blocks


class Stage(NamedTuple):
    """Part of a network that is frozen, or given a rate, as a whole."""

    name: str
    parameter_names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """A module that no stage divides.

    Attributes:
        path: In the network.
        series: Path of the row of equal blocks it belongs to, or None.
        top: Path of the child of the network that it is in, if that child was divided; else None.
        joins: It never begins a stage, since it only normalises what came before.
    """

    path: str
    module: nn.Module
    series: str | None
    top: str | None
    joins: bool


@dataclass(kw_only=True, slots=True)
class _Group:
    units: list[Unit] = field(default_factory=list)
    scale: str = ""

    @property
    def series(self) -> str | None:
        return next((u.series for u in reversed(self.units) if u.series), None)


def find_units(model: nn.Module, head: Iterable[str]) -> list[Unit]:
    """The units of a network in the order in which they were registered, without head and auxiliary heads."""
    return list(_units(model, "", frozenset(head), None, None))


def _units(module: nn.Module, prefix: str, head: frozenset[str], series: str | None, top: str | None) -> Iterator[Unit]:
    for name, child in module.named_children():
        path = prefix + name
        own = [f"{path}.{n}" for n, _ in child.named_parameters() if f"{path}.{n}" not in head]
        if not own or (not prefix and is_auxiliary(name)):
            continue
        if _is_divided(child):
            inner = path if _is_series(child) else series
            yield from _units(child, path + ".", head, inner, top or path)
        else:
            yield Unit(path=path, module=child, series=series, top=top, joins=_only_normalises(child, path, own))


def is_auxiliary(name: str) -> bool:
    """Whether a child of a network is an auxiliary head; torchvision calls all of them aux-something."""
    return name.casefold().startswith("aux")


def _with_parameters(module: nn.Module) -> list[nn.Module]:
    return [c for c in module.children() if next(c.parameters(), None) is not None]


def _is_composite(module: nn.Module) -> bool:
    return bool(_with_parameters(module))


def _is_series(module: nn.Module) -> bool:
    """A container of blocks of one class."""
    blocks = _with_parameters(module)
    return (
        isinstance(module, CONTAINERS) and len({type(b) for b in blocks}) == 1 and all(_is_composite(b) for b in blocks)
    )


def _is_divided(module: nn.Module) -> bool:
    """A container of blocks or of many layers, or a module that wraps a long series."""
    inner = _with_parameters(module)
    if isinstance(module, CONTAINERS):
        return len(inner) >= _PLAIN_LENGTH or any(_is_composite(c) for c in inner)
    return any(_is_series(c) and len(_with_parameters(c)) >= _SERIES_LENGTH for c in inner)


def _only_normalises(module: nn.Module, path: str, own: Sequence[str]) -> bool:
    owners = {n.removeprefix(path).lstrip(".").rpartition(".")[0] for n in own}
    return all(isinstance(module.get_submodule(o), NORMS) for o in owners)


def group_stages(
    model: nn.Module, units: Iterable[Unit], traced: ForwardTrace, head: Iterable[str], image_size: int
) -> list[Stage]:
    """Stages from input to head; together they hold every parameter once.

    Args:
        model: The network.
        units: As ``find_units`` found them.
        traced: A forward pass of the network with the paths of ``units``.
        head: Names of the parameters that are to be the last stage.
        image_size: Of the traced pass, in pixels.
    """
    last = frozenset(head)
    rank = {path: i for i, path in enumerate(traced.order)}
    kept = (u for u in units if any(f"{u.path}.{n}" not in last for n, _ in u.module.named_parameters()))
    ordered = sorted(kept, key=lambda u: rank.get(u.path, len(rank)))
    groups = _merge(ordered, {p: _scale(s, image_size) for p, s in traced.shapes.items()})
    if len(groups) < _FEWEST_STAGES:
        groups = [part for group in groups for part in _split(group)]
    return _with_all_parameters(model, groups, last)


def _scale(shape: tuple[int, ...], image_size: int) -> str:
    """Scale of a module's output: ``1/8`` of the image, or ``flat`` for vectors and sequences."""
    if len(shape) != 4:
        return f"{len(shape)} axes"
    side = shape[2] if shape[2] == shape[3] else shape[1]  # (B, C, H, W), or (B, H, W, C) in swin
    return f"1/{2 ** round(math.log2(image_size / side))}"


def _merge(units: list[Unit], scales: dict[str, str]) -> list[_Group]:
    groups: list[_Group] = []
    for unit in units:
        scale = scales.get(unit.path, "")
        if not groups or (not unit.joins and _begins(unit, scale, groups[-1])):
            groups.append(_Group())
        groups[-1].units.append(unit)
        if not unit.joins:
            groups[-1].scale = scale
    return groups


def _begins(unit: Unit, scale: str, last: _Group) -> bool:
    """Whether ``unit`` begins a stage: another scale, another series, or out of the part of the network before."""
    if scale != last.scale:
        return True
    if unit.series and last.series and unit.series != last.series:
        return True
    left = last.units[-1].top
    return left is not None and unit.top != left


def _split(group: _Group) -> list[_Group]:
    """One group per block of a series; what follows the series stays with its last block."""
    parts: list[_Group] = []
    for unit in group.units:
        if not parts or (unit.series and not unit.joins):
            parts.append(_Group(scale=group.scale))
        parts[-1].units.append(unit)
    return parts


def _with_all_parameters(model: nn.Module, groups: list[_Group], head: frozenset[str]) -> list[Stage]:
    """Stages with their parameters; those outside any unit (a class token) go to the first."""
    auxiliary = {n for n, _ in model.named_parameters() if is_auxiliary(n)}
    names = [n for n, _ in model.named_parameters() if n not in head and n not in auxiliary]
    owner = {u.path: i for i, group in enumerate(groups) for u in group.units}
    members: list[list[str]] = [[] for _ in groups]
    for name in names:
        members[_owner(name, owner)].append(name)
    stages = [Stage(_name(group, groups), tuple(m)) for group, m in zip(groups, members, strict=True)]
    last = tuple(n for n, _ in model.named_parameters() if n in head or n in auxiliary)
    return [*stages, Stage(HEAD, last)]


def _owner(name: str, owner: dict[str, int]) -> int:
    """Number of the group whose unit holds a parameter."""
    path = name
    while path:
        path = path.rpartition(".")[0]
        if path in owner:
            return owner[path]
    return 0


def _name(group: _Group, groups: list[_Group]) -> str:
    """Paths of the first and the last part of a group: ``layer1``, ``features.2-3``, ``conv1-conv2``."""
    elsewhere = {u.series for other in groups if other is not group for u in other.units}
    units = [u for u in group.units if not u.joins]
    parts = list(dict.fromkeys(u.path if u.series is None or u.series in elsewhere else u.series for u in units))
    first, last = parts[0], parts[-1]
    if first == last:
        return first
    parent, _, leaf = last.rpartition(".")
    return f"{first}-{leaf if first.rpartition('.')[0] == parent else last}"
