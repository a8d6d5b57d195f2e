"""Runs side by side: the settings in which they differ, and the best that each reached."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from fine_tuner.base.errors import ConfigError, InputError
from fine_tuner.config.io import FIELDS, read_tree
from fine_tuner.config.metric_specs import metric_name, metric_of
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.log.series import Series, best_point
from fine_tuner.runs.view.run_view import RunView
from fine_tuner.runs.view.summary import summarise

MOST_RUNS = 8  # lines that an eye can tell apart by colour and dash


def compare_runs(runs: Sequence[RunFolder], view_of: Callable[[RunFolder], RunView]) -> dict[str, Any]:
    """What a person wants to see of two runs or more.

    Args:
        runs: Different ones, at most ``MOST_RUNS``.
        view_of: Opens a run, such as ``RunStore.view_of``.

    Returns:
        ``runs``: the line of each in the list of runs, in the order given; ``settings``: rows of ``path``, ``label``
        and ``values``, one per run (None where a run has no such setting), only those that differ; ``metrics``: rows of
        ``key``, ``label``, ``kind`` (how a value is read), ``higher_is_better``, ``best`` values and the ``epochs`` of
        them, None where there is none;
        ``repeats``: for runs that differ in the seed alone, ``mean`` and ``sd`` of each metric's best.

    Raises:
        InputError: If there are too few or too many.
    """
    if not 2 <= len({run.path for run in runs}) <= MOST_RUNS:
        raise InputError(f"{len(runs)} runs cannot be compared. Name from 2 to {MOST_RUNS} different ones.")
    views = [view_of(run) for run in runs]
    settings, metrics = differing([_flat_settings(run) for run in runs]), _best_values(views)
    return {
        "runs": [summarise(view).to_json() for view in views],
        "settings": settings,
        "metrics": metrics,
        "repeats": _over_seeds(settings, metrics),
    }


def _over_seeds(settings: Sequence[Mapping[str, Any]], metrics: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Mean and deviation of what runs reached that differ in their seed alone."""
    if [row["path"] for row in settings] != ["seed"] or len(set(settings[0]["values"])) < len(settings[0]["values"]):
        return []
    return [
        {
            "key": row["key"],
            "label": row["label"],
            "mean": mean(row["best"]),
            "sd": stdev(row["best"]),
            "count": len(row["best"]),
        }
        for row in metrics
        if all(value is not None for value in row["best"])
    ]


def differing(settings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the settings that are not the same in all; a title is no setting.

    >>> differing([{"seed": 0, "task": "a"}, {"seed": 1, "task": "a"}])
    [{'path': 'seed', 'label': 'Seed', 'values': [0, 1]}]
    """
    labels = {spec.path: spec.knob.label for spec in FIELDS}
    paths = dict.fromkeys(path for one in settings for path in one if path != "title")
    return [
        {"path": path, "label": labels.get(path, path), "values": [one.get(path) for one in settings]}
        for path in paths
        if any(one.get(path) != settings[0].get(path) for one in settings)
    ]


def _flat_settings(run: RunFolder) -> dict[str, Any]:
    """Dotted path to value, as the run was started; {} where the file cannot be read."""
    try:
        return flat(read_tree(run.config))
    except ConfigError:
        return {}


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted path to value.

    >>> flat({"optim": {"lr": 0.1}, "seed": 0})
    {'optim.lr': 0.1, 'seed': 0}
    """
    out: dict[str, Any] = {}
    for key, value in tree.items():
        out |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return out


def _best_values(views: Sequence[RunView]) -> list[dict[str, Any]]:
    keys = dict.fromkeys(key for view in views for key in view.series if key.startswith("val/"))
    first = dict.fromkeys(view.best.key for view in views if view.best)
    rows = []
    for key in [*first, *(key for key in keys if key not in first)]:
        higher = _is_higher_better(key, views)
        found = [_best(view.series.get(key), higher=higher) for view in views]
        rows.append(
            {
                "key": key,
                "label": metric_name(key),
                "kind": metric_of(key).kind,
                "higher_is_better": higher,
                "best": [best and best[0] for best in found],
                "epochs": [best and best[1] for best in found],
            }
        )
    return rows


def _is_higher_better(key: str, views: Sequence[RunView]) -> bool:
    told = [view.started.get("best_direction") for view in views if view.started.get("best_metric") == key]
    return told[0] != "min" if told else metric_of(key).higher_is_better is not False


def _best(series: Series | None, *, higher: bool) -> tuple[float, int] | None:
    """Best finite value and its epoch; None if there is none."""
    if series is None or (point := best_point(series.value, higher=higher)) is None:
        return None
    return float(series.value[point]), int(series.epoch[point])
