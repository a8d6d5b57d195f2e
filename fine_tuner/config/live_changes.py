"""What can change while a run trains: name, bounds and words of each setting, and how a change is written.

The command ``set``, the page's controls, the worker, the schedule and the exported script all read this list. A change
that was made is also a setting of the next run, ``STEP:SETTING=VALUE``, such as ``120:lr_factor=0.5``: after 120 steps
the rates of all groups are halved.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from fine_tuner.base.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveSetting:
    """A setting that can change while a run trains. Its value is a number above 0.

    Attributes:
        path: As it is asked for and recorded; ``lr_factor`` is the only one that is no setting of a new run.
        label: On the page.
        effect: What a change does, as a sentence.
        example: Of a value, as a person types it.
        at_most: Highest value.
        is_whole: Only whole numbers.
        mark: What stands on the curves; ``{}`` is the value.
    """

    path: str
    label: str
    effect: str
    example: str
    at_most: float
    is_whole: bool = False
    mark: str

    def problem(self, value: Any) -> str:
        """What is wrong with a value, to stand after it; "" if nothing is.

        >>> LR.problem(-1), LR.problem(1e-3)
        ('is not a number above 0', '')
        """
        if isinstance(value, bool) or not isinstance(value, int | float) or not (math.isfinite(value) and value > 0):
            return "is not a number above 0"
        if self.is_whole and not float(value).is_integer():
            return f"is not a whole number of {self.label.lower()}"
        return f"is more than {self.at_most:g}" if value > self.at_most else ""


LR_FACTOR = LiveSetting(
    path="lr_factor", label="Rate \u00d7", effect="Multiplies the rates of all groups.", example="0.5", at_most=1000,
    mark="rate \u00d7 {:g}",
)  # fmt: skip
LR = LiveSetting(
    path="optim.lr", label="New rate", effect="Gives the head this rate, the other groups in proportion.",
    example="3e-4", at_most=100, mark="rate {:.3g}",
)  # fmt: skip
EPOCHS = LiveSetting(
    path="train.epochs", label="Epochs", effect="Makes the run this many epochs long, and fits the schedule to it.",
    example="20", at_most=100_000, is_whole=True, mark="{:g} epochs",
)  # fmt: skip
LIVE_SETTINGS: Mapping[str, LiveSetting] = {one.path: one for one in (LR_FACTOR, LR, EPOCHS)}
NAMES = f"{LR_FACTOR.path}, {LR.path} and {EPOCHS.path}"
EXAMPLES = ", ".join(f"{one.path}={one.example}" for one in LIVE_SETTINGS.values())


def unknown(setting: str) -> ConfigError:
    """The error for a setting that cannot change while a run trains."""
    return ConfigError({setting: f"cannot be changed while training. Known: {', '.join(LIVE_SETTINGS)}."})


def checked(wish: Mapping[str, Any]) -> dict[str, float]:
    """What is wished, by path, with whole numbers as such.

    Raises:
        ConfigError: If nothing is wished, a setting cannot change, a value is out of bounds, or two say the rate.
    """
    if not wish or {LR_FACTOR.path, LR.path} <= wish.keys():
        raise ConfigError({"set": f"nothing to change: give one of {LR_FACTOR.path} and {LR.path}, or {EPOCHS.path}."})
    for path, value in wish.items():
        if path not in LIVE_SETTINGS:
            raise unknown(path)
        setting = LIVE_SETTINGS[path]
        if problem := setting.problem(value):
            raise ConfigError({path: f"{value!r:.40} {problem}. Write {path}={setting.example}, for instance."})
    return {path: int(value) if LIVE_SETTINGS[path].is_whole else float(value) for path, value in wish.items()}


def live_settings() -> dict[str, dict[str, Any]]:
    """Path to label, bounds and example of each, as plain values: what the page's controls are made from."""
    return {path: asdict(one) for path, one in LIVE_SETTINGS.items()}


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
    if setting not in LIVE_SETTINGS:
        raise ValueError(
            f"{setting!r} in {text!r} cannot be changed while training; known are {', '.join(LIVE_SETTINGS)}"
        )
    if problem := LIVE_SETTINGS[setting].problem(value):
        raise ValueError(f"{match[3]!r} in {text!r} {problem}")
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
        if setting in LIVE_SETTINGS
    )  # what else a mark tells of is no setting


def wishes_of(changes: Iterable[Change]) -> list[tuple[int, dict[str, float]]]:
    """The inverse of ``changes_of``, as a trainer takes them, in the order of their steps."""
    return [(c.step, {c.setting: c.value}) for c in sorted(changes, key=lambda c: c.step)]
