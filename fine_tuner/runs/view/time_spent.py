"""Where a run's time went, as shares and as a sentence with what follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fine_tuner.runs.log.payloads import TimePart

LABELS: Mapping[TimePart, str] = {
    "data": "waiting for pictures",
    "forward": "forward pass",
    "backward": "backward pass",
    "update": "update of the weights",
    "validation": "validation",
    "other": "saving and the rest",
}
_LEAST_SECONDS = 1.0  # less says nothing of a run
_ADVICE: Mapping[TimePart, tuple[float, str]] = {
    "data": (
        0.25,
        "More loading processes (data.num_workers) and room to keep every picture decoded (data.decoded_mib) help.",
    ),
    "validation": (0.4, "A smaller validation split (data.val_fraction) leaves more of it for training."),
    "update": (0.3, "With larger batches (train.batch_size) there are fewer updates."),
    "other": (0.5, "Epochs are short here: fewer of them with more steps each would be saved less often."),
}


@dataclass(frozen=True, slots=True)
class TimeShare:
    """A part of the time at work.

    Attributes:
        share: 0 to 1; all shares of a run add up to 1.
    """

    part: TimePart
    label: str
    seconds: float
    share: float


@dataclass(frozen=True, slots=True)
class TimeSpent:
    """Where the time went: all parts that took any, in the order of a step, and a sentence about them."""

    shares: tuple[TimeShare, ...]
    text: str


def time_spent(seconds: Mapping[str, float]) -> TimeSpent | None:
    """Shares of ``Facts.time_spent``; None while there is too little to tell.

    >>> time_spent({"data": 6.0, "forward": 2.0, "backward": 2.0}).text.partition(". ")[0]
    '60 % of the time the device waits for pictures'
    """
    total = sum(seconds.values())
    if total < _LEAST_SECONDS:
        return None
    shares = tuple(
        TimeShare(part, label, seconds[part], seconds[part] / total)
        for part, label in LABELS.items()
        if seconds.get(part, 0.0) > 0.0
    )
    return TimeSpent(shares, _text({share.part: share.share for share in shares}))


def _text(shares: Mapping[TimePart, float]) -> str:
    over = {part: shares.get(part, 0.0) - least for part, (least, _) in _ADVICE.items()}
    worst = max(over, key=lambda part: over[part])
    if over[worst] < 0.0:
        busy = sum(shares.get(part, 0.0) for part in ("forward", "backward", "update"))
        return f"{100 * busy:.0f} % of the time the network trains."
    found = "the device waits for pictures" if worst == "data" else f"goes to {LABELS[worst]}"
    return f"{100 * shares[worst]:.0f} % of the time {found}. {_ADVICE[worst][1]}"
