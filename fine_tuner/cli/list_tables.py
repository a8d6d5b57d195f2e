"""How ``list`` shows its rows to a person: which columns, in which unit, under which title."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fine_tuner.cli.tables import Column, count_text, date_text, print_table
from fine_tuner.config.metric_specs import metric_of, metric_text
from fine_tuner.runs.view.progress import duration_text

Row = dict[str, Any]

_DESCRIBED = (Column(key="name", title="name", style="cyan"), Column(key="description", title="what it is"))
COLUMNS: dict[str, tuple[Column, ...]] = {
    "models": (
        Column(key="name", title="network", style="cyan"),
        Column(key="family", title="family"),
        Column(key="task", title="task"),
        Column(key="parameters", title="parameters", is_number=True),
        Column(key="gflops", title="GFLOPs", is_number=True),
        Column(key="quality", title="accuracy or mIoU", is_number=True),
        Column(key="size", title="download", is_number=True),
        Column(key="image", title="image", is_number=True),
        Column(key="cached", title="on this machine"),
    ),
    "losses": _DESCRIBED,
    "schedules": _DESCRIBED,
    "optimizers": _DESCRIBED,
    "presets": _DESCRIBED,
    "datasets": (
        Column(key="path", title="data.path", style="cyan"),
        Column(key="title", title="title"),
        Column(key="images", title="images", is_number=True),
        Column(key="classes", title="classes", is_number=True),
        Column(key="download", title="download", is_number=True),
        Column(key="tasks", title="tasks"),
    ),
    "settings": (
        Column(key="path", title="setting", style="cyan"),
        Column(key="of", title="of"),
        Column(key="default", title="default"),
        Column(key="unit", title="unit"),
        Column(key="description", title="what it is"),
    ),
    "runs": (
        Column(key="id", title="run", style="cyan"),
        Column(key="status", title="status"),
        Column(key="begun", title="begun"),
        Column(key="time", title="at work", is_number=True),
        Column(key="model", title="network"),
        Column(key="data", title="data"),
        Column(key="epochs", title="epochs", is_number=True),
        Column(key="best", title="best", is_number=True),
        Column(key="tags", title="tags"),
    ),
}


def print_rows(what: str, rows: Sequence[Row]) -> None:
    """Print what ``list`` found, as a table."""
    shown = [_SHOWN.get(what, _plain)(row) for row in rows]
    empty = "There is no run yet. 'fine-tuner train sample' makes one." if what == "runs" else f"There are no {what}."
    print_table(COLUMNS[what], shown, empty=empty)


def _plain(row: Row) -> dict[str, str]:
    return {key: "" if value is None else str(value) for key, value in row.items()}


def _model(row: Row) -> dict[str, str]:
    quality = row["top1"] if row["top1"] is not None else row["miou"]
    return {
        "name": row["name"],
        "family": row["family"],
        "task": row["task"],
        "parameters": count_text(row["parameters"]),
        "gflops": f"{row['gflops']:.2f}",
        "quality": "" if quality is None else f"{quality:.1f} %",
        "size": f"{row['size_mib']:.0f} MiB",
        "image": f"{row['image_size']} px",
        "cached": "yes" if any(entry["is_cached"] and entry["is_default"] for entry in row["weights"]) else "",
    }


def _dataset(row: Row) -> dict[str, str]:
    return _plain(row) | {"images": f"{row['images']:,}", "download": f"{row['download_mib']:,} MiB"}


def _run(row: Row) -> dict[str, str]:
    key, value = row["best_key"], row["best_value"]
    best = f"{metric_of(key).label} {metric_text(key, value)}" if key and value is not None else ""
    return {
        "id": row["id"],
        "status": row["status"],
        "begun": date_text(row["created"]),
        "time": duration_text(row["seconds"]) if row["seconds"] else "",
        "model": row["model"],
        "data": row["data"],
        "epochs": f"{row['epoch']}/{row['epochs']}" if row["epochs"] else "",
        "best": best,
        "tags": ", ".join(row["tags"]),
    }


_SHOWN: dict[str, Callable[[Row], dict[str, str]]] = {"models": _model, "datasets": _dataset, "runs": _run}
