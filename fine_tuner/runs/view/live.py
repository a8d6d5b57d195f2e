"""The numbers that the page's charts ask for, once a second and viewer: everything once, then only what is new.

A cursor ``"<generation>.<seq>"`` says what a page holds: all complete buckets up to event ``seq``. A bucket is
``2**level`` points of one curve, with the least level that makes at most ``BUCKETS`` of them; so the first points show
at once and a long run stays small. A fast run is told in larger buckets while it lasts, see ``log/downsampling.py``. A
portion whose level is higher than that of the buckets a page holds asks it to merge them; a lower one, to take all
anew. The generation changes when what a page holds is no longer true (a resume took steps back) or too coarse: then
``reset`` is true and everything comes anew.

Payload::

    {"cursor": "0-1a2b.4711", "reset": false,
     "state": {...},                          see ``state``
     "curves": [                              one entry for all keys that share their points
       {"keys": ["train/loss", "train/lr/head"], "level": 2,
        "x": [4, 8],                          step of the last point of each bucket
        "t": [1.2, 2.4],                      seconds at work, there
        "y": [[...], [...]],                  per key: mean, of a rate the last; null where nothing is finite
        "lo": [[...], [...]], "hi": [[...], [...]]}]}     not at level 0, where they would equal y

While a long log that no cache covers is being read for the first time, ``state`` is null and ``reading`` tells which
part of it, 0 to 1, has been.

The x-axis in epochs is ``x / state.per_epoch``.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import numpy as np

from fine_tuner.config.metric_specs import metric_text
from fine_tuner.runs.log.downsampling import PACE, Downsampling
from fine_tuner.runs.log.series import Buckets, Series, level_for, thin
from fine_tuner.runs.queue import place_of
from fine_tuner.runs.view.run_view import RunView
from fine_tuner.runs.view.status import LIVE

try:
    from orjson import dumps as _dumps
except ImportError:

    def _dumps(value: Any) -> bytes:
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


BUCKETS = 1500
_ENDED = "~"  # at the end of a generation: the last buckets, not full, were sent too


def payload(
    view: RunView, since: str = "", keys: Iterable[str] | None = None, *, downsampling: Downsampling | None = None
) -> dict[str, Any]:
    """What a page that holds everything up to ``since`` needs to be up to date.

    Args:
        view: The run, refreshed by the caller.
        since: Cursor of the last payload for the same keys; "" or anything stale gives everything.
        keys: Metric keys wanted; None for all.
        downsampling: How finely; the same for all who hold a cursor. None: as the length of the curves alone wants it.
    """
    with view.lock:
        wanted = view.series if keys is None else view.values(keys)
        has_ended = view.status not in LIVE
        downsampling = downsampling or Downsampling(pace=math.inf)
        levels = downsampling.levels(wanted, BUCKETS, step_seconds=_step_seconds(view), is_live=not has_ended)
        generation = view.generation + (f"-{downsampling.falls}" if downsampling.falls else "")
        seq = view.facts.seq
        tails = has_ended and any(len(series) % (1 << levels[key]) for key, series in wanted.items())
        held, is_all = _held(since, generation, seq, ended=tails)
        cursor = f"{generation}{_ENDED if tails else ''}.{seq}"
        new = {} if is_all else wanted
        parts = {key: _part(series, held, levels[key], tail=has_ended) for key, series in new.items()}
        return {
            "cursor": cursor,
            "reset": held is None,
            "state": state(view),
            "curves": _group(wanted, {key: part for key, part in parts.items() if len(part.last)}),
        }


def _step_seconds(view: RunView) -> float:
    """What the recent steps took, pauses between them left out; 0.0 if unknown."""
    pairs = view.facts.step_ms
    return sum(ms for ms, _ in pairs) / sum(steps for _, steps in pairs) / 1000 if pairs else 0.0


def _held(since: str, generation: str, seq: int, *, ended: bool) -> tuple[int | None, bool]:
    """Number of the last event that a page holds, and whether it holds all there will be.

    The number is None if what the page holds is of no use.
    """
    held_generation, _, text = since.rpartition(".")
    has_tails = held_generation == generation + _ENDED
    if not (has_tails or held_generation == generation) or not text.removeprefix("-").isdecimal():
        return None, False
    held = int(text)
    if held > seq or (has_tails and (not ended or held != seq)):
        return None, False
    return held, has_tails


def _part(series: Series, held: int | None, level: int, *, tail: bool) -> Buckets:
    """Buckets with points after event ``held``; the last one, if not full, only with ``tail``."""
    start = 0 if held is None else series.count_until(held)
    stop = len(series) if tail else len(series) >> level << level
    first = start >> level << level
    return thin(series.value, first, max(first, stop), level)


def _group(wanted: dict[str, Series], parts: dict[str, Buckets]) -> list[dict[str, Any]]:
    """One entry for all keys that share their points."""
    groups: OrderedDict[tuple[int, bytes], dict[str, Any]] = OrderedDict()
    for key, part in parts.items():
        series = wanted[key]
        shared = (part.level, series.index[part.last].tobytes())
        entry = groups.get(shared)
        if entry is None:
            entry = {
                "keys": [],
                "level": part.level,
                "x": series.at("step", part.last).tolist(),
                "t": [ms / 1000 for ms in (series.at("elapsed_ms", part.last) // 10 * 10).tolist()],
                "y": [],
            }
            if part.level:
                entry |= {"lo": [], "hi": []}
            groups[shared] = entry
        entry["keys"].append(key)
        # a rate is drawn over its plan, where a mean would lag behind
        entry["y"].append(_short(series.value[part.last] if key.startswith("train/lr") else part.mean))
        if part.level:
            flat = np.array_equal(part.least, part.greatest, equal_nan=True)
            entry["lo"].append(None if flat else _short(part.least))
            entry["hi"].append(None if flat else _short(part.greatest))
    return list(groups.values())


def _short(values: np.ndarray) -> list[float | None]:
    """Five digits are more than a screen shows; what is not finite is null, as JSON has no word for it."""
    return [float(f"{v:.5g}") if v - v == 0.0 else None for v in values.tolist()]


def state(view: RunView) -> dict[str, Any]:
    """Status and progress, compactly; keys without a value are left out.

    ``status``, ``phase``, ``step``, ``total``, ``epoch``, ``epochs``, ``per_epoch`` (steps), ``rate`` (images/s),
    ``eta`` (s), ``eta_min`` (true: at least that), ``seconds`` (at work), ``age`` (s since the worker spoke), ``best``
    (key, value, epoch, text), ``text`` (a sentence), ``marks`` and ``messages`` (how many there are: fetch them when
    that changes), ``timed`` (seconds of which is known where they
    went: likewise), ``queue`` (how many come first), ``requests``.
    """
    progress, best, age = view.progress, view.best, view.last_event_age
    speaks = view.status in ("running", "stopping") and view.phase != "starting"
    found = {
        "status": view.status,
        "phase": view.phase,
        "step": progress.step,
        "total": progress.total_steps,
        "epoch": progress.epoch,
        "epochs": progress.epochs,
        "per_epoch": view.facts.steps_per_epoch,
        "rate": None if progress.images_per_second is None else float(f"{progress.images_per_second:.4g}"),
        "eta": None if progress.eta_seconds is None else round(progress.eta_seconds),
        "eta_min": progress.eta_is_at_least or None,
        "seconds": round(progress.seconds),
        "age": round(age) if age is not None and speaks else None,
        "best": best and [best.key, float(f"{best.value:.5g}"), best.epoch, metric_text(best.key, best.value)],
        "text": view.sentence,
        "marks": len(view.marks) or None,
        "messages": len(view.messages) or None,
        "timed": round(sum(view.facts.time_spent.values())) or None,
        "queue": place_of(view.run) if view.status == "queued" else None,
        "requests": sorted(view.vital.requests) or None,
    }
    return {key: value for key, value in found.items() if value is not None and value != ""}


def detail(
    view: RunView,
    key: str,
    x0: float,
    x1: float,
    points: int = BUCKETS,
    *,
    axis: Literal["step", "epoch", "seconds"] = "step",
) -> dict[str, Any]:
    """One curve between ``x0`` and ``x1``, as finely as ``points`` buckets allow, for a zoomed chart.

    One point more on either side, so that the line reaches the edges. Same form as an entry of ``curves``, with one
    key; no points if there is no such curve.
    """
    with view.lock:
        series = view.series.get(key)
        if series is None or not x1 >= x0:
            return {"keys": [key], "level": 0, "x": [], "t": [], "y": [[]]}
        x = series.seconds if axis == "seconds" else series.step
        if axis == "epoch":
            x = x / max(1, view.facts.steps_per_epoch)
        start = max(0, int(np.searchsorted(x, x0, "left")) - 1)
        stop = min(len(series), int(np.searchsorted(x, x1, "right")) + 1)
        level = level_for(stop - start, max(1, points))
        part = thin(series.value, start >> level << level, stop, level)
        return _group({key: series}, {key: part})[0]


class LiveFeed:
    """Payloads as bytes, made once for all viewers that hold the same.

    Args:
        view_soon: Finds a run by its id: its view, or how much of a long log has been read (``RunStore.view_soon``).
        hold_seconds: How long an answer serves further viewers. Also how often, at most, a run's folder is looked at.
        pace: Most buckets of one curve a second, while a run is at work.
    """

    def __init__(
        self, view_soon: Callable[[str], RunView | float], *, hold_seconds: float = 0.4, pace: float = PACE
    ) -> None:
        self._view_soon = view_soon
        self._hold_seconds = hold_seconds
        self._pace = pace
        self._downsamplings: dict[str, Downsampling] = {}
        self._lock = threading.Lock()
        self._views: dict[str, tuple[float, RunView]] = {}
        self._made: OrderedDict[tuple[str, str, tuple[str, ...] | None], tuple[float, bytes]] = OrderedDict()

    def tick(self, run_id: str, since: str = "", keys: Sequence[str] | None = None) -> bytes:
        """JSON of ``payload``.

        Raises:
            RunError: If there is no such run.
        """
        key = (run_id, since, None if keys is None else tuple(keys))
        with self._lock:
            made = self._made.get(key)
            if made and made[0] > time.monotonic():
                return made[1]
        view, until = self._fresh(run_id)
        if isinstance(view, float):
            return _dumps({"cursor": "", "reset": True, "state": None, "curves": [], "reading": round(view, 3)})
        downsampling = self._downsamplings.setdefault(run_id, Downsampling(self._pace))
        data = _dumps(payload(view, since, keys, downsampling=downsampling))
        with self._lock:
            self._made[key] = (until, data)
            self._made.move_to_end(key)
            while len(self._made) > 256:
                self._made.popitem(last=False)
        return data

    def _fresh(self, run_id: str) -> tuple[RunView | float, float]:
        """The view, refreshed at most every ``hold_seconds``, and until when it counts as fresh.

        Instead of the view of a run whose log takes long to read, how much of it has been.
        """
        now = time.monotonic()
        with self._lock:
            until, view = self._views.get(run_id, (0.0, None))
            if view is not None and until > now:
                return view, until
        view = self._view_soon(run_id)
        if isinstance(view, float):
            return view, now
        until = time.monotonic() + self._hold_seconds
        with self._lock:
            self._views = {k: v for k, v in self._views.items() if v[0] > now - 60}
            self._views[run_id] = (until, view)
        return view, until
