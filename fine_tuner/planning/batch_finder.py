"""Find the largest batch by measurement, with evaluation and the later unfrozen phase counted, and a margin.

On a GPU, steps are tried until one does not fit; on a CPU, where what does not fit ends the program or the machine's
patience, the forecast is checked by a measured step and followed.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from fine_tuner.base.errors import ConfigError, TrainingError
from fine_tuner.base.text import counted
from fine_tuner.config.io import replace
from fine_tuner.config.settings import Settings
from fine_tuner.data.records import DataSplits
from fine_tuner.distributed.device_memory import free_memory, is_out_of_memory, memory_counter
from fine_tuner.memory.forecast import Counted, counted_of
from fine_tuner.memory.readings import MIB, memory_limit_mib, memory_used_mib, process_mib
from fine_tuner.planning.measured_steps import (
    Measurement,
    MicroBatch,
    OnMeasured,
    measure_steps,
    take_batches,
)
from fine_tuner.tasks.build import Assembly, assemble, build_data

MARGIN = 0.1  # of the memory there is stays free: fragmentation, and what other programs take meanwhile
_MOST_TRIED = 64  # images of the measured step on a CPU: more takes minutes
_TRIES = 8


def find_batch(settings: Settings, *, global_batch_size: int | None, on_progress: OnMeasured) -> dict[str, Any]:
    """The largest micro-batch that fits, and what to set; JSON-able.

    Args:
        settings: Of the run.
        global_batch_size: Images that make one step; None: as many as fit at once.
        on_progress: Told tries done, tries at most, and what is being tried.

    Raises:
        InputError: As training would.
    """
    data = build_data(settings)
    images = len(data.splits["train"])
    with assemble(settings, data) as assembly:
        device, counted = assembly.device, counted_of(assembly, assembly.precision.dtype)
        if memory_counter(device) is not None:
            limit = (1 - MARGIN) * memory_limit_mib(device)
            largest, tried = _by_trying(settings, data, counted, limit, on_progress)
        else:
            limit = process_mib() + (1 - MARGIN) * (memory_limit_mib(device) - memory_used_mib(device))
            largest, tried = _by_forecast(assembly, counted, limit, images, on_progress)
    free_memory(device)
    return _result(settings, largest, tried, limit, global_batch_size=global_batch_size, images=images)


def _by_forecast(
    assembly: Assembly, counted: Counted, limit_mib: float, images: int, on_progress: OnMeasured
) -> tuple[int, list[dict[str, Any]]]:
    """The forecast's largest batch, corrected by what a step really took if it took more."""
    base = process_mib() - counted.step.weights / MIB
    first = counted.largest_batch_size(limit_mib - base, most=images)
    if first < 1:
        return 0, []
    size = min(first, _MOST_TRIED)
    on_progress(0, 1, f"{size} images")
    batch = _batch_of(assembly, size)
    measured = measure_steps(assembly, [batch], steps=1, with_evaluation=True)
    forecast = base + counted.at(size).total
    row = {"batch_size": size, "peak_mib": round(measured.peak_mib), "forecast_mib": round(forecast), "fits": True}
    on_progress(1, 1, f"{size} images: {measured.peak_mib:.0f} MiB")
    excess = max(1.0, (measured.peak_mib - base) / counted.at(size).total)
    return counted.largest_batch_size((limit_mib - base) / excess, most=images), [row]


def _batch_of(assembly: Assembly, size: int) -> MicroBatch:
    """One micro-batch of ``size`` images: those of the run, over again where they are too few."""
    images, targets = take_batches(assembly, 1)[0]
    if not isinstance(targets, torch.Tensor):  # mixed: both halves count
        return images, targets
    rows = torch.arange(size) % len(images)
    return images[rows], targets[rows]


def _by_trying(
    settings: Settings, data: DataSplits, counted: Counted, limit_mib: float, on_progress: OnMeasured
) -> tuple[int, list[dict[str, Any]]]:
    """Bisect between a batch that fitted and one that did not, starting from the forecast."""
    images = len(data.splits["train"])
    fits, misses, tried = 0, images + 1, []
    size = max(1, min(images, counted.largest_batch_size(limit_mib, most=images)))
    while len(tried) < _TRIES and misses - fits > max(1, fits // 16):
        on_progress(len(tried), _TRIES, f"{size} images")
        try:
            measured = _try(settings, data, size)
        except ConfigError as error:  # one image is too few for a BatchNorm
            if size > 1 or set(error.fields) != {"train.batch_size"}:
                raise
            break
        is_fitting = measured is not None and measured.peak_mib <= limit_mib
        tried.append(
            {"batch_size": size, "peak_mib": round(measured.peak_mib) if measured else None, "fits": is_fitting}
        )
        fits, misses = (size, misses) if is_fitting else (fits, size)
        size = min(images, 2 * fits) if misses > images else (fits + misses) // 2
        if size <= fits:
            break
    return fits, tried


def _try(settings: Settings, data: DataSplits, size: int) -> Measurement | None:
    """Steps and an evaluation of ``size`` images on a network of their own; None if memory ran out."""
    device = None
    try:
        with assemble(replace(settings, f"train.batch_size={size}", "train.accumulate=1"), data) as assembly:
            device = assembly.device
            return measure_steps(assembly, [_batch_of(assembly, size)], steps=1, with_evaluation=True)
    except (RuntimeError, MemoryError, TrainingError) as error:
        if not is_out_of_memory(error):
            raise
        return None
    finally:
        if device is not None:
            free_memory(device)


def _result(
    settings: Settings, largest: int, tried: list[dict[str, Any]], limit_mib: float, *, global_batch_size: int | None,
    images: int,
) -> dict[str, Any]:  # fmt: skip
    batch_size, accumulate = split_batch(largest, global_batch_size)
    suggestion = {"train.batch_size": batch_size, "train.accumulate": accumulate} if largest else None
    return {
        "network": settings.model.name,
        "largest_batch_size": largest,
        "limit_mib": round(limit_mib),
        "margin_percent": round(100 * MARGIN),
        "tried": tried,
        "suggestion": suggestion,
        "global_batch_size": batch_size * accumulate,
        "words": _words(largest, batch_size, accumulate, images=images),
    }


def split_batch(largest: int, wanted: int | None) -> tuple[int, int]:
    """Micro-batch and how many of them make the wanted batch, the micro-batches as even as they can be.

    >>> split_batch(100, 256)
    (86, 3)
    >>> split_batch(100, None)
    (96, 1)
    """
    if largest < 1:
        return 0, 1
    if wanted is None:
        return (largest if largest < 16 else largest // 8 * 8), 1
    accumulate = math.ceil(wanted / largest)
    return math.ceil(wanted / accumulate), accumulate


def _words(largest: int, batch_size: int, accumulate: int, *, images: int) -> str:
    if largest < 1:
        return "No batch that could train fits. Choose a smaller network or image, or half precision."
    most = f"At most {largest:,} images fit at once, with {100 * MARGIN:.0f} % of the memory to spare"
    if largest >= images:
        most = f"All {images:,} training images fit at once"
    steps = math.ceil(images / (batch_size * accumulate))
    after = f"That makes {counted(steps, 'step')} per epoch; a larger batch wants a larger rate."
    if accumulate > 1:
        return f"{most}. {accumulate} times {batch_size} make a step of {accumulate * batch_size} images. {after}"
    return f"{most}. {after}"


def batch_text(result: dict[str, Any]) -> str:
    """The result for a terminal."""
    lines = [
        f"tried {row['batch_size']} images: "
        + (f"{row['peak_mib']} MiB" + ("" if row["fits"] else ", too much") if row["peak_mib"] else "out of memory")
        for row in result["tried"]
    ]
    sets = " ".join(f"{path}={value}" for path, value in (result["suggestion"] or {}).items())
    return "\n".join([*lines, result["words"], *([sets] if sets else [])])
