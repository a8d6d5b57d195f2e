"""What viewers are told of a published run: only what is named here, and only in the shape it should have.

The owner's routes give messages, logs, settings and paths. A viewer gets numbers, the names of metrics and parameter
groups, and sentences that this module knows to be made of such. Whatever a later version adds to the owner's answers
stays with the owner until it is named here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fine_tuner.config.metric_specs import KINDS

METRIC = re.compile(r"(train|val|test|memory)/[A-Za-z0-9_.@ /+-]{1,80}")
_NAME = re.compile(r"[^/\\<>{}]{1,120}")  # no path, no markup, no template
_LABEL = re.compile(r"[A-Za-z0-9_ .,%=+:\u00d7\u2192-]{1,80}")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_STATE = ("step", "total", "epoch", "epochs", "per_epoch", "rate", "eta", "eta_min", "seconds", "age", "queue", "marks")
_FACTS = ("train_images", "val_images")
_FACT_NAMES = ("model", "precision", "best_metric", "best_direction")
_STATUSES = ("queued", "running", "paused", "stopping", "completed", "stopped", "failed", "lost")
_PHASES = ("starting", "training", "validating", "saving", "saving, then pausing", "waiting for the device")
_LINE = ("created", "ended", "epoch", "epochs", "step", "total_steps", "best_value", "best_epoch", "seconds")
_BUSY = "preparing"  # for phases that name what is read or downloaded
_OVER = {"failed": "The run failed.", "lost": "The run ended without a word."}


def live(data: Mapping[str, Any]) -> dict[str, Any]:
    """An answer of ``api/live``: points, and the state."""
    curves = [_portion(portion) for portion in data.get("curves", ())]
    reading = {"reading": _number(data["reading"])} if "reading" in data else {}  # a long log, for the first time
    return reading | {
        "run": data["run"],
        "cursor": data["cursor"],
        "reset": data["reset"],
        "state": None if data["state"] is None else state(data["state"]),
        "curves": [portion for portion in curves if portion["keys"]],
    }


def _portion(portion: Mapping[str, Any]) -> dict[str, Any]:
    """Points of the curves with the names of metrics."""
    kept = [at for at, key in enumerate(portion["keys"]) if METRIC.fullmatch(key)]
    ys = {name: [_column(portion[name][at]) for at in kept] for name in ("y", "lo", "hi") if name in portion}
    xs = {name: _numbers(portion[name]) for name in ("x", "t")}
    return {"keys": [portion["keys"][at] for at in kept], "level": int(portion["level"]), **xs, **ys}


def _column(values: Any) -> list[Any] | None:
    """Values of one curve; None where least and greatest are the mean."""
    return None if values is None else _numbers(values)


def state(given: Mapping[str, Any]) -> dict[str, Any]:
    """Status and progress."""
    status, phase = _one_of(given.get("status"), _STATUSES), given.get("phase", "")
    known = phase in _PHASES or phase == ""
    best = given.get("best")
    is_metric = bool(best) and bool(METRIC.fullmatch(best[0]))
    told = {
        "status": status,
        "phase": phase if known else _BUSY,
        "best": [best[0], *_numbers(best[1:3]), _name(best[3])] if is_metric else None,
        "text": _sentence(status, given, is_sure=known and (is_metric or not best)),
    }
    told |= {name: _number(given[name]) for name in _STATE if name in given}
    return {name: value for name, value in told.items() if value not in (None, "")}


def _sentence(status: str, given: Mapping[str, Any], *, is_sure: bool) -> str:
    if status in _OVER:
        return _OVER[status]
    return str(given.get("text", "")) if is_sure else ""


def about(given: Mapping[str, Any], *, can_try: bool) -> dict[str, Any]:
    """An answer of ``api/runs/ID``: title, and what the charts need."""
    facts = given["facts"]
    told = {name: _number(facts[name]) for name in _FACTS if name in facts}
    told |= {name: _name(facts[name]) for name in _FACT_NAMES if name in facts}
    groups = facts.get("groups")
    told["groups"] = [_name(name) for name in groups if _name(name)] if isinstance(groups, list | tuple) else []
    told["schedule"] = _schedule(facts.get("schedule"))
    told["metrics"] = _metrics(facts.get("metrics"))
    marks = [
        {"step": _number(m["step"]), "label": _label(m["label"]), "text": "", "is_ghost": m.get("is_ghost") is True}
        for m in given["marks"]
    ]
    return {
        "id": given["id"],
        "title": _title(given),
        "facts": told,
        "messages": [],
        "marks": marks,
        "failure": None,
        "can_resume": False,
        "has_weights": False,
        "can_try": can_try,
    }


def _metrics(given: Any) -> dict[str, Any]:
    """How metrics are read that the page does not know."""
    found = given.items() if isinstance(given, Mapping) else ()
    return {
        key: {
            "label": _name(about.get("label", "")),
            "kind": kind if (kind := about.get("kind")) in KINDS else "number",
            "bounds": [*_numbers(about.get("bounds")), None, None][:2],
            **{name: about.get(name) is True for name in ("higher_is_better", "is_per_image", "is_in_target_units")},
        }
        for key, about in found if METRIC.fullmatch(key) and isinstance(about, Mapping)
    }  # fmt: skip


def line(given: Mapping[str, Any], *, can_try: bool) -> dict[str, Any]:
    """An entry of ``api/runs``."""
    key = given["best_key"] if given["best_key"] and METRIC.fullmatch(given["best_key"]) else None
    spark_key = given["spark_key"] if METRIC.fullmatch(given["spark_key"]) else "train/loss"
    return {name: _number(given[name]) for name in _LINE} | {
        "id": given["id"],
        "title": _title(given),
        "status": _one_of(given["status"], _STATUSES),
        "model": _name(given["model"]),
        "best_key": key,
        "spark": _numbers(given["spark"]),
        "spark_key": spark_key,
        "data": "",
        "tags": [],
        "text": "",
        "problem": "",
        "can_try": can_try,
    }


def prediction(given: Mapping[str, Any]) -> dict[str, Any]:
    """What a model said of a picture, without the picture's path: classes and numbers."""
    told: dict[str, Any] = {}
    if given.get("label") is not None:
        told["label"] = str(given["label"])[:200]
    if given.get("labels") is not None:
        told["labels"] = [str(name)[:200] for name in given["labels"]]
    if isinstance(given.get("legend"), list):
        told["legend"] = [_swatch(entry) for entry in given["legend"]]
    for name in ("probabilities", "shares", "numbers"):
        if given.get(name) is not None:
            told[name] = {str(key)[:200]: _number(value) for key, value in given[name].items()}
    return told


def _swatch(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A class and its colour."""
    colour = str(entry.get("colour"))
    return {"name": str(entry.get("name"))[:200], "colour": colour if _COLOUR.fullmatch(colour) else None}


def _title(given: Mapping[str, Any]) -> str:
    """The title, unless it looks like a path; then the id says which run it is."""
    return _name(given["title"]) or str(given["id"])


def _schedule(given: Any) -> dict[str, Any] | None:
    """Planned rates: steps, and numbers by group."""
    if not isinstance(given, Mapping) or not isinstance(given.get("groups"), Mapping):
        return None
    told: dict[str, Any] = {"steps": _numbers(given.get("steps", ()))}
    for part in ("groups", "lowest"):
        if isinstance(given.get(part), Mapping):
            told[part] = {_name(name): _numbers(ys) for name, ys in given[part].items() if _name(name)}
    return told


def _numbers(values: Any) -> list[float | int | None]:
    return [_number(value) for value in values] if isinstance(values, list | tuple) else []


def _number(value: Any) -> float | int | bool | None:
    return value if isinstance(value, int | float) else None


def _name(value: Any) -> str:
    text = str(value)
    return text if _NAME.fullmatch(text) else ""


def _label(value: Any) -> str:
    text = str(value)
    return text if _LABEL.fullmatch(text) else "change"


def _one_of(value: Any, known: tuple[str, ...]) -> str:
    return value if value in known else "lost"
