"""What can be done, and can go wrong, before a run has a folder: reading data and building every object."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fine_tuner.base.progress import OnProgress
from fine_tuner.config.settings import Settings
from fine_tuner.data.records import DataSplits
from fine_tuner.memory.fitting import assemble_fitting
from fine_tuner.memory.forecast import RunForecast, check_fits
from fine_tuner.tasks.build import ALONE, Assembly, Place, build_data


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run that only has to begin."""

    data: DataSplits
    assembly: Assembly
    forecast: RunForecast


def prepare(
    settings: Settings,
    *,
    on_progress: OnProgress,
    splits: DataSplits | None = None,
    checkpoint: Path | None = None,
    place: Place = ALONE,
    outline: bool = False,
) -> Prepared:
    """Read the data and build everything.

    Args:
        settings: Of the run.
        on_progress: Told of reading and downloading.
        splits: Those of an earlier attempt, whatever has been added to the data since; None reads the data.
        checkpoint: Weights of an earlier attempt to go on from.
        place: Of this process among those of the run.
        outline: Build the network without weights: other processes will train it.

    Raises:
        InputError: If settings, data, network and machine do not go together.
    """
    data = splits or build_data(settings, on_progress)
    assembly, forecast = assemble_fitting(
        settings,
        data,
        outline=outline,
        on_progress=on_progress,
        may_measure=not outline,
        checkpoint=checkpoint,
        place=place,
    )
    check_fits(forecast, assembly.device)
    return Prepared(data, assembly, forecast)
