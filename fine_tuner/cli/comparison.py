"""Runs side by side, as lines for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fine_tuner.config.metric_specs import metric_text


def compare_text(found: Mapping[str, Any]) -> str:
    """What ``compare_runs`` found, as lines for a terminal."""
    runs = found["runs"]
    lines = [f"[{i + 1}] {run['id']}  {run['title']}  {run['status']}" for i, run in enumerate(runs)]
    heads = [f"[{i + 1}]" for i in range(len(runs))]
    rows = [[row["path"], *(_text(v) for v in row["values"])] for row in found["settings"]]
    lines += ["", *_table(["setting that differs", *heads], rows)] if rows else ["", "The settings are the same."]
    rows = [[f"best {row['label']}", *(_text(v) for v in row["best"])] for row in found["metrics"]]
    lines += ["", *_table(["", *heads], rows)]
    lines += ["", *(repeat_text(row) for row in found["repeats"])] if found["repeats"] else []
    lines += ["", found["paired"]["sentence"]] if "paired" in found else []
    return "\n".join(lines)


def repeat_text(row: Mapping[str, Any]) -> str:
    """``validation accuracy 94.8 % ± 0.7 % (mean and standard deviation of 5 seeds)``."""
    value, sd = (metric_text(row["key"], row[name]) for name in ("mean", "sd"))
    return f"{row['label']} {value} ± {sd} (mean and standard deviation of {row['count']} seeds)"


def _text(value: Any) -> str:
    return "-" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in [head, *rows]
    ]
