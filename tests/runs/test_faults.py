"""What may become of a run's folder: removed, damaged, made elsewhere; each is said, and nothing else is lost."""

from __future__ import annotations

import errno
import json
import os
import shutil

import pytest

from fine_tuner.base.errors import RunError
from fine_tuner.base.files import read_json, write_json
from fine_tuner.launch.process import write_exit
from fine_tuner.runs.layout import SCHEMA_VERSION, RunFolder
from fine_tuner.runs.log import cache
from fine_tuner.runs.log.events import EventWriter, Message, RunFinished, read_events
from fine_tuner.runs.log.fold import Fold
from fine_tuner.runs.view.run_view import RunView
from tests.runs.logs import finished, lines, started, steps


# ------------------------------------------------------------- the folder goes
@pytest.mark.parametrize("do", [shutil.rmtree, lambda path: path.rename(path.with_name("elsewhere"))])
def test_a_writer_notices_at_its_next_event_that_the_folder_has_gone(run, do):
    writer = EventWriter(run.events)
    writer.write(Message(text="before"))
    do(run.path)
    with pytest.raises(FileNotFoundError, match="removed, moved or replaced while it trained"):
        writer.write(Message(text="after"))
    writer.close()
    write_exit(run, 1, 1)
    cache.save(run, Fold())
    assert not run.path.exists(), "nothing of it comes back"


def test_a_writer_notices_a_log_that_was_replaced(run):
    writer = EventWriter(run.events)
    writer.write(Message(text="before"))
    run.events.rename(run.path / "old")
    run.events.touch()
    with pytest.raises(FileNotFoundError, match="replaced"):
        writer.write(Message(text="after"))
    writer.close()


# ------------------------------------------------------------- the log is damaged
def test_lines_lost_in_the_middle_are_said_on_the_run(store, run):
    log = lines([started(60), *steps(1, 60), finished(60)]).split(b"\n")
    at = next(i for i, line in enumerate(log) if b'"step":31,' in line)
    run.events.write_bytes(b"\n".join(log[:at] + log[at + 7 :]))
    view = store.view(run.id)
    assert (view.status, view.facts.lost, view.facts.lost_step, view.facts.skipped) == ("completed", 7, 30, 0)
    assert "7 lines of its log are missing" in view.messages[0].text
    assert (view.messages[0].level, view.messages[0].step) == ("warning", 30)
    assert "7 lines of its log are missing" in view.sentence
    assert "7 lines" in store.list()[0].text


@pytest.mark.parametrize("portion", [1, 50, 10**6])
def test_what_is_lost_is_the_same_in_whatever_portions_the_log_is_read(run, portion):
    log = lines([started(60), *steps(1, 60), finished(60)]).splitlines(keepends=True)
    del log[10:15], log[30]
    fold = Fold()
    for first in range(0, len(log), portion):
        fold.feed(b"".join(log[first : first + portion]))
    assert (fold.facts.lost, fold.facts.lost_step) == (6, 9)


def test_a_whole_log_through_resumes_and_torn_ends_misses_nothing(run):
    for _ in range(3):
        writer = EventWriter(run.events)
        writer.write(started(10))
        writer.close()
        with run.events.open("ab") as file:
            file.write(b'{"v":1,"seq":')
    view = RunView(run)
    assert (view.facts.lost, view.facts.attempt) == (0, 3)


def test_the_best_value_that_the_log_has_lost_is_the_one_its_checkpoint_was_chosen_by(store, run):
    summary = {"best": {"key": "val/accuracy", "value": 0.99, "epoch": 3}}
    end = RunFinished(outcome="completed", step=60, error=None, summary=summary)
    log = lines([started(60), *steps(1, 60), end]).split(b"\n")
    lost = next(i for i, line in enumerate(log) if b'"eval_metrics"' in line and b'"step":30,' in line)
    run.events.write_bytes(b"\n".join(log[:lost] + log[lost + 1 :]))
    best = store.view(run.id).best
    assert (best.value, best.epoch, best.step) == (0.99, 3, 30)


FULL = """
import resource, signal, sys
from pathlib import Path
from fine_tuner.runs.log.events import EventWriter, Message
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
writer = EventWriter(Path(sys.argv[1]))
try:
    while True:
        writer.write(Message(text="x" * 70))
except OSError as error:
    print(error.errno)
"""


def test_a_disk_that_is_full_at_an_event_leaves_whole_lines(run, python):
    child = python(FULL, run.events)
    assert int(child.stdout.read()) in (errno.ENOSPC, errno.EFBIG)
    count = run.events.read_bytes().count(b"\n")
    assert count > 3
    assert run.events.read_bytes().endswith(b"\n")
    writer = EventWriter(run.events)
    writer.write(finished(5))
    writer.close()
    events, _ = read_events(run.events)
    assert [event.seq for event in events] == list(range(count + 1))


def test_a_torn_end_is_taken_away_and_a_whole_event_without_its_newline_is_kept(run):
    whole = lines([started(10), finished(0)])
    run.events.write_bytes(whole[:-1])
    for text in ("first", "second"):
        writer = EventWriter(run.events)
        writer.write(Message(text=text))
        writer.close()
        with run.events.open("ab") as file:
            file.write(b'{"v":1,"seq":99,"ti')
    EventWriter(run.events).close()
    assert run.events.read_bytes().startswith(whole)
    assert [json.loads(line)["seq"] for line in run.events.read_bytes().splitlines()] == [0, 1, 2, 3]


# ------------------------------------------------------------- made by another version
def test_a_run_of_a_newer_version_is_listed_and_nothing_else(store, run):
    write_json(run.info, read_json(run.info) | {"v": 99})
    (line,) = store.list()
    assert "newer version of Fine Tuner (schema 99" in line.problem
    assert line.problem in line.text
    for ask in (store.get, store.view, store.delete, lambda run_id: store.annotate(run_id, note="x")):
        with pytest.raises(RunError, match=r"made by a newer version.*Update"):
            ask(run.id)
    assert read_json(run.notes) is None


def test_a_folder_of_the_first_version_is_read_with_what_it_has(store):
    """As the first release wrote it: the least that a reader of every later version has to make do with."""
    assert SCHEMA_VERSION == 1, "keep this folder, and add one of the version before"
    run = RunFolder(store.root / "20250101-000000-first")
    run.path.mkdir(parents=True)
    run.info.write_text('{"v": 1, "id": "20250101-000000-first", "title": "the first", "created": 1735689600.0}')
    run.config.write_text("{}")
    head = '{"v":1,"seq":%d,"time":%d.0,"attempt":1,"kind":'
    run.events.write_text(
        head % (0, 1) + '"run_started","start_step":0,"total_steps":2,"epochs":1,"steps_per_epoch":2,"facts":{}}\n'
        + head % (1, 2) + '"train_metrics","step":1,"epoch":1,"metrics":{"train/loss":2.0}}\n'
        + head % (2, 3) + '"train_metrics","step":2,"epoch":1,"metrics":{"train/loss":1.0}}\n'
        + head % (3, 4) + '"run_finished","outcome":"completed","step":2}\n'
    )  # fmt: skip
    view = store.view(run.id)
    assert (view.status, view.progress.step, view.series["train/loss"].value.tolist()) == ("completed", 2, [2.0, 1.0])
    (line,) = store.list()
    assert (line.title, line.status, line.problem) == ("the first", "completed", "")


# ------------------------------------------------------------- odd names
NOT_UTF8 = b"\xff\xfe".decode(errors="surrogateescape")


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "a\tb", "\x1b[31m", NOT_UTF8])
def test_a_folder_whose_name_cannot_be_shown_is_no_run(store, run, name):
    os.mkdir(store.root / name)
    shutil.copy(run.info, store.root / name / "run.json")
    assert store.ids() == [run.id]
    with pytest.raises(RunError, match="is not a run's id"):
        store.get(name)
