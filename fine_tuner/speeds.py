"""What was measured on this machine: images per second of a network in each precision and memory format.

Kept in a file of the cache folder, so that ``auto`` can choose what was fastest and a plan can tell a run's length.
A measurement holds for one network, image size, trained part, batch size, device and version of torch.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fine_tuner.base.cache_folder import cache_folder
from fine_tuner.base.files import read_json, write_json
from fine_tuner.precision import Measured

_FILE = "speeds.json"
_MOST = 500
GAIN = 1.03  # less than this is noise: fp32 stays
RUN = "run"  # the pace of a whole run, validation and checkpoints included


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """What is measured."""

    network: str
    image_size: int
    trainable: str | int
    batch_size: int
    device: str

    @property
    def key(self) -> str:
        """Text that no other subject has."""
        parts = (self.network, f"{self.image_size} px", self.trainable, f"batch {self.batch_size}", self.device)
        return " | ".join([*map(str, parts), f"torch {torch.__version__}"])


def variant_name(dtype: str, *, is_channels_last: bool) -> str:
    """Name of a precision in a memory format, such as ``bf16 channels-last``."""
    return f"{dtype} channels-last" if is_channels_last else dtype


def read_speeds(subject: Subject) -> Mapping[str, Mapping[str, float]]:
    """What is known: by variant (see ``variant_name``; before it ``run:`` for whole runs) its numbers."""
    found = (read_json(_path()) or {}).get(subject.key, {})
    return found.get("variants", {}) if isinstance(found, dict) else {}


def remember(subject: Subject, variant: str, **numbers: float) -> None:
    """Keep numbers of a variant; a cache folder that cannot be written is no error."""
    known: dict[str, Any] = read_json(_path()) or {}
    entry = known.pop(subject.key, {"variants": {}})
    entry["variants"][variant] = {name: round(value, 4) for name, value in numbers.items()}
    entry["at"] = round(time.time())
    known[subject.key] = entry
    while len(known) > _MOST:
        known.pop(next(iter(known)))
    with suppress(OSError):
        _path().parent.mkdir(parents=True, exist_ok=True)
        write_json(_path(), known)


def fastest(subject: Subject) -> Measured | None:
    """The fastest variant measured; None unless plain fp32 and another were."""
    speeds = {
        name: numbers["images_per_second"]
        for name, numbers in read_speeds(subject).items()
        if not name.startswith(RUN) and "images_per_second" in numbers
    }
    if "fp32" not in speeds or len(speeds) < 2:
        return None
    best = max(speeds, key=speeds.__getitem__)
    if speeds[best] < GAIN * speeds["fp32"]:
        best = "fp32"
    dtype, _, layout = best.partition(" ")
    return Measured(
        dtype=dtype, is_channels_last=bool(layout), images_per_second=speeds[best], fp32_per_second=speeds["fp32"]
    )


def _path() -> Path:
    return cache_folder() / _FILE
