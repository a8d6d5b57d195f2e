"""The fold: the same in any portions, right after a rewind, and unimpressed by anything in the file."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fine_tuner.runs.log import fold as fold_module
from fine_tuner.runs.log.events import EvalMetrics, EventWriter, Mark, Message, TrainMetrics, WorkProgress, read_events
from fine_tuner.runs.log.fold import Fold
from fine_tuner.runs.view.run_view import RunView
from tests.runs.logs import finished, lines, started, steps


def contents(fold: Fold) -> dict:
    """Everything a fold holds, for comparing."""
    series = {
        key: [getattr(s, name).tolist() for name in ("seq", "step", "epoch", "seconds", "time")]
        + [repr(s.value.tolist())]
        for key, s in fold.series.items()
    }
    facts = json.dumps(dataclasses.asdict(fold.facts), sort_keys=True)
    return {"series": series, "facts": facts, "said": [list(fold.messages), fold.marks, fold.checkpoints]}


def folded(data: bytes) -> Fold:
    fold = Fold()
    fold.feed(data)
    return fold


# --------------------------------------------------------- any portions, any log
numbers = st.floats() | st.integers(-5, 5)
keys = st.sampled_from(["train/loss", "train/lr/head", "memory/process_mib"])
payloads = st.one_of(
    st.builds(
        TrainMetrics,
        step=st.integers(0, 30),
        epoch=st.integers(1, 3),
        metrics=st.dictionaries(keys, numbers, max_size=3),
    ),
    st.builds(
        EvalMetrics,
        step=st.integers(0, 30),
        epoch=st.integers(1, 3),
        split=st.sampled_from(["val", "test"]),
        metrics=st.dictionaries(st.sampled_from(["val/loss", "val/accuracy"]), numbers),
        seconds=st.floats(0, 10),
    ),
    st.builds(started, st.integers(0, 40), start=st.integers(0, 30)),
    st.builds(Message, text=st.text(max_size=5)),
    st.builds(Mark, step=st.integers(0, 30), label=st.just("unfreeze")),
    st.builds(WorkProgress, what=st.just("reading data"), done=st.integers(0, 9)),
    st.builds(finished, st.integers(0, 30), st.sampled_from(["completed", "stopped", "paused", "failed"])),
)
junk = st.sampled_from(
    [
        b"\n",
        b"\x00\x00\x00\n",
        b"\xff\xfe\n",
        b'{"v":1,"seq":7,"ti\n',
        b"12\n",
        b"null\n",
        b"[1]\n",
        b'{"v":1,"seq":1,"time":"NaN","attempt":1,"kind":"train_metrics","step":1,"epoch":1,"metrics":{"train/loss":1}}\n',
        b'{"v":1,"seq":1,"time":1,"attempt":1,"kind":"train_metrics","step":null,"epoch":1,"metrics":{"train/loss":1}}\n',
        b'{"v":1,"seq":1,"time":1,"attempt":1,"kind":"train_metrics","step":1,"epoch":1,"metrics":{"train/loss":[1]}}\n',
        b'{"v":1,"seq":1,"time":1,"attempt":1,"kind":"train_metrics","step":1,"epoch":1,"metrics":{"train/loss":"x"}}\n',
        b'{"v":1,"seq":1,"time":1e300,"attempt":1,"kind":"message","text":"x"}\n',
        b'{"v":1,"seq":1,"time":1,"attempt":1,"kind":"run_started","start_step":"a","total_steps":1,"epochs":1,"steps_per_epoch":1}\n',
        b'{"v":1,"seq":1,"time":1,"attempt":1,"kind":"run_finished","outcome":"exploded","step":1}\n',
        b'{"v":1,"seq":1,"time":1,"attempt":1,"kind":"progress","what":"x","done":"y"}\n',
        b'{"v":1,"seq":1,"time":1,"attempt":1,"kind":"from_the_future","x":[1]}\n',
        b'{"v":1,"seq":99999999999999999999999,"time":1,"attempt":1,"kind":"train_metrics","step":1,"epoch":1,"metrics":{}}\n',
    ]
)
attempts = st.lists(st.tuples(st.lists(payloads, max_size=12), st.floats(0, 2e9), junk | st.just(b"")), max_size=4)


def log_of(attempts) -> bytes:
    data, seq = b"", 0
    for attempt, (said, began, noise) in enumerate(attempts, start=1):
        data += lines(said, seq=seq, attempt=attempt, began=began) + noise
        seq += len(said)
    return data


@settings(max_examples=100)
@given(attempts=attempts, cuts=st.lists(st.integers(0, 10_000), max_size=6))
@example(attempts=[([], 0.0, b"\xff\xfe\n")], cuts=[])
def test_reading_on_is_the_same_as_reading_from_scratch(tmp_path_factory, attempts, cuts):
    data = log_of(attempts)
    path = tmp_path_factory.mktemp("log") / "events.jsonl"
    path.touch()
    fold = Fold()
    for cut in sorted({min(cut, len(data)) for cut in cuts} | {len(data)}):
        path.write_bytes(data[:cut])  # also in the middle of a line
        assert fold.read(path) is not None
    assert contents(fold) == contents(folded(data))


@given(attempts=attempts)
def test_times_never_run_backwards(attempts):
    fold = folded(log_of(attempts))
    for series in fold.series.values():
        assert (np.diff(series.seconds) >= 0).all()
        assert (series.seconds >= 0).all()


@given(attempts=attempts)
def test_without_the_accelerator_it_is_the_same(attempts):
    data = log_of(attempts)
    accelerated = contents(folded(data))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fold_module, "_loads", json.loads)
        assert contents(folded(data)) == accelerated


# --------------------------------------------------------------------- rewinding
def test_a_resume_drops_the_steps_that_it_does_again():
    data = lines([started(40), *steps(1, 27)])
    fold = folded(data)
    assert fold.series["train/loss"].step[-1] == 27
    fold.feed(lines([started(40, start=20)], seq=30, attempt=2, began=9000))
    assert fold.series["train/loss"].step.tolist() == list(range(1, 21))
    assert fold.series["val/accuracy"].step.tolist() == [10, 20]
    assert (fold.facts.step, fold.facts.validated_epoch, fold.facts.rewinds) == (20, 2, 1)
    fold.feed(lines(steps(21, 40), seq=31, attempt=2, began=9001))
    assert fold.series["train/loss"].step.tolist() == list(range(1, 41))
    assert fold.series["train/loss"].value.tolist() == [1 / step for step in range(1, 41)]


def test_a_resume_from_the_start_leaves_nothing_of_the_first_attempt():
    fold = folded(lines([started(40), *steps(1, 27), Mark(step=5, label="x")]))
    fold.feed(lines([started(40)], seq=31, attempt=2))
    assert not fold.series
    assert not fold.marks
    assert len(fold.rows) == 0


def test_the_time_between_attempts_is_not_time_at_work():
    fold = folded(lines([started(40), *steps(1, 9)], began=1000))  # 0.9 s
    fold.feed(lines([started(40, start=9), *steps(10, 12, validate=False)], seq=10, attempt=2, began=90_000))  # 0.3 s
    assert fold.facts.elapsed_ms == 1200
    assert fold.series["train/loss"].seconds[-1] == 1.2


def test_a_clock_set_back_stops_time_instead_of_turning_it():
    fold = folded(lines(steps(1, 5), began=5000) + lines(steps(6, 9), seq=5, began=1000))
    assert fold.series["train/loss"].seconds.tolist() == [0.0, 0.1, 0.2, 0.3, 0.4, 0.4, 0.5, 0.6, 0.7]


@pytest.mark.parametrize("moved", [7200.0, -7200.0, 86_400.0 * 400])
def test_a_clock_that_moves_or_a_machine_that_sleeps_is_no_time_at_work(tmp_path, monkeypatch, moved):
    """The date and the process's own clock as they are told to a real writer, the date alone jumping between steps."""
    now, offset = [100.0], [1.7e9]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "time", lambda: offset[0] + now[0])
    writer = EventWriter(tmp_path / "events.jsonl")
    for place, event in enumerate([started(40), *steps(1, 6, validate=False)]):
        now[0] += 0.25
        offset[0] += moved * (place == 4)
        writer.write(event)
    writer.close()
    fold = Fold()
    fold.read(tmp_path / "events.jsonl")
    series = fold.series["train/loss"]
    assert series.seconds.tolist() == [0.25, 0.5, 0.75, 1.0, 1.25, 1.5]
    assert (series.time[3] - series.time[2]) == pytest.approx(moved + 0.25), "dates stay dates"
    assert fold.facts.step_ms == [[250, 1]] * 5, "no step is taken for a slow one"
    assert (fold.facts.lost, fold.facts.skipped) == (0, 0)


def test_a_clock_that_is_set_right_little_by_little_needs_no_line(tmp_path, monkeypatch):
    now, offset = [100.0], [1.7e9]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "time", lambda: offset[0] + now[0])
    writer = EventWriter(tmp_path / "events.jsonl")
    for event in steps(1, 300, validate=False):
        now[0], offset[0] = now[0] + 0.1, offset[0] + 0.005
        writer.write(event)
    writer.close()
    kinds = Counter(event.payload.kind for event in read_events(tmp_path / "events.jsonl")[0])
    assert kinds == {"train_metrics": 300, "clock_moved": 1}


def test_an_outcome_is_past_once_the_next_attempt_says_anything():
    fold = folded(lines([started(10), *steps(1, 3), finished(3, "paused")]))
    assert fold.facts.outcome == "paused"
    fold.feed(lines([WorkProgress(what="reading data", done=0)], seq=5, attempt=2))
    assert fold.facts.outcome is None
    assert fold.series["train/loss"].step.tolist() == [1, 2, 3], "rewound only when it is known where to"


# ------------------------------------------------------------- what becomes of files
@settings(max_examples=60)
@given(cut=st.integers(0, 6000), more=st.integers(0, 8))
def test_a_log_cut_anywhere_gives_what_is_left_and_goes_on(tmp_path_factory, cut, more):
    # a power cut: what a reader saw before may be gone when it looks again
    path = tmp_path_factory.mktemp("cut") / "events.jsonl"
    data = lines([started(40), *steps(1, 30)])
    path.write_bytes(data)
    fold = Fold()
    fold.read(path)
    os.truncate(path, min(cut, len(data)))
    writer = EventWriter(path)
    for step in range(1, more + 1):
        writer.write(TrainMetrics(step=step, epoch=1, metrics={"train/loss": 5.0}))
    writer.close()
    if fold.read(path) is None:
        fold = Fold()
        fold.read(path)
    left = path.read_bytes()
    assert contents(fold) == contents(folded(left[: left.rfind(b"\n") + 1]))


def test_a_view_whose_log_was_cut_begins_again_under_another_generation(run):
    run.events.write_bytes(lines([started(40), *steps(1, 30)]))
    view = RunView(run)
    generation = view.generation
    run.events.write_bytes(lines([started(40), *steps(1, 7)]))
    assert view.refresh()
    assert view.series["train/loss"].step.tolist() == list(range(1, 8))
    assert view.generation != generation


@pytest.mark.parametrize("name", ["events.jsonl", "run.json", "exit.json", "queued.json", "worker.lock", "launch.lock"])
@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 50, b"{", b"[]", b'"text"', b'{"attempt": "x", "order": []}', "ü".encode("latin1")]
)
def test_no_content_of_any_file_makes_a_view_fail(run, name, content):
    (run.path / name).write_bytes(content)
    view = RunView(run)
    assert view.status in ("queued", "lost")
    assert view.sentence
