"""What was measured on this machine: images per second of a network in each precision and memory format.

Kept in a file of the cache folder, so that ``auto`` can choose what was fastest and a plan can tell a run's length.
A measurement holds for one network, image size, trained part, batch size, device and version of torch.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import torch

from fine_tuner.base.cache_folder import cache_database
from fine_tuner.precision import Measured

_FILE = "speeds.sqlite"
_SCHEMA = """
    CREATE TABLE IF NOT EXISTS speeds
    (subject TEXT, variant TEXT, numbers TEXT, at REAL, PRIMARY KEY (subject, variant))
"""
_FORGET = """
    DELETE FROM speeds WHERE subject NOT IN
    (SELECT subject FROM speeds GROUP BY subject ORDER BY max(at) DESC LIMIT ?)
"""
_MOST = 500  # subjects, the last measured
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
    with cache_database(_FILE, _SCHEMA) as database, suppress(sqlite3.Error, ValueError):
        rows = database.execute("SELECT variant, numbers FROM speeds WHERE subject=? ORDER BY at", (subject.key,))
        return {variant: json.loads(numbers) for variant, numbers in rows}
    return {}


def remember(subject: Subject, variant: str, **numbers: float) -> None:
    """Keep numbers of a variant, whoever else measures meanwhile; a cache that cannot be written is no error."""
    text = json.dumps({name: round(value, 4) for name, value in numbers.items()}, allow_nan=False)
    with cache_database(_FILE, _SCHEMA) as database, suppress(sqlite3.Error), database:
        database.execute("INSERT OR REPLACE INTO speeds VALUES (?, ?, ?, ?)", (subject.key, variant, text, time.time()))
        database.execute(_FORGET, (_MOST,))


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
