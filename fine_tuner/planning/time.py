"""How long a run will take, as far as this machine has seen its like."""

from __future__ import annotations

from typing import Any

from fine_tuner.speeds import RUN, read_speeds, variant_name
from fine_tuner.tasks.build import Assembly, subject_of


def time_estimate(assembly: Assembly) -> dict[str, Any]:
    """``seconds_estimate``, None if nothing like this run was seen, and ``seconds_words`` that say what it rests on."""
    settings, precision = assembly.settings, assembly.precision
    known = read_speeds(subject_of(settings, assembly.built, assembly.device))
    variant = variant_name(precision.dtype, is_channels_last=precision.is_channels_last)
    images = settings.train.epochs * len(assembly.data.splits["train"])
    for key, words in (
        (f"{RUN}:{variant}", "at the pace of the last run of this network here"),
        (variant, "training alone, at the measured speed"),
    ):
        if speed := known.get(key, {}).get("images_per_second"):
            seconds = images / speed
            return {"seconds_estimate": round(seconds, 1), "seconds_words": f"about {seconds:,.0f} s, {words}"}
    words = "unknown: this network has not trained at this batch size and precision here yet"
    return {"seconds_estimate": None, "seconds_words": words}
