"""The cache of a long log: the same as without, never believed when it does not belong to the log."""

from __future__ import annotations

import json
import os
import time

import pytest

from fine_tuner.runs.log import cache
from fine_tuner.runs.log.events import Mark, Message
from fine_tuner.runs.log.fold import Fold
from fine_tuner.runs.view.run_view import RunView
from tests.runs.log.test_fold import contents
from tests.runs.logs import finished, lines, started, steps


@pytest.fixture
def cached(run):
    """A run of 300 steps whose first 200 are in the cache."""
    said = [started(300), Mark(step=3, label="x"), Message(text="hello"), *steps(1, 200)]
    run.events.write_bytes(lines(said))
    fold = Fold()
    fold.read(run.events)
    assert cache.save(run, fold)
    with run.events.open("ab") as file:
        file.write(lines(steps(201, 300), seq=len(said)))
    return run


def scratch(run):
    return contents(RunView(run, use_cache=False)._fold)


def test_reading_on_from_the_cache_is_the_same_as_from_scratch(cached):
    assert cache.load(cached).offset > 0
    assert contents(RunView(cached)._fold) == scratch(cached)
    with cached.events.open("ab") as file:  # what came from the cache can grow and be rewound
        file.write(lines([started(300, start=50), *steps(51, 60)], seq=400, attempt=2))
    assert contents(RunView(cached)._fold) == scratch(cached)


@pytest.mark.parametrize("cut", [0, 10, 500, 2000, -8])
def test_a_torn_cache_is_passed_over(cached, cut):
    size = cached.series_cache.stat().st_size
    os.truncate(cached.series_cache, cut if cut >= 0 else size + cut)
    assert contents(RunView(cached)._fold) == scratch(cached)


@pytest.mark.parametrize(
    "noise", [b"", b"null\n", b"[]\n", b"{}\n", b'{"version": 1, "offset": "x"}\n', b"\x00" * 9000]
)
def test_nonsense_in_the_cache_is_passed_over(cached, noise):
    cached.series_cache.write_bytes(noise)
    assert contents(RunView(cached)._fold) == scratch(cached)


def test_the_cache_of_another_log_is_passed_over(cached):
    cached.events.write_bytes(lines([started(300), *steps(1, 250)], began=7))
    assert contents(RunView(cached)._fold) == scratch(cached)
    cached.events.write_bytes(lines([started(300)]))
    assert contents(RunView(cached)._fold) == scratch(cached)


def test_without_a_place_to_write_there_is_no_cache_and_no_error(run):
    run.events.write_bytes(lines([started(10), *steps(1, 5)]))
    run.series_cache.mkdir()
    fold = Fold()
    fold.read(run.events)
    assert not cache.save(run, fold)
    assert RunView(run).progress.step == 5


def write_long_run(run, total, *, per_epoch=10_000):
    """A finished run of ``total`` steps with eight curves, written faster than by the writer."""
    head = '{"v":1,"seq":%d,"time":%.3f,"attempt":1,"kind":"train_metrics","step":%d,"epoch":%d,"metrics":'
    body = '{"train/loss":%.6g,"train/lr/head":0.00123,"train/lr/backbone":0.000123,"train/images_per_second":812.4,'
    tail = '"memory/allocated_mib":800.25,"memory/reserved_mib":900.5,"memory/process_mib":1200.125,'
    line = head + body + tail + '"train/grad_norm":1.25}}\n'
    with run.events.open("wb") as file:
        file.write(lines([started(total, per_epoch=per_epoch)]))
        for step in range(1, total + 1):
            file.write((line % (step, 1e6 + step / 10, step, (step - 1) // per_epoch + 1, 1 / step)).encode())
        file.write(lines([finished(total)], seq=total + 1, began=1e6 + total / 10))


def seconds_to_open(run):
    """CPU seconds, so that other work on the machine does not count."""
    began = time.process_time()
    view = RunView(run)
    assert view.sentence
    return time.process_time() - began, view


def test_a_long_run_read_from_its_cache_is_the_run_read_from_its_log(run):
    write_long_run(run, 50_000)
    _, view = seconds_to_open(run)
    _, again = seconds_to_open(run)
    assert len(view.series["train/loss"]) == 50_000
    assert json.loads(run.series_cache.read_bytes().partition(b"\n")[0])["offset"] == run.events.stat().st_size
    assert contents(again._fold)["facts"] == contents(view._fold)["facts"]


@pytest.mark.slow
def test_a_run_of_a_million_steps_opens_in_a_second(run):
    write_long_run(run, 1_000_000)
    cold, _ = seconds_to_open(run)
    warm, view = seconds_to_open(run)
    print(
        f"1,000,000 steps: {run.events.stat().st_size / 1e6:.0f} MB of log in {cold:.2f} s, from the cache {warm:.4f} s"
    )
    assert len(view.series) == 8
    assert warm < 1.0
