"""The run folder: which file holds what.

::

    runs/20261123-141502-resnet18-ants-k3f9/
      run.json          written once: id, title, created, argv, git, versions, device, parent, schema version
      config.yaml       written once: every setting resolved
      events.jsonl      rank 0 appends: the truth
      notes.json        by the page or the command line: another title, tags, a note
      queued.json       by the launcher while the run waits for its device: place in the queue
      worker.lock       held by rank 0 while alive
      launch.lock       held by the launched process and its parents from before the start: covers the time of importing
      exit.json         by the supervising thread: exit code or signal, last lines of the log
      summary.json      a cache of the line in the list of runs; safe to delete
      series.cache      a cache of the fold over events; safe to delete
      control/          dropped by the page or the command line: stop, pause, checkpoint, set
      logs/worker.log   what the worker printed
      splits/           which file is in which split
      code/             the user's own loss, as it trains here
      checkpoints/      step-00000120/ (weights, state, manifest), the last few; best/ (weights only)
      evidence/         step-00000037/ (batch, about.json) of each step whose numbers were not finite
      answering.json    by the page or the command line: temperature and thresholds of the answers
      results/          val-best/ (predictions, figures) of each split and checkpoint that was evaluated
      examples/         a few validation pictures and what was said of them; see ``runs/examples.py``
      exports/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WEIGHTS = "model.safetensors"  # in the folder of each checkpoint
CHECKPOINT_NAME = re.compile(r"step-(\d{8,})")
SCHEMA_VERSION = 1
"""``v`` of run.json. A reader reads every version up to its own: fields are added, with a default for folders without
them, and never change their meaning; what cannot be said so gets the next version.
A newer one is listed, not opened."""


def newer_version(info: Mapping[str, Any]) -> str:
    """What is wrong with a run whose run.json a newer version of this program wrote; empty if nothing is."""
    version = info.get("v", SCHEMA_VERSION)
    if not isinstance(version, int) or version <= SCHEMA_VERSION:
        return ""
    return (
        f"made by a newer version of Fine Tuner (schema {version}; this one reads up to {SCHEMA_VERSION}). Update it."
    )


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Paths inside one run folder."""

    path: Path

    @property
    def id(self) -> str:
        """The folder's name; unique below one runs folder."""
        return self.path.name

    @property
    def info(self) -> Path:
        """run.json."""
        return self.path / "run.json"

    @property
    def config(self) -> Path:
        """config.yaml."""
        return self.path / "config.yaml"

    @property
    def events(self) -> Path:
        """events.jsonl."""
        return self.path / "events.jsonl"

    @property
    def lock(self) -> Path:
        """worker.lock."""
        return self.path / "worker.lock"

    @property
    def launch_lock(self) -> Path:
        """launch.lock."""
        return self.path / "launch.lock"

    @property
    def queued(self) -> Path:
        """queued.json."""
        return self.path / "queued.json"

    @property
    def notes(self) -> Path:
        """notes.json."""
        return self.path / "notes.json"

    @property
    def series_cache(self) -> Path:
        """series.cache."""
        return self.path / "series.cache"

    @property
    def exit(self) -> Path:
        """exit.json."""
        return self.path / "exit.json"

    @property
    def summary(self) -> Path:
        """summary.json."""
        return self.path / "summary.json"

    @property
    def log(self) -> Path:
        """What the worker printed, standard output and error together."""
        return self.path / "logs" / "worker.log"

    @property
    def control(self) -> Path:
        """Folder of requests to the worker."""
        return self.path / "control"

    @property
    def checkpoints(self) -> Path:
        """Folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def evidence(self) -> Path:
        """Folder of what is kept of steps that went wrong."""
        return self.path / "evidence"

    @property
    def answering(self) -> Path:
        """answering.json."""
        return self.path / "answering.json"

    @property
    def results(self) -> Path:
        """Folder of what evaluations found; see ``runs/results.py``."""
        return self.path / "results"

    @property
    def best_weights(self) -> Path:
        """Weights of the best validation so far, with class names and preprocessing inside."""
        return self.checkpoints / "best" / WEIGHTS

    @property
    def code(self) -> Path:
        """Folder with the run's copy of the user's own code."""
        return self.path / "code"

    @property
    def splits(self) -> Path:
        """splits/splits.json."""
        return self.path / "splits" / "splits.json"
