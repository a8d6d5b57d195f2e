"""A run's numbers for other programs: CSV, Parquet, and TensorBoard's event files."""

from __future__ import annotations

import math
from pathlib import Path

from fine_tuner.runs.notebook import frame_of
from fine_tuner.runs.view.run_view import RunView


def write_csv(view: RunView, path: Path) -> None:
    """A row per step or validation, a column per key; empty where a number was not recorded."""
    frame_of(view).to_csv(path, index=False)


def write_parquet(view: RunView, path: Path) -> None:
    """The same, with types.

    Raises:
        ImportError: If pyarrow is not installed.
    """
    import pyarrow  # noqa: F401 - what pandas says where it is missing names two packages

    frame_of(view).to_parquet(path, index=False)


def write_tensorboard(view: RunView, path: Path) -> None:
    """A folder for ``tensorboard --logdir``, whose scalars have our keys, steps and times.

    Raises:
        ImportError: If tensorboard is not installed.
    """
    import tensorboard  # noqa: F401 - what torch says where it is missing names another package
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(path)) as writer:
        for key, series in view.series.items():
            for step, time, value in zip(series.step, series.time, series.value, strict=True):
                writer.add_scalar(key, value if math.isfinite(value) else math.nan, int(step), walltime=float(time))
