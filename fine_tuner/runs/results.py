"""What evaluations of a run found, by split and weights: where it lies, and the figures as plain values.

::

    results/
      val-best/
        predictions.safetensors   one row an image: logits, targets, loss, features; see evaluation/predictions.py
        figures.json              what is drawn and said of them; see evaluation/figures/
        masks/                    00000.png, 00000-true.png: class of each pixel (segmentation)

A folder gets its name when all of it is written. Its figures say which file of weights they are of, so that those of
weights that have been replaced since are known to be old.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fine_tuner.base.errors import RunError
from fine_tuner.base.files import read_json
from fine_tuner.runs.layout import CHECKPOINT_NAME, WEIGHTS, RunFolder

BEST, LAST = "best", "last"
_NAME = re.compile(r"[a-z0-9_]{1,40}-(best|step-\d{8,})")


@dataclass(frozen=True, slots=True)
class Results:
    """Paths of one evaluation."""

    path: Path

    @property
    def name(self) -> str:
        """``val-best``: split and weights."""
        return self.path.name

    @property
    def predictions(self) -> Path:
        """predictions.safetensors."""
        return self.path / "predictions.safetensors"

    @property
    def figures(self) -> Path:
        """figures.json."""
        return self.path / "figures.json"

    @property
    def masks(self) -> Path:
        """Folder of masks."""
        return self.path / "masks"

    def mask(self, index: int, *, is_true: bool = False) -> Path:
        """The file of one mask."""
        return self.masks / f"{index:05d}{'-true' if is_true else ''}.png"

    def read(self) -> dict[str, Any] | None:
        """The figures; None if there are none (yet)."""
        return read_json(self.figures)


def results_of(run: RunFolder, name: str) -> Results:
    """The evaluation ``name`` of a run, made or not.

    Raises:
        RunError: If no evaluation can have this name.
    """
    if not _NAME.fullmatch(name):
        raise RunError(f"{name!r} is no evaluation of a run: a split and weights, such as val-best.")
    return Results(run.results / name)


def kept_weights(run: RunFolder) -> dict[str, Path]:
    """Name to file of all weights of a run that can be evaluated: ``best`` first, then steps, newest first."""
    found = {BEST: run.best_weights} if run.best_weights.is_file() else {}
    steps = [path for path in run.checkpoints.glob("step-*") if CHECKPOINT_NAME.fullmatch(path.name)]
    files = {path.name: path / WEIGHTS for path in sorted(steps, reverse=True)}
    return found | {name: file for name, file in files.items() if file.is_file()}


def best_weights(run: RunFolder) -> Path:
    """File of the weights of the best validation so far.

    Raises:
        RunError: If there was none yet.
    """
    if not run.best_weights.is_file():
        raise _no_weights(run)
    return run.best_weights


def _no_weights(run: RunFolder) -> RunError:
    text = "they are kept after the first validation. Wait for that, or stop the run to keep some"
    return RunError(f"The run {run.id} has no weights yet: {text}.")


def find_weights(run: RunFolder, name: str) -> tuple[str, Path]:
    """Name and file of the weights that ``best``, ``last``, ``step-00000120`` or ``120`` means.

    Raises:
        RunError: If the run has none such, with those that it has.
    """
    kept = kept_weights(run)
    if not kept:
        raise _no_weights(run)
    steps = [known for known in kept if known != BEST]
    wanted = f"step-{int(name):08d}" if name.isdecimal() else name
    if wanted == LAST and steps:
        wanted = steps[0]
    if wanted not in kept:
        raise RunError(f"Run {run.id} keeps no weights {name!r}; it has {', '.join(kept)}. Name one of them, or last.")
    return wanted, kept[wanted]


def stamp_of(weights: Path) -> list[int]:
    """What tells a file of weights from one that replaced it."""
    about = weights.stat()
    return [about.st_size, about.st_mtime_ns]


def is_current(figures: Mapping[str, Any], run: RunFolder) -> bool:
    """Whether figures are of weights that the run still has; those of weights that are gone stay true of them."""
    weights = figures.get("weights", {})
    file = kept_weights(run).get(str(weights.get("name")))
    return file is None or weights.get("stamp") == stamp_of(file)


def list_results(run: RunFolder) -> list[Results]:
    """Evaluations that are whole, by name."""
    found = (Results(path) for path in run.results.glob("*") if _NAME.fullmatch(path.name))
    return sorted((one for one in found if one.figures.is_file()), key=lambda one: one.name)
