"""The fold over events: what a run's log says, apart from whether its process is alive.

Reading on gives the same as reading from scratch, whatever the portions, and nothing in a log can make it fail: what
is not an event is passed over and counted.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, get_args

import numpy as np

from fine_tuner.base.files import open_plain
from fine_tuner.config.live_changes import EPOCHS
from fine_tuner.runs.log import events
from fine_tuner.runs.log.facts import Checkpoint, Facts, Remark, spliced
from fine_tuner.runs.log.numbers import columns_of, floats, integers, signature
from fine_tuner.runs.log.payloads import TimePart
from fine_tuner.runs.log.series import Rows, Series

try:
    from orjson import loads as _loads
except ImportError:  # an accelerator, not a need: it comes with the page
    from json import loads as _loads

_BLOCK_BYTES = 1 << 19
_ANCHOR_BYTES = 64
_KEPT_MESSAGES = 500
_RECENT_STEPS = 64


class Fold:
    """Curves, marks, messages and facts of one log."""

    def __init__(self) -> None:
        self.facts = Facts()
        self.rows = Rows()
        self.series: dict[str, Series] = {}
        self.messages: deque[Remark] = deque(maxlen=_KEPT_MESSAGES)
        self.marks: list[events.Mark] = []
        self.checkpoints: list[Checkpoint] = []
        self.offset = 0
        self.anchor = b""  # the last bytes read: if they are gone, the log was cut or replaced

    # -------------------------------------------------------------- reading
    def read(self, path: Path, on_read: Callable[[float], object] | None = None) -> bool | None:
        """Read on. True if there was something new, None if the log is not the one read before.

        ``on_read`` hears after each portion which part of the log, 0 to 1, has been read.
        """
        try:
            file = open_plain(path)
        except FileNotFoundError:
            return None if self.offset else False
        with file:
            file.seek(self.offset - len(self.anchor))
            if file.read(len(self.anchor)) != self.anchor:
                return None
            before, carry = self.offset, b""
            while block := file.read(_BLOCK_BYTES):
                block = carry + block
                complete = block.rfind(b"\n") + 1
                carry = block[complete:]
                if complete:
                    self.feed(block[:complete])
                if on_read is not None:
                    on_read(min(1.0, self.offset / max(1, os.fstat(file.fileno()).st_size)))
        return self.offset > before

    def feed(self, block: bytes) -> None:
        """Take the next whole lines of the log."""
        self.offset += len(block)
        self.anchor = (self.anchor + block[-_ANCHOR_BYTES:])[-_ANCHOR_BYTES:]
        for (kind, _), group in groupby(self._parse(block), signature):
            if kind:
                self._add_numbers(kind, list(group))
            else:
                for raw in group:
                    self._add_event(raw)

    def _parse(self, block: bytes) -> Iterable[dict[str, Any]]:
        body = block.rstrip(b"\n")
        if not body:
            return []
        try:  # one call for all lines: a line at a time costs three times as much
            return _loads(b"[" + body.replace(b"\n", b",") + b"]")
        except (ValueError, RecursionError):
            return self._parse_lines(block)

    def _parse_lines(self, block: bytes) -> Iterator[dict[str, Any]]:
        for line in block.split(b"\n"):
            if not line:
                continue
            try:
                yield json.loads(line)
            except (ValueError, RecursionError):  # a fragment isolated by the next writer
                self.facts.skipped += 1

    # --------------------------------------------------------------- curves
    def _add_numbers(self, kind: str, group: list[dict[str, Any]]) -> None:
        """Take events of one kind at once: one by one costs ten times as much."""
        try:
            rows = {name: integers([raw[name] for raw in group]) for name in ("seq", "step", "epoch", "attempt")}
            time_ms = np.rint(floats([raw["time"] for raw in group]) * 1000)
            columns = columns_of([raw["metrics"] for raw in group])
            seconds = [float(raw.get("seconds", 0.0)) for raw in group] if kind == "eval_metrics" else []
            if not (np.abs(time_ms) < 1e15).all():
                raise ValueError("not a time")
        except (KeyError, TypeError, ValueError, OverflowError):
            if len(group) == 1:
                self.facts.skipped += 1
            else:
                for raw in group:
                    self._add_numbers(kind, [raw])
            return
        facts, first = self.facts, len(self.rows)
        self._count_lost(rows["seq"], rows["step"])
        self._begin_attempt(int(rows["attempt"][0]))
        time_ms = time_ms.astype(np.int64)
        elapsed_ms = self._advance(time_ms)
        self.rows.extend(
            seq=rows["seq"], step=rows["step"], epoch=rows["epoch"], time_ms=time_ms, elapsed_ms=elapsed_ms
        )
        for key, (places, values) in columns.items():
            if key not in self.series:
                self.series[key] = Series(self.rows)
            self.series[key].put(places + first, values)
        facts.seq, facts.last_kind, facts.activity = int(rows["seq"][-1]), kind, None
        facts.step, facts.epoch = int(rows["step"][-1]), int(rows["epoch"][-1])
        if kind == "train_metrics":
            self._time_steps(rows["step"], elapsed_ms)
        else:
            self._note_validation(group, seconds)

    def _time_steps(self, step: np.ndarray, elapsed_ms: np.ndarray) -> None:
        facts = self.facts
        facts.attempt_steps += len(step)
        if facts.last_train:
            elapsed_ms, step = np.insert(elapsed_ms, 0, facts.last_train[0]), np.insert(step, 0, facts.last_train[1])
        took, done = np.diff(elapsed_ms), np.diff(step)
        pairs = np.stack([took, done], axis=1)[done > 0][-_RECENT_STEPS:].tolist()
        facts.step_ms = [*facts.step_ms, *pairs][-_RECENT_STEPS:]
        facts.last_train = [int(elapsed_ms[-1]), int(step[-1])]

    def _note_validation(self, group: list[dict[str, Any]], seconds: list[float]) -> None:
        facts = self.facts
        facts.last_train = None
        for raw, took in zip(group, seconds, strict=True):
            if raw.get("split") == "val":
                facts.validated_epoch = int(raw["epoch"])
                if 0 < took < 1e9:
                    facts.validation_seconds = [*facts.validation_seconds, took][-5:]

    def _advance(self, time_ms: np.ndarray, moved_ms: int = 0) -> np.ndarray:
        """Time at work at each of ``time_ms``, before which the clock had moved by ``moved_ms``; it never turns back.

        In whole milliseconds, so that the sum is the same in whatever portions the log is read.
        """
        facts = self.facts
        last = facts.time_ms if facts.time_ms is not None else int(time_ms[0])
        gaps = np.maximum(np.diff(time_ms, prepend=last + moved_ms), 0)
        elapsed = facts.elapsed_ms + np.cumsum(gaps)
        facts.time_ms, facts.elapsed_ms = int(time_ms[-1]), int(elapsed[-1])
        if facts.first_time_ms is None:
            facts.first_time_ms = int(time_ms[0])
        return elapsed

    def _count_lost(self, seq: np.ndarray, step: np.ndarray) -> None:
        """Note events that are missing: the writer numbers them without gaps, through all attempts."""
        facts = self.facts
        missing = np.maximum(np.diff(seq, prepend=facts.seq) - 1, 0)
        if missing.any():
            if not facts.lost:
                first = int(np.flatnonzero(missing)[0])
                facts.lost_step = int(step[first - 1]) if first else facts.step
            facts.lost += int(missing.sum())

    # ---------------------------------------------------------- other events
    def _add_event(self, raw: dict[str, Any]) -> None:
        try:
            event = events.from_raw(raw)
            seq, attempt, time_ms = int(event.seq), int(event.attempt), round(float(event.time) * 1000)
            moved_ms = 0
            if isinstance(event.payload, events.ClockMoved):
                moved_ms = round(float(event.payload.seconds) * 1000)
            if abs(time_ms) > 1e15 or abs(moved_ms) > 1e15:
                raise ValueError("not a time")
            self._check(event.payload)
        except (ValueError, TypeError, OverflowError, AttributeError):
            self.facts.skipped += 1
            return
        facts = self.facts
        self._count_lost(np.array([seq], np.int64), np.array([facts.step], np.int64))
        self._begin_attempt(attempt)
        self._advance(np.array([time_ms], np.int64), moved_ms)
        facts.seq = seq
        if not isinstance(event.payload, events.TimeSpent | events.ClockMoved):  # between two steps, they take no time
            facts.last_train, facts.last_kind = None, event.payload.kind
        self._apply(event)

    @staticmethod
    def _check(payload: events.Payload) -> None:
        """Raise for values that the fold counts on and that have another type."""
        match payload:
            case events.RunStarted():
                numbers = (payload.start_step, payload.total_steps, payload.epochs, payload.steps_per_epoch)
                if not all(isinstance(n, int) for n in numbers) or not isinstance(payload.facts, dict):
                    raise TypeError("run_started")
            case events.RunFinished() if payload.outcome not in get_args(events.Outcome):
                raise ValueError("outcome")
            case events.Mark() | events.CheckpointSaved() | events.RunFinished():
                if not isinstance(payload.step, int):
                    raise TypeError("step")
                if isinstance(payload, events.Mark):
                    if not isinstance(payload.rewind_to, int | None):
                        raise TypeError("rewind_to")
                    dict(payload.changes), dict(payload.planned), int(payload.changes.get(EPOCHS.path, 0))
            case events.TimeSpent() if not all(0.0 <= float(took) < 1e9 for took in payload.seconds.values()):
                raise ValueError("seconds")
            case events.WorkProgress():
                float(payload.done), float(payload.total or 0)

    def _apply(self, event: events.Event) -> None:
        facts = self.facts
        match event.payload:
            case events.RunStarted() as started:
                self._start(started)
            case events.WorkProgress() as progress:
                facts.activity = {
                    "what": progress.what, "done": progress.done, "total": progress.total, "unit": progress.unit
                }  # fmt: skip
            case events.TimeSpent() as spent:
                for part in spent.seconds.keys() & set(get_args(TimePart)):
                    facts.time_spent[part] = facts.time_spent.get(part, 0.0) + float(spent.seconds[part])
            case events.Message() as message:
                step = message.step if isinstance(message.step, int) else None
                self.messages.append(Remark(event.seq, event.time, str(message.level), str(message.text), step))
            case events.Mark() as mark:
                self._mark(mark)
            case events.CheckpointSaved() as saved:
                self.checkpoints.append(Checkpoint(saved.step, str(saved.path), bool(saved.is_best)))
            case events.RunFinished() as finished:
                facts.outcome, facts.step = finished.outcome, finished.step
                facts.error = str(finished.error) if finished.error else None
                facts.summary = dict(finished.summary) if isinstance(finished.summary, dict) else {}

    def _mark(self, mark: events.Mark) -> None:
        """Take a mark and what it changes.

        A resume, and a run that went back, makes those since its checkpoint again, at the same step.
        """
        facts = self.facts
        if mark.rewind_to is not None:
            self._go_back(mark.rewind_to)
        again = facts.rewinds and mark.changes and mark.step == facts.start_step
        if not (again and any((m.step, m.changes) == (mark.step, mark.changes) for m in self.marks)):
            self.marks.append(dataclasses.replace(mark, planned={}))
        if epochs := int(mark.changes.get(EPOCHS.path, 0)):
            facts.epochs, facts.total_steps = epochs, epochs * facts.steps_per_epoch
        if mark.planned:
            facts.started["schedule"] = spliced(facts.started.get("schedule"), mark.planned, mark.step)

    def _begin_attempt(self, attempt: int) -> None:
        """The first event of an attempt: what the one before it came to is past, and the time between is not work."""
        facts = self.facts
        if attempt == facts.attempt:
            return
        facts.attempt = attempt
        facts.time_ms = facts.last_train = facts.outcome = facts.error = None
        facts.activity, facts.summary = None, {}
        facts.step_ms, facts.attempt_steps = [], 0

    def _start(self, started: events.RunStarted) -> None:
        facts = self.facts
        facts.activity = None
        before, facts.started = facts.started.get("schedule"), dict(started.facts)
        if started.start_step and "schedule" in facts.started:
            facts.started["schedule"] = spliced(before, facts.started["schedule"], started.start_step)
        facts.total_steps, facts.epochs = started.total_steps, started.epochs
        facts.steps_per_epoch, facts.start_step = started.steps_per_epoch, started.start_step
        if facts.attempt > 1 or len(self.rows):
            self._rewind(started.start_step)
        facts.step = started.start_step
        facts.epoch = started.start_step // max(1, started.steps_per_epoch)

    def _go_back(self, step: int) -> None:
        """The run itself went back to ``step``, within an attempt."""
        facts = self.facts
        self._rewind(step)
        facts.start_step = facts.step = step
        facts.epoch = step // max(1, facts.steps_per_epoch)

    def _rewind(self, start_step: int) -> None:
        """Drop what the new attempt does again."""
        self.facts.rewinds += 1
        keep = self.rows["step"] <= start_step
        if not keep.all():
            for series in self.series.values():
                series.keep(keep)
            for column in self.rows.columns.values():
                column.keep(keep)
            self.series = {key: series for key, series in self.series.items() if len(series)}
        validated = [series.epoch[-1] for key, series in self.series.items() if key.startswith("val/")]
        self.facts.validated_epoch = int(max(validated, default=0))
        self.marks = [mark for mark in self.marks if mark.step <= start_step]
        self.checkpoints = [saved for saved in self.checkpoints if saved.step <= start_step]
