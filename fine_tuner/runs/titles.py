"""What a run is called: the user's words, or its data and network, and what is new in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fine_tuner.base.text import short_number
from fine_tuner.config.explain import FIELDS
from fine_tuner.config.knobs import Field, lookup

MOST_TOLD = 2
# What does not make another run of it: said elsewhere in the title, or without effect on what is learned.
_UNTOLD = frozenset(
    {"title", "task", "model.name", "devices", "data.num_workers", "data.decoded_mib", "train.keep_checkpoints",
     "train.minutes", "precision.dtype", "precision.channels_last", "precision.tf32"}
)  # fmt: skip
_FIRST = ("model", "loss", "optim", "schedule", "train", "augment", "seed")
_CHOSEN = ("loss", "second_loss", "optim", "schedule")


def new_in(tree: Mapping[str, Any], before: Mapping[str, Any]) -> str:
    """The settings of ``tree`` that are others than those of a run before it; "" if there is nothing to tell.

    The most telling two, and how many more there are. Where another loss, optimizer or schedule was chosen, its own
    parameters are not told. What is free text, or a path, never is: titles are shown to viewers.

    >>> new_in({"seed": 1, "optim": {"lr": 0.003}}, {"seed": 0, "optim": {"lr": 0.001}})
    'learning rate 3e-3, seed 1'
    """
    chosen = [part for part in _CHOSEN if _differs(tree, before, f"{part}.name")]
    told = [f"{part.replace('_', ' ')} {lookup(tree, f'{part}.name')}" for part in chosen]
    fields = {spec.path: spec for spec in FIELDS if spec.path.partition(".")[0] not in chosen}
    for spec in sorted(fields.values(), key=lambda spec: _rank(spec.path)):
        if spec.path not in _UNTOLD and _is_plain(spec) and _differs(tree, before, spec.path):
            told.append(f"{spec.knob.label[:1].lower()}{spec.knob.label[1:]} {_written(lookup(tree, spec.path))}")
    more = f" +{len(told) - MOST_TOLD}" if len(told) > MOST_TOLD else ""
    return ", ".join(told[:MOST_TOLD]) + more


def _rank(path: str) -> int:
    section = path.partition(".")[0]
    return _FIRST.index(section) if section in _FIRST else len(_FIRST)


def _is_plain(spec: Field) -> bool:
    """Whether its values are numbers, switches or words of ours."""
    return spec.type in (int, float, bool) or bool(spec.choices)


def _differs(tree: Mapping[str, Any], before: Mapping[str, Any], path: str) -> bool:
    """What is left empty says nothing new."""
    value = lookup(tree, path)
    return value is not None and value != lookup(before, path)


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return short_number(value)
