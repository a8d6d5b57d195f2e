"""One line of the list of runs, cached in ``summary.json``: the list opens without folding every log."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from fine_tuner.base.files import read_json, write_atomically
from fine_tuner.runs.layout import RunFolder, newer_version
from fine_tuner.runs.log.events import RunFinished, read_last_event
from fine_tuner.runs.log.facts import Facts
from fine_tuner.runs.log.series import Series
from fine_tuner.runs.view.run_view import RunView
from fine_tuner.runs.view.status import LIVE, Status, derive, look

VERSION = 3  # raise it when a field changes its meaning; a cached line without a new field is made again anyway
_SPARK_POINTS = 40
_CREATED = "%Y%m%d-%H%M%S"
_RUN = RunFolder(Path())
_MARKED = tuple(
    map(str, (
        _RUN.events, _RUN.exit, _RUN.lock, _RUN.launch_lock, _RUN.queued, _RUN.notes, _RUN.info, _RUN.best_weights,
    ))
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSummary:
    """What the list of runs shows.

    Attributes:
        created: Unix time; 0.0 if nothing tells.
        ended: Unix time of its last word; None while it is queued or at work, and where it never said one.
        model, data, task: Names, "" if unknown.
        best_key, best_value, best_epoch: None before the first validation.
        seconds: Time at work.
        has_weights: Whether its best weights are on disk: after the first validation, or once it was stopped.
        spark: Up to 40 values of the best metric, or else of the training loss, oldest first.
        text: The run in one sentence.
        problem: What is wrong with the folder itself, "" if nothing.
    """

    id: str
    title: str
    status: Status
    created: float = 0.0
    ended: float | None = None
    task: str = ""
    model: str = ""
    data: str = ""
    epoch: int = 0
    epochs: int = 0
    step: int = 0
    total_steps: int = 0
    best_key: str | None = None
    best_value: float | None = None
    best_epoch: int | None = None
    seconds: float = 0.0
    has_weights: bool = False
    spark: tuple[float, ...] = ()
    spark_key: str = ""
    text: str = ""
    parent: str | None = None
    tags: tuple[str, ...] = ()
    note: str = ""
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)


def summarise(view: RunView) -> RunSummary:
    """The line of one run, from its view."""
    info, notes = view.info, read_json(view.run.notes) or {}
    progress, best = view.progress, view.best
    spark_key = best.key if best else "train/loss"
    return RunSummary(
        id=view.id,
        title=str(notes.get("title") or info.get("title") or view.id),
        status=view.status,
        created=_created(view.id, info),
        ended=_ended(view),
        task=str(info.get("task", "")),
        model=str(info.get("model") or view.started.get("model") or ""),
        data=str(info.get("data", "")),
        epoch=progress.epoch,
        epochs=progress.epochs,
        step=progress.step,
        total_steps=progress.total_steps,
        best_key=best.key if best else None,
        best_value=best.value if best else None,
        best_epoch=best.epoch if best else None,
        seconds=progress.seconds,
        has_weights=view.run.best_weights.is_file(),
        spark=_spark(view.series.get(spark_key)),
        spark_key=spark_key,
        text=view.sentence,
        parent=str(info["parent"]) if info.get("parent") else None,
        tags=tuple(str(tag) for tag in notes.get("tags") or ()),
        note=str(notes.get("note") or ""),
        problem="" if info else "run.json is missing or torn",
    )


def summarise_unread(run: RunFolder, fraction: float) -> RunSummary:
    """The line of a run whose long log is still being read: what run.json and the log's last event say."""
    info = read_json(run.info) or {}
    if newer_version(info):
        return _summary_of_newer(run, info)
    notes = read_json(run.notes) or {}
    last = read_last_event(run.events)
    facts, best = Facts(attempt=last.attempt if last else 0), {}
    if last is not None and isinstance(last.payload, RunFinished):
        facts.outcome, facts.step = last.payload.outcome, last.payload.step
        told = last.payload.summary.get("best") if isinstance(last.payload.summary, dict) else None
        best = told if isinstance(told, dict) else {}
    return RunSummary(
        id=run.id,
        title=str(notes.get("title") or info.get("title") or run.id),
        status=derive(facts, look(run)),
        created=_created(run.id, info),
        task=str(info.get("task", "")),
        model=str(info.get("model", "")),
        data=str(info.get("data", "")),
        step=facts.step,
        best_key=best.get("key"),
        best_value=best.get("value"),
        best_epoch=best.get("epoch"),
        text=f"Reading the log, {round(100 * fraction)} %.",
        tags=tuple(str(tag) for tag in notes.get("tags") or ()),
        note=str(notes.get("note") or ""),
    )


def summarise_newer(run: RunFolder) -> RunSummary | None:
    """The line of a run that a newer version of this program made; None for all others."""
    info = read_json(run.info) or {}
    return _summary_of_newer(run, info) if newer_version(info) else None


def _summary_of_newer(run: RunFolder, info: Mapping[str, Any]) -> RunSummary:
    problem = newer_version(info)
    return RunSummary(
        id=run.id, title=str(info.get("title") or run.id), status="lost", created=_created(run.id, info),
        text=f"It was {problem}", problem=problem,
    )  # fmt: skip


def _created(run_id: str, info: Mapping[str, Any]) -> float:
    created = info.get("created")
    if isinstance(created, int | float):
        return float(created)
    with suppress(ValueError):
        return datetime.strptime(run_id[:15], _CREATED).astimezone().timestamp()
    return 0.0


def _ended(view: RunView) -> float | None:
    if view.status in LIVE:
        return None
    told = (view.vital.exit or {}).get("time")
    if isinstance(told, int | float):
        return float(told)
    return None if view.facts.time_ms is None else view.facts.time_ms / 1000


def _spark(series: Series | None) -> tuple[float, ...]:
    if series is None:
        return ()
    values = series.value[np.isfinite(series.value)]
    if len(values) > _SPARK_POINTS:
        values = np.array([part.mean() for part in np.array_split(values, _SPARK_POINTS)])
    return tuple(float(f"{v:.4g}") for v in values)


def fingerprint(run: RunFolder) -> list[list[int]]:
    """Sizes and times of the files that a summary is made from; another fingerprint, another summary."""
    marks = []
    for part in _MARKED:
        try:
            status = os.stat(f"{run.path}/{part}")  # a quarter of the time of Path.stat, for each of thousands of runs
            marks.append([status.st_size, status.st_mtime_ns, status.st_ino])
        except OSError:
            marks.append([])
    return marks


def load_summary(run: RunFolder, marks: list[list[int]]) -> RunSummary | None:
    """The cached line, if it was made from files with this fingerprint; only lines of ended runs are cached."""
    saved = read_json(run.summary)
    if saved is None or saved.get("version") != VERSION or saved.get("fingerprint") != marks:
        return None
    try:
        fields = dict(saved["line"])
        if fields.keys() != {field.name for field in dataclasses.fields(RunSummary)}:
            return None
        return RunSummary(**fields | {"spark": tuple(fields["spark"]), "tags": tuple(fields["tags"]), "id": run.id})
    except (KeyError, TypeError, ValueError):
        return None


def save_summary(run: RunFolder, line: RunSummary, marks: list[list[int]]) -> None:
    """Cache the line of an ended run; a folder that cannot be written is no error."""
    if line.status in LIVE:
        return
    with suppress(OSError, ValueError):
        content = {"version": VERSION, "fingerprint": marks, "line": line.to_json()}
        write_atomically(run.summary, json.dumps(content, allow_nan=False), is_durable=False)
