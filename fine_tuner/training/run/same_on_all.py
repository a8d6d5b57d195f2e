"""Whether the machines that train a run together have the same programs and the same data."""

from __future__ import annotations

import hashlib
import socket
from contextlib import suppress
from typing import Any

import torch
import torchvision

from fine_tuner import __version__
from fine_tuner.base.errors import DataError, TrainingError
from fine_tuner.base.machine import local_rank
from fine_tuner.config.settings import Settings
from fine_tuner.data.records import DataSplits
from fine_tuner.distributed.ranks import Ranks

_LOOKED_AT = 200  # files of each split whose size is compared


def check_same(ranks: Ranks, data: DataSplits, settings: Settings) -> None:
    """Do nothing if all ranks would train the same thing.

    Raises:
        TrainingError: With what differs, and where.
        DataError: If the files of the data differ.
    """
    mine = {
        "Fine Tuner": __version__,
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "the settings": hashlib.sha256(repr(settings).encode()).hexdigest()[:12],
        "the data": _fingerprint(data) if local_rank() == 0 else None,
    }
    all_of_them = ranks.collect((socket.gethostname(), mine))
    host, first = all_of_them[0]
    for other_host, other in all_of_them[1:]:
        for what, value in first.items():
            if other[what] not in (None, value):
                raise _difference(what, (host, value), (other_host, other[what]))


def _difference(what: str, first: tuple[str, Any], other: tuple[str, Any]) -> Exception:
    if what == "the data":
        return DataError(
            f"The data is not the same on {first[0]} and {other[0]}: files are missing there, or have another size. "
            "Give all nodes the same data at the same path, best on storage that they share."
        )
    return TrainingError(
        f"{what[:1].upper()}{what[1:]} is {first[1]} on {first[0]} and {other[1]} on {other[0]}. Make it the same on "
        "all nodes."
    )


def _fingerprint(data: DataSplits) -> str:
    """Of the sizes of some files of each split."""
    found = hashlib.sha256()
    for split, records in sorted(data.splits.items()):
        found.update(f"{split} {len(records)}".encode())
        for record in records[:: max(1, len(records) // _LOOKED_AT)]:
            size = -1
            with suppress(OSError):
                size = record.image.stat().st_size
            found.update(f"{record.image.name} {size}".encode())
    return found.hexdigest()[:12]
