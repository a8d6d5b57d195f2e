"""The log: what is written is what is read, and nothing that happens to the file loses whole lines."""

from __future__ import annotations

import json
import math
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fine_tuner.runs.log.events import (
    Event,
    EventWriter,
    Mark,
    Message,
    RunFinished,
    TrainMetrics,
    UnknownEvent,
    WorkProgress,
    decode,
    encode,
    read_events,
    read_last_event,
)
from tests.runs.logs import started

numbers = st.floats(allow_nan=True, allow_infinity=True) | st.integers(-(2**53), 2**53)
payloads = st.one_of(
    st.builds(TrainMetrics, step=st.integers(0), epoch=st.integers(1), metrics=st.dictionaries(st.text(), numbers)),
    st.builds(Message, text=st.text(), level=st.sampled_from(["info", "warning", "error"])),
    st.builds(WorkProgress, what=st.text(), done=st.integers(0), total=st.none() | st.integers(1), unit=st.text()),
    st.builds(Mark, step=st.integers(0), label=st.text(), changes=st.dictionaries(st.text(), st.text())),
    st.builds(RunFinished, outcome=st.sampled_from(["completed", "failed"]), step=st.integers(0), error=st.text()),
    st.builds(UnknownEvent, kind=st.just("from_the_future"), fields=st.fixed_dictionaries({"n": st.integers()})),
)


@given(payload=payloads, seq=st.integers(0), attempt=st.integers(1))
def test_decode_is_the_inverse_of_encode(payload, seq, attempt):
    event = Event(seq=seq, time=1.5, attempt=attempt, payload=payload)
    line = encode(event)
    assert repr(decode(line)) == repr(event)  # repr: NaN is not equal to itself


@given(payload=payloads)
def test_a_line_is_strict_json_without_line_breaks(payload):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    line = encode(Event(seq=0, time=1.0, attempt=1, payload=payload))
    json.loads(line, parse_constant=refuse)
    assert "\n" not in line


def test_numbers_without_a_json_word_keep_their_meaning():
    metrics = {"a": math.nan, "b": math.inf, "c": -math.inf}
    line = encode(Event(seq=0, time=1.0, attempt=1, payload=TrainMetrics(step=1, epoch=1, metrics=metrics)))
    assert '"metrics":{"a":"NaN","b":"Infinity","c":"-Infinity"}' in line
    assert repr(decode(line).payload.metrics) == repr(metrics)


def test_known_kinds_with_fields_of_another_version_are_kept():
    line = '{"v":9,"seq":3,"time":1.0,"attempt":1,"kind":"mark","step":1,"label":"x","colour":"red"}'
    assert decode(line).payload == UnknownEvent(kind="mark", fields={"step": 1, "label": "x", "colour": "red"})


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "12",
        "null",
        "[]",
        "{}",
        '{"v":1}',
        '{"v":1,"seq":"a","time":1,"attempt":1,"kind":"mark"}',
        "[" * 100_000,
    ],
)
def test_what_is_no_event_is_a_value_error(line):
    with pytest.raises(ValueError, match=r"event|Expecting"):
        decode(line)


def test_a_second_writer_counts_on_and_isolates_the_torn_line_of_the_first(tmp_path):
    path = tmp_path / "events.jsonl"
    first = EventWriter(path)
    first.write(started(10))
    first.write(Message(text="x" * 200_000))  # longer than the part of the end that is looked at first
    first.close()
    with path.open("ab") as file:
        file.write(b'{"v":1,"seq":2,"ti')
    second = EventWriter(path)
    second.write(Message(text="after"))
    second.close()
    events, offset = read_events(path)
    assert [(e.seq, e.attempt) for e in events] == [(0, 1), (1, 1), (2, 2)]
    assert offset == path.stat().st_size
    assert read_last_event(path) == events[-1]


def test_a_torn_last_line_waits_for_its_rest(tmp_path):
    path = tmp_path / "events.jsonl"
    whole = encode(Event(seq=0, time=1.0, attempt=1, payload=Message(text="a"))).encode() + b"\n"
    path.write_bytes(whole + whole[:20])
    events, offset = read_events(path)
    assert (len(events), offset) == (1, len(whole))
    path.write_bytes(whole + whole)
    assert len(read_events(path, offset)[0]) == 1


@settings(max_examples=50)
@given(cut=st.integers(0, 400))
def test_cut_anywhere_every_whole_line_is_kept_and_the_next_writer_counts_on(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("cut") / "events.jsonl"
    writer = EventWriter(path)
    for n in range(4):
        writer.write(Message(text=str(n)))
    writer.close()
    data = path.read_bytes()
    os.truncate(path, min(cut, len(data)))
    ends = [at for at, byte in enumerate(data) if byte == ord("\n")]
    whole = sum(end <= cut for end in ends)  # a line that lost its newline only is whole: the next writer ends it
    writer = EventWriter(path)
    writer.write(Message(text="next"))
    writer.close()
    events, _ = read_events(path)
    assert [e.payload.text for e in events] == [str(n) for n in range(whole)] + ["next"]
    assert [e.seq for e in events] == list(range(whole + 1))


FULL_DISK = """
import resource, sys
from pathlib import Path
from fine_tuner.runs.log.events import EventWriter, Message
path = Path(sys.argv[1])
writer = EventWriter(path)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))  # as a disk with 1000 bytes left
written = 0
try:
    while True:
        writer.write(Message(text="m%d" % written))
        written += 1
except OSError as error:
    print(written, flush=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))  # somebody made room
writer.write(Message(text="room again"))
"""


def test_a_full_disk_loses_only_what_did_not_fit(tmp_path, python):
    path = tmp_path / "events.jsonl"
    child = python(FULL_DISK, path)
    written = int(child.stdout.readline())
    assert child.wait(10) == 0
    events, _ = read_events(path)
    assert written > 5
    assert [e.payload.text for e in events] == [f"m{n}" for n in range(written)] + ["room again"]
    assert [e.seq for e in events] == list(range(written + 1))
