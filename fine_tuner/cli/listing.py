"""The command ``list``: what can be chosen, and the runs there are; rows for programs, a table for people."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fine_tuner.cli.arguments import Commands, print_json
from fine_tuner.config.io import CHOICES, FIELDS
from fine_tuner.config.presets import describe_preset, list_presets
from fine_tuner.config.settings import TASKS
from fine_tuner.config.tasks import CLASSIFICATION, DEFAULT_TASK, SEGMENTATION
from fine_tuner.data.readers.set_list import SETS, TORCHVISION_PREFIX
from fine_tuner.runs.store import RunStore

Row = dict[str, Any]


def _models(task: str | None, runs: Path) -> list[Row]:
    from fine_tuner.models.catalogue import list_models

    return [dataclasses.asdict(model) for model in list_models(task or DEFAULT_TASK)]


def _variants(path: str) -> Callable[[str | None, Path], list[Row]]:
    def rows(task: str | None, runs: Path) -> list[Row]:
        return [
            {"name": tag, "description": (cls.__doc__ or "").splitlines()[0]}
            for tag, cls in CHOICES[path].variants.items()
            if task is None or task in getattr(cls, "tasks", (task,))
        ]

    return rows


def _presets(task: str | None, runs: Path) -> list[Row]:
    return [{"name": name, "description": describe_preset(name)} for name in list_presets()]


def _settings(task: str | None, runs: Path) -> list[Row]:
    return [
        {
            "path": spec.path,
            "of": spec.variant,
            "default": str(spec.default),
            "unit": spec.knob.unit,
            "description": spec.knob.help,
        }
        for spec in FIELDS
    ]


def _datasets(task: str | None, runs: Path) -> list[Row]:
    return [
        {
            "path": TORCHVISION_PREFIX + spec.name,
            "title": spec.title,
            "images": spec.num_images,
            "classes": spec.num_classes,
            "download_mib": spec.download_mib,
            "tasks": ", ".join(spec.tasks),
        }
        for spec in SETS.values()
        if task is None or task in spec.tasks
    ]


def _runs(task: str | None, runs: Path) -> list[Row]:
    return [run.to_json() for run in RunStore(runs).list()] if runs.is_dir() else []


_LISTERS: dict[str, Callable[[str | None, Path], list[Row]]] = {
    "models": _models,
    "losses": _variants("loss"),
    "schedules": _variants("schedule"),
    "optimizers": _variants("optim"),
    "presets": _presets,
    "datasets": _datasets,
    "settings": _settings,
    "runs": _runs,
}


def add_commands(commands: Commands) -> None:
    """Its words and options."""
    command = commands.add("list", list_command, f"list {', '.join(_LISTERS)}")
    command.add_argument("what", choices=tuple(_LISTERS))
    command.add_argument("--task", choices=TASKS, help="only what makes sense for this task")


def list_command(arguments: argparse.Namespace) -> int:
    """``list``: rows of one kind of thing; ``--task`` leaves out what makes no sense for it."""
    if arguments.json:
        print_json({arguments.what: _LISTERS[arguments.what](arguments.task, arguments.runs)})
        return 0
    from fine_tuner.cli.list_tables import print_rows  # rich is loaded where a person looks

    tasks: tuple[str | None, ...] = (arguments.task,)
    if arguments.what == "models" and arguments.task is None:  # a network belongs to one kind of target
        tasks = (CLASSIFICATION.name, SEGMENTATION.name)
    rows = [
        row | {"task": task} if task else row
        for task in tasks
        for row in _LISTERS[arguments.what](task, arguments.runs)
    ]
    print_rows(arguments.what, rows)
    return 0
