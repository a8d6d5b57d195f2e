"""The second loss of a weighted sum: any loss of ``losses.py`` with a ``weight``, or none.

The classes are made from the first ones, so a loss and its parameters are written once. Total = loss + weight x second.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal

import annotated_types as at
from pydantic import Field

from fine_tuner.config.knobs import Knob, tag_of
from fine_tuner.config.sections.losses import ALL_TASKS, VARIANTS, LossBase


@dataclass(frozen=True, kw_only=True)
class SecondLossBase(LossBase):
    """Fields that every second loss has; they survive a change of the second loss."""

    weight: Annotated[
        float,
        at.Gt(0),
        Knob(
            label="Weight",
            help="Total = first loss + weight x second loss.",
            unless=(("second_loss.name", ("none",)),),
        ),
    ] = 1.0


@dataclass(frozen=True, kw_only=True)
class NoSecondLoss(SecondLossBase):
    """No second loss."""

    tasks = ALL_TASKS
    name: Literal["none"] = "none"


def _as_second(variant: type[LossBase]) -> type[SecondLossBase]:
    """The same loss with a ``weight``."""
    namespace: dict[str, Any] = {"__doc__": variant.__doc__, "__module__": __name__}
    made = type(f"Second{variant.__name__}", (variant, SecondLossBase), namespace)
    return dataclass(frozen=True, kw_only=True)(made)


SECOND_VARIANTS: Mapping[str, type[SecondLossBase]] = {tag_of(v): _as_second(v) for v in VARIANTS}
SecondLossSettings = Annotated[reduce(or_, SECOND_VARIANTS.values(), NoSecondLoss), Field(discriminator="name")]


def without_weight(second: SecondLossBase) -> LossBase | None:
    """The loss that a second loss adds, as if it were the first; None for none."""
    variant = next((v for v in VARIANTS if isinstance(second, v) and tag_of(v) == second.name), None)
    if variant is None:
        return None
    return variant(**{f.name: getattr(second, f.name) for f in dataclasses.fields(variant)})
