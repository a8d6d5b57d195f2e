"""The second loss of a weighted sum: any loss of ``losses.py`` with a ``weight``, or none.

The classes are made from the first ones, so a loss and its parameters are written once. Total = loss + weight x second.
It is a section of its own, not a list of losses, since each setting has one dotted path (``second_loss.gamma``) that a
field, a command and a file name alike. Whoever asks for the losses of a run asks ``losses_of``: there both are alike.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal, Protocol

import annotated_types as at
from pydantic import Field

from fine_tuner.config.knobs import Knob, lookup, tag_of
from fine_tuner.config.sections.losses import ALL_TASKS, CUSTOM, VARIANTS, LossBase

LOSS_SECTIONS = ("loss", "second_loss")


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


class Losses(Protocol):
    """The part of the settings that names losses."""

    @property
    def loss(self) -> LossBase:
        """The loss."""
        ...

    @property
    def second_loss(self) -> SecondLossBase:
        """What is added to it."""
        ...


def losses_of(settings: Losses) -> dict[str, LossBase]:
    """The losses of a run by section, the second one as if it were the first."""
    second = without_weight(settings.second_loss)
    return {"loss": settings.loss} | ({} if second is None else {"second_loss": second})


def sections_of_own_code(tree: Mapping[str, Any]) -> list[str]:
    """Sections of a tree of settings whose loss is code of the user's."""
    return [section for section in LOSS_SECTIONS if lookup(tree, f"{section}.name") == CUSTOM]
