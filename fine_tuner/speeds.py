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
from fine_tuner.precision import Measured, Switch

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
TRIAL = "trial"  # a few steps before or at the beginning of a run, on a processor of one core
READING = "reading"  # of a training image on one core: decoded and augmented
FROM_STEPS = "from a few measured steps"
_CORE_SHARE = 0.75  # of a core's speed that each of several adds: loading and threads that wait take the rest


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


def read_speeds(subject: Subject) -> Mapping[str, Mapping[str, float]]:
    """What is known: by variant (see ``variant_name``; before it ``run:`` or ``trial:``) its numbers."""
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


def expected_speed(
    known: Mapping[str, Mapping[str, float]], whole: str, variant: str, *, cores: int = 1
) -> tuple[float, str] | None:
    """Images per second to expect of a run, and what that rests on; None if nothing like it was measured.

    The pace of a run on a busy machine is the last choice: it says more of the other programs than of the network.

    Args:
        known: By variant, as ``read_speeds`` has it.
        whole: Name under which the pace of such a run is kept.
        variant: Precision and memory format.
        cores: That will compute; of a trial on a processor, one did.

    >>> measured = {"trial:fp32": {"images_per_second": 20}, "reading": {"seconds_per_image": 0.05}}
    >>> expected_speed(measured, "run:fp32", "fp32", cores=4)
    (30.0, 'from a few measured steps')
    """
    measured = [
        (whole, "at the pace of the last run of this network here"),
        (variant, "training alone, at the measured speed"),
        (f"{TRIAL}:{variant}", FROM_STEPS),
    ]
    if known.get(whole, {}).get("crowding", 1.0) > 1:
        measured = [*measured[1:], (whole, "at the pace of a run of this network here while the machine was busy")]
    for name, words in measured:
        if speed := known.get(name, {}).get("images_per_second"):
            return _whole_speed(known, name, speed, cores), words
    return None


def remember_run(subject: Subject, variant: str, *, images_per_second: float, crowding: float) -> None:
    """Keep the pace of a whole run, unless other programs took its time and a faster one is known.

    Args:
        subject: What ran.
        variant: Name under which the pace is kept.
        images_per_second: Validation and checkpoints included.
        crowding: How busy the machine was before the run, see ``base/machine.py``.
    """
    known = read_speeds(subject).get(variant, {}).get("images_per_second", 0.0)
    if crowding == 1 or images_per_second > known:
        remember(subject, variant, images_per_second=images_per_second, crowding=crowding)


def usual_speed(known: Mapping[str, Mapping[str, float]], *, cores: int = 1) -> float | None:
    """Images per second before the precision is chosen: of whole runs, else of steps, else of a trial; the fastest."""
    for kind in (RUN, "", TRIAL):
        speeds = [
            _whole_speed(known, name, numbers["images_per_second"], cores)
            for name, numbers in known.items()
            if name.rpartition(":")[0].partition(":")[0] == kind and "images_per_second" in numbers
        ]
        if speeds:
            return max(speeds)
    return None


def _whole_speed(known: Mapping[str, Mapping[str, float]], name: str, speed: float, cores: int) -> float:
    """Images per second of a run: a trial left out the reading of images, and had one core."""
    if not name.startswith(f"{TRIAL}:"):
        return speed
    seconds = 1 / speed + known.get(READING, {}).get("seconds_per_image", 0.0)
    return max(1.0, _CORE_SHARE * cores) / seconds


def known_fastest(subject: Subject, channels_last: Switch = "auto") -> Measured | None:
    """The fastest variant that was ever measured, of one memory format or of both; see ``fastest``."""
    known = {name: n["images_per_second"] for name, n in read_speeds(subject).items() if "images_per_second" in n}
    tried = {name.removeprefix(f"{TRIAL}:"): speed for name, speed in known.items() if name.startswith(f"{TRIAL}:")}
    compared = {name: speed for name, speed in known.items() if ":" not in name}
    return fastest(compared, channels_last) or fastest(tried, channels_last)


def fastest(speeds: Mapping[str, float], channels_last: Switch = "auto") -> Measured | None:
    """The fastest of variants by their images per second; None unless float32 and another were measured."""
    if channels_last != "auto":
        speeds = {name: s for name, s in speeds.items() if (" " in name) == (channels_last == "on")}
    plain = next((name for name in ("fp32", "fp32 channels-last") if name in speeds), None)
    if plain is None or len(speeds) < 2:
        return None
    best = max(speeds, key=speeds.__getitem__)
    if speeds[best] < GAIN * speeds[plain]:
        best = plain
    dtype, _, layout = best.partition(" ")
    return Measured(
        dtype=dtype,
        is_channels_last=bool(layout),
        images_per_second=speeds[best],
        fp32_per_second=speeds[plain],
        speeds=dict(speeds),
    )
