"""The output layer of an earlier run's weights, matched with the classes of the data by name, never by position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from fine_tuner.base.text import some
from fine_tuner.models.pretrained.state import State


@dataclass(frozen=True)
class HeadPlan:
    """What becomes of the output layer of earlier weights.

    Attributes:
        is_kept: Its rows go on, in ``order``; else the layer is new.
        order: For each output of the new network the row that was its class; None: as they are.
        notice: What a person should know; empty if nothing changes.
    """

    is_kept: bool
    order: tuple[int, ...] | None = None
    notice: str = ""


def plan_head(saved: Mapping[str, Any] | None, names: Sequence[str]) -> HeadPlan:
    """Whether the outputs of earlier weights are the classes of the data, perhaps in another order.

    Args:
        saved: Metadata of weights of ours; None or without classes: nothing is known of their outputs.
        names: The outputs that the data needs, in order; empty: not known.
    """
    were = list((saved or {}).get("classes", ()))
    if not were or not names or were == list(names):
        return HeadPlan(is_kept=True)
    if sorted(were) == sorted(names) and len(set(were)) == len(were):
        order = tuple(were.index(name) for name in names)
        return HeadPlan(True, order, "The weights' classes are in another order; their outputs follow the names.")
    gone = [n for n in were if n not in set(names)]
    come = [n for n in names if n not in set(were)]
    if gone and come:
        what = f"know other classes ({some(gone, 3)}; not {some(come, 3)})"
    elif gone:
        what = f"know more classes ({some(gone, 3)})"
    else:
        what = f"do not know all classes (not {some(come or list(names), 3)})"
    return HeadPlan(is_kept=False, notice=f"The weights {what}, so the output layer is new.")


def reordered(state: State, layers: Sequence[str], order: Sequence[int]) -> State:
    """``state`` with the rows of the output layers in this order."""
    index = torch.tensor(order)
    tensors = dict(state.tensors)
    for name, tensor in state.tensors.items():
        if name.rpartition(".")[0] in layers and tensor.ndim and tensor.shape[0] == len(order):
            tensors[name] = tensor[index]
    return replace(state, tensors=tensors)
