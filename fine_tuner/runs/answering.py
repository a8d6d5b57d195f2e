"""How a run's weights are to answer, as a person chose by its results: ``answering.json``; none: as trained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fine_tuner.base.files import change_json, read_json
from fine_tuner.runs.layout import RunFolder


@dataclass(frozen=True, slots=True)
class Answering:
    """A choice.

    Attributes:
        temperature: Logits of classes are divided by it; 1: as trained.
        thresholds: Probability from which on a label is said, by name; one half for those not named.
    """

    temperature: float = 1.0
    thresholds: Mapping[str, float] = field(default_factory=dict)


def read_answering(run: RunFolder) -> Answering:
    """What was chosen; as trained where nothing was, or the file is damaged."""
    found = read_json(run.answering) or {}
    temperature, thresholds = found.get("temperature"), found.get("thresholds")
    return Answering(
        float(temperature) if _is_number(temperature) and 0 < temperature < math.inf else 1.0,
        {str(k): float(v) for k, v in thresholds.items() if _is_number(v) and 0 <= v <= 1}
        if isinstance(thresholds, dict)
        else {},
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def choose_answering(
    run: RunFolder, *, temperature: float | None = None, thresholds: Mapping[str, float] | None = None
) -> None:
    """Change what is given; None leaves as it is. A temperature of 1 and a threshold of one half are as trained.

    Raises:
        OSError: If the run's folder cannot be written.
    """

    def change(before: dict[str, Any]) -> dict[str, Any]:
        kept = {**(before.get("thresholds") or {}), **(thresholds or {})}
        return {
            "temperature": before.get("temperature", 1.0) if temperature is None else temperature,
            "thresholds": {name: value for name, value in kept.items() if value != 0.5},
        }

    change_json(run.answering, change)
