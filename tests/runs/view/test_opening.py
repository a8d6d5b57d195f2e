"""A long log: whoever opens it hears how far it has been read, once for all; a run that trains leaves a cache."""

from __future__ import annotations

import json
import threading
import time

import pytest

from fine_tuner.runs.log import cache, cache_writer
from fine_tuner.runs.log.cache_writer import CacheWriter
from fine_tuner.runs.log.events import EventWriter, read_events
from fine_tuner.runs.log.fold import Fold
from fine_tuner.runs.view.live import LiveFeed
from fine_tuner.runs.view.run_view import RunView
from tests.runs.logs import finished, lines, started, steps, wait_until

STEPS = 20_000
LINE = (
    '{{"v":1,"seq":{0},"time":{1:.2f},"attempt":1,"kind":"train_metrics","step":{0},"epoch":1,'
    '"metrics":{{"train/loss":{2},"train/lr/head":0.001{3}}}}}\n'
)


@pytest.fixture
def long_run(run):
    """20 000 steps, every third with memory, as a worker writes them."""
    with run.events.open("wb") as file:
        file.write(lines([started(STEPS, per_epoch=STEPS)]))
        for step in range(1, STEPS + 1):
            memory = ',"memory/process_mib":812.5' if step % 3 == 0 else ""
            file.write(LINE.format(step, 1000 + step / 50, 1 / step, memory).encode())
        file.write(lines([finished(STEPS)], seq=STEPS + 1, began=2000.0))
    return run


def test_a_long_log_is_read_once_for_all_and_tells_how_far_it_is(store, long_run):
    first = store.view_soon(long_run.id, patience_seconds=0.0)
    assert isinstance(first, float)
    assert 0 <= first < 1
    readings = json.loads(LiveFeed(store.view_soon).tick(long_run.id))
    views = []
    threads = [threading.Thread(target=lambda: views.append(store.view(long_run.id))) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len({id(view) for view in views}) == 1, "one view for all"
    assert views[0].progress.step == STEPS
    assert ("reading" in readings) == (readings["state"] is None)
    assert json.loads(LiveFeed(store.view_soon).tick(long_run.id))["state"]["step"] == STEPS


def test_the_list_does_not_wait_for_a_long_log(store, long_run, monkeypatch):
    monkeypatch.setattr("fine_tuner.runs.store._LONG_LOG_BYTES", 100_000)
    begun = time.perf_counter()
    (line,) = store.list()
    assert time.perf_counter() - begun < 0.5
    assert (line.id, line.status) == (long_run.id, "completed")
    assert line.text.startswith("Reading the log, ")
    store.view(long_run.id)
    assert store.list()[0].step == STEPS


def test_curves_recorded_now_and_then_are_those_of_a_plain_loop(long_run):
    fold = Fold()
    fold.read(long_run.events)
    events, _ = read_events(long_run.events)
    for key in ("train/loss", "memory/process_mib"):
        expected = [
            (e.payload.step, e.payload.metrics[key]) for e in events if key in getattr(e.payload, "metrics", {})
        ]
        series = fold.series[key]
        assert list(zip(series.step.tolist(), series.value.tolist(), strict=True)) == expected


def test_a_run_that_trains_leaves_a_cache_that_is_the_fold_of_its_log(run, monkeypatch):
    monkeypatch.setattr(cache_writer, "WORTH_BYTES", 2000)
    monkeypatch.setattr(cache_writer, "_PORTION_BYTES", 2000)
    with CacheWriter(run, look_seconds=0.01):
        writer = EventWriter(run.events)
        writer.write(started(100))
        for payload in steps(1, 60):
            writer.write(payload)
        wait_until(run.series_cache.exists)  # while it is at work
        assert cache.unread_bytes(run) < run.events.stat().st_size
        for payload in [*steps(61, 100), finished(100)]:
            writer.write(payload)
        writer.close()
    assert cache.unread_bytes(run) < 4000
    opened, read = RunView(run), RunView(run, use_cache=False)
    assert opened.progress == read.progress
    assert opened.series["train/loss"].value.tolist() == read.series["train/loss"].value.tolist()
