"""Changes of rate or length made while a run trains, written as settings so that another run makes them again.

One change is ``STEP:SETTING=VALUE``, such as ``120:lr_factor=0.5``: after 120 steps the rates of all groups are halved.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

CHANGEABLE: Mapping[str, str] = {
    "lr_factor": "multiplies the rates of all groups",
    "optim.lr": "gives the head this rate, the other groups in proportion",
    "train.epochs": "makes the run this many epochs long, and fits the schedule to it",
}
_FORM = re.compile(r"\s*(\d+)\s*:\s*([\w.]+)\s*=\s*(\S+)\s*")


class Change(NamedTuple):
    """One change: ``setting`` becomes (or ``lr_factor`` multiplies by) ``value`` after ``step`` steps of the run."""

    step: int
    setting: str
    value: float

    def __str__(self) -> str:
        value = repr(self.value).removesuffix(".0")  # reads back as the same number
        return f"{self.step}:{self.setting}={value}"


def parse_change(text: str) -> Change:
    """A change from its text.

    Raises:
        ValueError: Saying what of the text is wrong and how to write it.

    >>> parse_change("120:lr_factor=0.5")
    Change(step=120, setting='lr_factor', value=0.5)
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not STEP:SETTING=VALUE, such as 120:lr_factor=0.5")
    step, setting, value = int(match[1]), match[2], _number(match[3])
    if setting not in CHANGEABLE:
        raise ValueError(f"{setting!r} in {text!r} cannot be changed while training; known are {', '.join(CHANGEABLE)}")
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{match[3]!r} in {text!r} is not a number above 0")
    if setting == "train.epochs" and not value.is_integer():
        raise ValueError(f"{match[3]!r} in {text!r} is not a whole number of epochs")
    return Change(step, setting, value)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def changes_of(made: Iterable[tuple[int, Mapping[str, Any]]]) -> tuple[Change, ...]:
    """Changes as settings from those of a log: steps done then, and setting to value."""
    return tuple(
        Change(step, setting, float(value))
        for step, wish in made
        for setting, value in wish.items()
        if setting in CHANGEABLE
    )  # what else a mark tells of is no setting


def wishes_of(changes: Iterable[Change]) -> list[tuple[int, dict[str, float]]]:
    """The inverse of ``changes_of``, as a trainer takes them, in the order of their steps."""
    return [(c.step, {c.setting: c.value}) for c in sorted(changes, key=lambda c: c.step)]
