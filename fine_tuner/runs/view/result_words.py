"""What an evaluation found, in words that need no knowledge of metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fine_tuner.config.metric_specs import MAP, MEAN_IOU, metric_text
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.results import is_current, results_of


def mistakes_in_words(run: RunFolder) -> str:
    """What the best weights most often get wrong on the validation images, such as "12 ants taken for bees".

    Empty if they were not evaluated yet, are others by now, or get nothing wrong.
    """
    figures = results_of(run, "val-best").read()
    if not figures or not is_current(figures, run):
        return ""
    _, _, mistakes = result_in_words(figures).partition("; ")
    return mistakes[:1].upper() + mistakes[1:]


def result_in_words(figures: Mapping[str, Any]) -> str:
    """One or two clauses, from ``figures.json``.

    >>> result_in_words({"target": "class", "images": 153, "right": 134, "names": ["ants", "bees"],
    ...                  "confusion": {"cells": [[0, 0, 58], [0, 1, 12], [1, 0, 7], [1, 1, 76]]}})
    '134 of 153 right; 12 ants taken for bees.'
    """
    words = {"class": _of_classes, "labels": _of_labels, "numbers": _of_numbers, "mask": _of_masks}
    return words[figures["target"]](figures) if figures.get("images") else "There was no image to evaluate."


def _of_classes(figures: Mapping[str, Any]) -> str:
    right, count, names = figures["right"], figures["images"], figures["names"]
    if right == count:
        return f"All {count:,} right."
    true, said, number = max((c for c in figures["confusion"]["cells"] if c[0] != c[1]), key=lambda cell: cell[2])
    return f"{right:,} of {count:,} right; {number:,} {names[true]} taken for {names[said]}."


def _of_labels(figures: Mapping[str, Any]) -> str:
    value = _headline(figures, MAP.key)
    known = [row for row in figures["classes"] if row["images"]]
    if value is None or not known:
        return "No image has a label, so nothing can be measured."
    worst = max(known, key=lambda row: (row["images"] - row["right"], row["name"]))
    missed = worst["images"] - worst["right"]
    most = f"; {worst['name']} is missed in {missed:,} of {worst['images']:,} images" if missed else ""
    return f"Mean average precision {metric_text(MAP.key, value)}{most}."


def _of_numbers(figures: Mapping[str, Any]) -> str:
    rows = figures["numbers"]
    parts = [
        f"{row['name']} by {row['mae'][0]:.3g}" if len(rows) > 1 else f"by {row['mae'][0]:.3g}" for row in rows[:3]
    ]
    return f"Off {', '.join(parts)} on average over {figures['images']:,} images."


def _of_masks(figures: Mapping[str, Any]) -> str:
    value = _headline(figures, MEAN_IOU.key)
    known = [row for row in figures["classes"] if row["iou"][0] is not None]
    if value is None or not known:
        return "No pixel counts, so nothing can be measured."
    worst = min(known, key=lambda row: row["iou"][0])
    return (
        f"What is marked and what is there overlap by {metric_text(MEAN_IOU.key, value)}; "
        f"{worst['name']} least, by {metric_text(MEAN_IOU.key, worst['iou'][0])}."
    )


def _headline(figures: Mapping[str, Any], key: str) -> float | None:
    return next((line["value"][0] for line in figures["headline"] if line["key"] == key), None)
