"""Compare precisions: a few measured steps of each precision and memory format on the user's model and data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from fine_tuner.base.errors import TrainingError
from fine_tuner.config.io import replace
from fine_tuner.config.settings import Settings
from fine_tuner.data.records import DataSplits
from fine_tuner.distributed.device_memory import free_memory, is_out_of_memory
from fine_tuner.distributed.devices import choose_device, device_name
from fine_tuner.planning.measured_steps import (
    WARM_UP,
    Measurement,
    OnMeasured,
    measure_steps,
    take_batches,
)
from fine_tuner.precision import device_support, variant_name, variants_for
from fine_tuner.speeds import GAIN, Subject, known_fastest, remember
from fine_tuner.tasks.build import assemble, build_data, subject_of

_BATCHES = 2


def compare_precisions(settings: Settings, *, steps: int, on_progress: OnMeasured) -> dict[str, Any]:
    """Measure each precision and memory format; JSON-able. What was measured is remembered for ``auto``.

    Args:
        settings: Of the run; its precision is replaced.
        steps: Timed steps of each.
        on_progress: Told steps done, steps in all, and which variant.

    Raises:
        InputError: As training would.
    """
    device = choose_device(settings.devices)
    data = build_data(settings)
    variants = variants_for(device)
    total = len(variants) * (steps + WARM_UP)
    rows: list[dict[str, Any]] = []
    about: Subject | None = None  # of the runs that fitted
    for number, (dtype, is_last) in enumerate(variants):
        name = variant_name(dtype, is_channels_last=is_last)
        before = number * (steps + WARM_UP)
        on_progress(before, total, name)
        wanted = replace(settings, f"precision.dtype={dtype}", f"precision.channels_last={'on' if is_last else 'off'}")
        row = {"variant": name, "dtype": dtype, "is_channels_last": is_last}
        try:
            measured, about = _measure(
                wanted, data, steps, lambda done, b=before, n=name: on_progress(b + done, total, n)
            )
        except (RuntimeError, MemoryError, TrainingError) as error:
            if not is_out_of_memory(error):
                raise
            rows.append(row | {"images_per_second": None, "peak_mib": None, "problem": "out of memory"})
        else:
            remember(about, name, images_per_second=measured.images_per_second, peak_mib=measured.peak_mib)
            speed, peak = round(measured.images_per_second, 2), round(measured.peak_mib)
            rows.append(row | {"images_per_second": speed, "peak_mib": peak, "problem": None})
        free_memory(device)
    best = known_fastest(about) if about is not None else None
    return _result(rows, settings, device, best, batch_size=about.batch_size if about else settings.train.batch_size)


def _measure(
    settings: Settings, data: DataSplits, steps: int, on_step: Callable[[int], None]
) -> tuple[Measurement, Subject]:
    with assemble(settings, data) as assembly:
        batches = take_batches(assembly, _BATCHES)
        measured = measure_steps(assembly, batches, steps=steps, on_step=on_step)
        return measured, subject_of(assembly.settings, assembly.built, assembly.device)


def _result(
    rows: list[dict[str, Any]], settings: Settings, device: torch.device, best: Any, *, batch_size: int
) -> dict[str, Any]:
    """Rows, the fastest, and what to set."""
    chosen = variant_name(best.dtype, is_channels_last=best.is_channels_last) if best else None
    return {
        "network": settings.model.name,
        "batch_size": batch_size,
        "device": device_name(device),
        "support": device_support(device),
        "rows": rows,
        "fastest": chosen,
        "suggestion": {
            "precision.dtype": best.dtype, "precision.channels_last": "on" if best.is_channels_last else "off"
        } if best else None,
        "words": _words(chosen, rows),
    }  # fmt: skip


def _words(chosen: str | None, rows: list[dict[str, Any]]) -> str:
    speeds = {row["variant"]: row["images_per_second"] for row in rows if row["images_per_second"]}
    if not speeds:
        return "No precision fits into memory. Choose a smaller train.batch_size, data.image_size or model.name."
    if chosen is None or chosen not in speeds:
        return "Nothing can be suggested: float32 and another precision have to be measured for that."
    if chosen == "fp32":
        margin = round(100 * (GAIN - 1))
        return (
            f"Nothing is faster than fp32 by more than {margin} % here, so leave half precision off. Small networks "
            "gain nothing from it: their layers are too small to keep the device busy."
        )
    share = speeds[chosen] / speeds["fp32"]
    return f"{chosen} is the fastest: {speeds[chosen]:.1f} images/s, {share:.2f} times fp32."


def comparison_text(result: dict[str, Any]) -> str:
    """The comparison for a terminal."""
    lines = [f"{'variant':20} {'images/s':>10} {'peak MiB':>10}"]
    for row in result["rows"]:
        numbers = (row["problem"],) if row["problem"] else (f"{row['images_per_second']:.1f}", f"{row['peak_mib']}")
        lines.append(f"{row['variant']:20} " + " ".join(f"{n:>10}" for n in numbers))
    return "\n".join([*lines, result["support"], result["words"]])
