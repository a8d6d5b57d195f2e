"""The full check of a data set before training: every image decoded, every mask read, twins looked for.

Nothing of the user's is changed; remedies are settings. Facts about files are remembered, so that a second check, or a
run with ``data.on_unreadable=skip``, starts where the first one ended.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fine_tuner.base.errors import DataError
from fine_tuner.data.checks.findings import Finding, Remedy, Report
from fine_tuner.data.checks.rules import (
    about_batches,
    about_classes,
    about_orientation,
    about_problems,
    about_sizes,
    about_twins,
)
from fine_tuner.data.files.duplicates import find_twins
from fine_tuner.data.files.folders import Progress, no_progress
from fine_tuner.data.files.image_scan import scan_images
from fine_tuner.data.files.scan_cache import Fact
from fine_tuner.data.options import ReadOptions
from fine_tuner.data.readers.glance import glance_at
from fine_tuner.data.readers.sample import SAMPLE_PATH, read_sample
from fine_tuner.data.records import DataSplits
from fine_tuner.data.source import MendableError, Problem
from fine_tuner.data.sources import take_survey

_LEVELS = ("error", "warning", "note")


def check_data(
    path: str,
    *,
    task: str | None = None,
    val_fraction: float = 0.2,
    seed: int = 0,
    batch_size: int | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Report:
    """Everything that is wrong with a data set; never raises for bad data, an error becomes a finding.

    Args:
        path: As ``data.path``.
        task: What it is to be used for; None: what it seems to be made for.
        val_fraction: Share of validation where the data has no val split.
        seed: Decides that split.
        batch_size: To warn of a last batch of one image.
        progress: Called as ``progress(what, done, total)``; an exception from it ends the check and passes through.
        **options: Fields of ``ReadOptions``, as chosen so far; what they settle is no error any more.
    """
    begun = time.monotonic()
    progress = progress or no_progress
    chosen = ReadOptions(**options)
    likely = task_like(path, progress)
    wanted = task or likely or "classification"
    try:
        data, problems = _read(path, wanted, val_fraction, seed, chosen, progress)
    except DataError as error:
        findings = [_unusable(error, wanted, likely)]
        return _report(path, wanted, likely, None, {}, findings, begun)
    images = [r.image for records in data.splits.values() for r in records]
    facts = scan_images(images, progress)
    findings = about_problems([*problems, *_undecodable(facts, problems)], chosen)
    findings += about_twins(data, find_twins(images, facts, progress), chosen)
    findings += about_classes(data)
    findings += about_sizes(facts)
    findings += about_orientation(data, facts)
    findings += about_batches(data, batch_size)
    return _report(path, wanted, likely, data, facts, findings, begun)


def task_like(path: str, progress: Progress) -> str | None:
    """The task that the data seems to be made for; None if it cannot be told."""
    try:
        return glance_at(path, progress).task
    except DataError:
        return None


def _read(
    path: str, task: str, val_fraction: float, seed: int, options: ReadOptions, progress: Progress
) -> tuple[DataSplits, tuple[Problem, ...]]:
    if path == SAMPLE_PATH:
        return read_sample(task=task, val_fraction=val_fraction, seed=seed, progress=progress), ()
    lenient = replace(options, duplicates="keep")  # twins are reported, so they must be seen
    survey = take_survey(path, task=task, val_fraction=val_fraction, seed=seed, options=lenient, progress=progress)
    return survey.data, survey.problems


def _undecodable(facts: Mapping[Path, Fact], problems: Sequence[Problem]) -> list[Problem]:
    """Images whose damage only shows when they are decoded."""
    known = {p.file for p in problems}
    return [
        Problem("unreadable", fact["error"], path)
        for path, fact in facts.items()
        if "error" in fact and path not in known
    ]


def _unusable(error: DataError, task: str, likely: str | None) -> Finding:
    remedies = (Remedy(f"choose task {likely}", {"task": likely}),) if likely not in (None, task) else ()
    if isinstance(error, MendableError):
        remedies = (Remedy(error.remedy, error.settings), *remedies)
    return Finding("unusable", "error", str(error), 1, (), remedies)


def _report(
    path: str,
    task: str,
    likely: str | None,
    data: DataSplits | None,
    facts: Mapping[Path, Fact],
    findings: Sequence[Finding],
    begun: float,
) -> Report:
    readable = [fact for fact in facts.values() if "error" not in fact]
    return Report(
        path=path,
        task=task,
        likely_task=likely,
        kind=data.kind if data else "",
        notices=data.notices if data else (),
        splits={split: len(records) for split, records in data.splits.items()} if data else {},
        classes=_class_rows(data) if data else (),
        numbers=_number_rows(data) if data else (),
        sizes=_sizes(readable),
        formats=dict(Counter(f"{fact['format']} {fact['mode']}" for fact in readable).most_common()),
        findings=tuple(sorted(findings, key=lambda f: _LEVELS.index(f.level))),
        seconds=round(time.monotonic() - begun, 2),
    )


def _class_rows(data: DataSplits) -> tuple[Mapping[str, Any], ...]:
    if data.task == "segmentation":
        return tuple(
            {"name": name, "pixels of train": count}
            for name, count in zip(data.classes, data.class_counts("train") or (), strict=False)
        )
    counts = {split: data.class_counts(split) for split in data.splits}
    return tuple({"name": name, **{s: n[i] for s, n in counts.items() if n}} for i, name in enumerate(data.classes))


def _number_rows(data: DataSplits) -> tuple[Mapping[str, Any], ...]:
    if data.task != "regression":
        return ()
    columns = zip(*(r.target for r in data.splits["train"]), strict=True)
    rows = zip(data.target_names, columns, data.target_mean_and_sd() or (), strict=True)
    return tuple(
        {"name": name, "min": min(values), "max": max(values), "mean": mean, "sd": sd}
        for name, values, (mean, sd) in rows
    )


def _sizes(facts: Sequence[Fact]) -> dict[str, Any]:
    if not facts:
        return {}
    sizes = np.array([fact["size"] for fact in facts])
    common = Counter(tuple(fact["size"]) for fact in facts).most_common(5)
    spread = {
        name: {"min": int(side.min()), "median": int(np.median(side)), "max": int(side.max())}
        for name, side in zip(("width", "height"), sizes.T, strict=True)
    }
    return {**spread, "common": [{"width": w, "height": h, "images": n} for (w, h), n in common]}
