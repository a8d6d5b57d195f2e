"""Fine Tuner: fine-tune pretrained torchvision models by pointing and clicking, or from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fine_tuner.base.version import __version__ as __version__

if TYPE_CHECKING:
    from fine_tuner.runs.notebook import OpenedRun


def open_run(folder: Path | str) -> OpenedRun:
    """A run in a notebook: ``open_run("runs/...").metrics()`` is a pandas data frame.

    Raises:
        RunError: If there is no run in ``folder``.
    """
    from fine_tuner.runs.notebook import OpenedRun  # a command need not wait for it

    return OpenedRun(folder)
