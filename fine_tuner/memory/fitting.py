"""An assembled run whose batch, where it was left to the app, fits into the memory there is."""

from __future__ import annotations

from dataclasses import replace as with_values
from typing import Any

from fine_tuner.config.io import replace
from fine_tuner.config.settings import Settings
from fine_tuner.data.records import DataSplits
from fine_tuner.memory.forecast import RunForecast, forecast_run
from fine_tuner.tasks.build import Assembly, assemble
from fine_tuner.tasks.defaults import Chosen


def assemble_fitting(
    settings: Settings, data: DataSplits, *, outline: bool = False, **how: Any
) -> tuple[Assembly, RunForecast]:
    """``assemble``, with the forecast of its memory; an empty batch size becomes one that fits.

    Args:
        settings: Of the run.
        data: Its splits.
        outline: As for ``assemble``.
        how: Passed on to ``assemble``.

    Raises:
        InputError: As ``assemble``.
    """
    assembly = assemble(settings, data, outline=outline, **how)
    forecast = forecast_run(assembly, is_outline=outline)
    fitting = forecast.largest_batch_size
    if settings.train.batch_size is not None or forecast.fits or fitting < 1:
        return assembly, forecast
    assembly.close()
    size = 2 ** (fitting.bit_length() - 1)
    reason = "the largest that fits into memory" + (" of each device" if assembly.place.world_size > 1 else "")
    assembly = assemble(replace(settings, f"train.batch_size={size}"), data, outline=outline, **how)
    chosen = (Chosen(path="train.batch_size", value=size, reason=reason), *assembly.chosen)
    return with_values(assembly, chosen=chosen), forecast_run(assembly, is_outline=outline)
