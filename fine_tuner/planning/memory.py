"""The memory forecast in plain values and words, for ``plan`` and the page."""

from __future__ import annotations

from typing import Any

import torch

from fine_tuner.distributed import device_name
from fine_tuner.memory.forecast import RunForecast, expected_mib, misfit_words
from fine_tuner.memory.readings import memory_used_mib


def describe_memory(forecast: RunForecast, device: torch.device) -> dict[str, Any]:
    """The forecast of a run beside the memory there is; JSON-able.

    Returns:
        What ``RunForecast.to_json`` has, and ``limit_mib`` (memory there is), ``used_mib`` (by all programs now),
        ``expected_mib`` (the chart's dashed line), ``words``, and ``other``: the same in the other precision.
    """
    other = forecast.other
    return forecast.to_json() | {
        "limit_mib": round(forecast.limit_mib),
        "used_mib": round(memory_used_mib(device)),
        "expected_mib": round(expected_mib(forecast, device)),
        "device": device_name(device),
        "words": fit_words(forecast, device),
        "other": other.to_json() if other else None,
        "compared": compared_words(forecast, other) if other else "",
    }


def fit_words(forecast: RunForecast, device: torch.device) -> str:
    """Whether it fits, and the largest batch that does."""
    if not forecast.fits:
        return f"Does not fit. {misfit_words(forecast, device)}"
    most = forecast.largest_batch_size
    return f"Fits. At most {most:,} images at a time." if most > forecast.batch_size else "Fits."


def compared_words(forecast: RunForecast, other: RunForecast) -> str:
    """What half precision saves, or would save, of the memory that depends on it."""
    half, full = (other, forecast) if forecast.dtype == "fp32" else (forecast, other)
    saved = full.total_mib - half.total_mib
    if abs(saved) < 0.02 * full.total_mib:
        return f"{half.dtype} and fp32 take about the same here: most of it does not depend on the precision."
    takes = f"{half.dtype} takes {size_words(abs(saved))} {'less' if saved > 0 else 'more'} than fp32"
    if half.largest_batch_size > full.largest_batch_size:
        return f"{takes}, and fits {half.largest_batch_size:,} images at a time instead of {full.largest_batch_size:,}."
    return f"{takes}."


def size_words(mib: float) -> str:
    """Memory in the unit that suits it.

    >>> size_words(300.2), size_words(4096)
    ('300 MiB', '4.0 GiB')
    """
    return f"{mib:.0f} MiB" if mib < 1024 else f"{mib / 1024:.1f} GiB"


def memory_text(memory: dict[str, Any]) -> list[str]:
    """The forecast for a terminal."""
    parts = {name: mib for name, mib in memory["parts"].items() if name != "total" and mib >= 0.1}
    listed = ", ".join(f"{name} {mib:,.0f}" for name, mib in parts.items())
    besides = f" and {memory['base_mib']:,.0f} besides tensors"
    return [
        f"about {memory['total_mib']:,.0f} of {memory['limit_mib']:,} MiB: {listed}{besides}",
        memory["words"],
        *([memory["compared"]] if memory["compared"] else []),
    ]
