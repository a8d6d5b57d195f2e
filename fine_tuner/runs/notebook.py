"""A run in a notebook: ``open_run("runs/...").metrics()`` is a data frame."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fine_tuner.base.errors import RunError
from fine_tuner.config.io import read_tree
from fine_tuner.runs.layout import RunFolder, newer_version
from fine_tuner.runs.view.run_view import RunView

if TYPE_CHECKING:
    import pandas as pd


class OpenedRun:
    """What a run's folder tells, as it is now.

    Args:
        folder: Of the run.

    Raises:
        RunError: If there is no run in it, or a newer version made it.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = RunFolder(Path(folder).expanduser().resolve())
        if not self.folder.info.is_file():
            raise RunError(f"{folder} is not the folder of a run. 'fine-tuner list runs' shows those that there are.")
        view = RunView(self.folder)
        if problem := newer_version(view.info):
            raise RunError(f"{folder} was {problem}")
        self._view = view

    @property
    def status(self) -> str:
        """Such as ``completed``."""
        self._view.refresh()
        return self._view.status

    @property
    def settings(self) -> dict[str, Any]:
        """The tree of ``config.yaml``."""
        return read_tree(self.folder.config)

    @property
    def best(self) -> dict[str, Any] | None:
        """``key``, ``value`` and ``epoch`` of the best weights; None before the first validation."""
        self._view.refresh()
        best = self._view.best
        return None if best is None else {"key": best.key, "value": best.value, "epoch": best.epoch}

    def metrics(self) -> pd.DataFrame:
        """Every recorded number, a row per step or validation.

        Returns:
            ``step``, ``epoch``, ``seconds`` (at work), ``time`` (UTC), and a column per key such as ``train/loss`` and
            ``val/accuracy``; NaN where it was not recorded.

        Raises:
            ImportError: If pandas is not installed.
        """
        self._view.refresh()
        return frame_of(self._view)

    def __repr__(self) -> str:
        return f"<run {self.folder.id}: {self._view.sentence}>"


def frame_of(view: RunView) -> pd.DataFrame:
    """See ``OpenedRun.metrics``."""
    import pandas as pd

    shared: dict[str, Any] = {}
    columns: Mapping[str, pd.Series] = {
        key: pd.Series(series.value, index=series.seq, dtype="float64") for key, series in view.series.items()
    }
    for name in ("step", "epoch", "seconds", "time"):
        parts = [pd.Series(getattr(series, name), index=series.seq) for series in view.series.values()]
        whole = pd.concat(parts) if parts else pd.Series(dtype="float64")
        shared[name] = whole[~whole.index.duplicated()].sort_index()
    frame = pd.DataFrame({**shared, **columns}).sort_index()
    if len(frame):
        frame["time"] = pd.to_datetime(frame["time"], unit="s", utc=True)
        frame = frame.astype({"step": "int64", "epoch": "int64"})
    return frame.reset_index(drop=True)
