"""A reproduction bundle: a folder with all that decided a run, and its first losses to compare a repetition with.

::

    RUN-bundle/
      config.yaml   every setting, with the precision that was chosen and what was changed while it trained
      run.json      versions, machine, command, as in the run's folder
      splits/       which picture is in which split
      code/         losses of the user's own, if there are any
      script.py     the run for torch and torchvision alone
      bundle.json   fingerprint of the pictures, losses of the first steps
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fine_tuner.base.errors import InputError, RunError
from fine_tuner.base.files import strict, write_atomically, write_json
from fine_tuner.config.io import dump_yaml
from fine_tuner.config.settings import Settings
from fine_tuner.data.records import DataSplits, Record
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.log.events import TrainMetrics, read_events
from fine_tuner.training.run.kept_settings import keep_features, keep_precision

KEPT_LOSSES = 1000
FACTS = "bundle.json"


def write_bundle(run: RunFolder, path: Path, *, settings: Settings, script: str) -> None:
    """Write the folder.

    Args:
        run: That has trained at least a step.
        path: Of the folder.
        settings: Of the run, with what was changed while it trained.
        script: The run as a script.

    Raises:
        RunError: If it has not trained yet.
    """
    losses = losses_of(run)
    if not losses:
        raise RunError(f"The run {run.id} has not trained a step yet, so there is nothing to compare with.")
    path.mkdir()
    write_atomically(path / "config.yaml", dump_yaml(keep_features(keep_precision(settings, run), run)))
    shutil.copyfile(run.info, path / "run.json")
    (path / run.splits.parent.name).mkdir()
    shutil.copyfile(run.splits, RunFolder(path).splits)
    if (code := run.path / "code").is_dir():
        shutil.copytree(code, path / "code")
    write_atomically(path / "script.py", script)
    data = DataSplits.from_file(run.splits)
    write_json(
        path / FACTS,
        {
            "run": run.id,
            "pictures": fingerprint(data),
            "losses": strict({str(step): losses[step] for step in sorted(losses)[:KEPT_LOSSES]}),
        },
    )


def losses_of(run: RunFolder) -> dict[int, float]:
    """Training loss by step, as logged; of a step that was made again, the last."""
    return {
        event.payload.step: event.payload.metrics["train/loss"]
        for event in read_events(run.events)[0]
        if isinstance(event.payload, TrainMetrics)
    }


def fingerprint(data: DataSplits) -> dict[str, str]:
    """SHA-256 of each picture with its mask, by its name below the data's root.

    Raises:
        InputError: If one cannot be read.
    """
    return {_name(record.image, data.root): _digest(record) for split in data.splits.values() for record in split}


def differences(expected: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """Sentences about pictures that are missing, new, or others under the same name."""
    parts = {
        "missing": expected.keys() - found.keys(),
        "new": found.keys() - expected.keys(),
        "changed": {name for name in expected.keys() & found.keys() if expected[name] != found[name]},
    }
    return [
        f"{len(names)} of {len(expected)} pictures {'are' if len(names) > 1 else 'is'} {word}, such as {min(names)}."
        for word, names in parts.items()
        if names
    ]


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def _digest(record: Record) -> str:
    files: list[Any] = [record.image, record.target]
    digest = hashlib.sha256()
    try:
        for file in files:
            digest.update(file.read_bytes() if isinstance(file, Path) else repr(file).encode())
    except OSError as error:
        raise InputError(
            f"{error.filename} cannot be read ({error.strerror}). Restore the run's pictures, or name their folder "
            "with --data."
        ) from None
    return digest.hexdigest()
