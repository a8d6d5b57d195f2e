"""The store: runs appear whole, are found, listed and removed, whatever else happens in the folder."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fine_tuner.base.errors import RunError
from fine_tuner.base.files import read_json
from fine_tuner.config.io import parse, read_tree, replace
from fine_tuner.config.settings import Settings
from fine_tuner.runs import store as store_module
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.lock import WorkerLock
from fine_tuner.runs.queue import cancel, enqueue, move, place_of, waiting
from fine_tuner.runs.store import RunStore
from tests.runs.logs import finished, lines, started, steps

SETTINGS = replace(Settings(), "data.path=/x/Ants & Bees/train", "model.name=resnet18", "train.epochs=3")


def test_a_new_run_records_what_it_is_and_where_it_comes_from(store):
    run = store.create(SETTINGS, argv=["train", "my.yaml"], parent="20250101-000000-resnet18-ants-abcd")
    assert re.fullmatch(r"\d{8}-\d{6}-resnet18-ants-bees-[a-z2-9]{4}", run.id)
    info = read_json(run.info)
    assert (info["id"], info["argv"], info["model"], info["title"]) == (
        run.id, ["train", "my.yaml"], "resnet18", "Ants & Bees resnet18"
    )  # fmt: skip
    assert info["parent"] == "20250101-000000-resnet18-ants-abcd"
    assert abs(info["created"] - time.time()) < 60
    assert info["versions"]["numpy"]
    assert info["platform"]["python"].startswith("3.")
    assert parse(read_tree(run.config)) == SETTINGS


SECOND = ["optim.lr=0.003", "seed=4"]
TITLES = [
    (["optim.lr=0.001"], "Ants & Bees resnet18"),  # chosen for the first run too
    (["optim.lr=0.003"], "Ants & Bees resnet18 · learning rate 3e-3"),
    (SECOND, "Ants & Bees resnet18 · seed 4"),  # each since the one before it
    (SECOND, "Ants & Bees resnet18"),
    ([*SECOND, "loss.name=mse", "train.epochs=9"], "Ants & Bees resnet18 · loss mse, epochs 9"),
    ([*SECOND, "loss.name=mse", "train.epochs=9", "model.name=resnet34"], "Ants & Bees resnet34"),
    (
        ["optim.lr=0.02", "seed=6", "train.epochs=5", "augment.flip=false"],
        "Ants & Bees resnet18 · loss cross_entropy, learning rate 0.02 +3",
    ),
    (["title=My own"], "My own"),
    (["data.path=/y/other"], "other resnet18"),
    (["title=", "data.decisions=/z/secret.csv", "devices=cpu", "data.num_workers=3"], "Ants & Bees resnet18"),
]


def test_a_title_says_what_is_new_since_the_last_run_of_the_same_data_or_the_one_it_was_made_from(store):
    first = store.create(replace(SETTINGS, "optim.lr=0.001"), argv=[])
    made = []
    for number, (overrides, _) in enumerate(TITLES):
        run = store.create(replace(SETTINGS, *overrides), argv=[])
        run.path.rename(store.root / f"20990101-{number:06d}-{run.id[16:]}")  # ids count by the second
        made.append(read_json(store.root / f"20990101-{number:06d}-{run.id[16:]}" / "run.json")["title"])
    assert made == [title for _, title in TITLES]
    clone = store.create(replace(SETTINGS, "optim.lr=0.001", "train.epochs=7"), argv=[], parent=first.id)
    assert read_json(clone.info)["title"] == "Ants & Bees resnet18 · epochs 7"


def test_fifty_starts_at_once_make_fifty_runs(store, python):
    code = """
import sys
from concurrent.futures import ThreadPoolExecutor
from fine_tuner.config.settings import Settings
from fine_tuner.runs.store import RunStore
store = RunStore(sys.argv[1])
print(flush=True)
sys.stdin.readline()
with ThreadPoolExecutor(25) as pool:
    for run in pool.map(lambda n: store.create(Settings(), argv=[str(n)]), range(25)):
        print(run.id)
"""
    children = [python(code, store.root) for _ in range(2)]
    for child in children:
        child.stdout.readline()
    ids = [run_id for child in children for run_id in child.communicate("\n")[0].split()]
    assert len(set(ids)) == 50
    assert sorted(store.ids()) == sorted(ids)
    assert len(store.list()) == 50
    assert not list(store.root.glob(".new-*"))


def test_an_id_that_is_taken_is_not_given_again(store, monkeypatch):
    ids = iter(["same", "same", "other"])
    monkeypatch.setattr(store_module, "make_id", lambda settings: next(ids))
    first, second = (store.create(SETTINGS, argv=[name]) for name in "ab")
    assert (first.id, second.id) == ("same", "other")
    assert read_json(first.info)["argv"] == ["a"]
    assert read_json(second.info)["id"] == "other"


def test_a_runs_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"cannot be made in .*file/runs: Not a directory.*--runs"):
        RunStore(tmp_path / "file" / "runs").create(SETTINGS, argv=[])


@pytest.mark.parametrize("bad", ["", ".", "..", "../x", "a/b", "a\\b", ".trash", "/etc", "a\0b"])
def test_an_id_is_never_a_path(store, run, bad):
    for ask in (store.get, store.view):
        with pytest.raises(RunError, match="is not a run's id: ids hold no path"):
            ask(bad)


def test_an_unknown_run_comes_with_the_one_that_was_meant(store, run):
    for mistyped in (run.id[:-1], run.id[9:], run.id[:-4] + "zzzz"):
        with pytest.raises(RunError, match=f"no run '{re.escape(mistyped)}' in .*Did you mean '{run.id}'"):
            store.get(mistyped)
    with pytest.raises(RunError, match="The newest is"):
        store.get("!")
    with pytest.raises(RunError, match="holds no runs"):
        RunStore(store.root / "nothing").get("x")


def test_at_a_terminal_a_run_is_an_id_or_a_folder(store, run, monkeypatch):
    monkeypatch.chdir(store.root)
    for text in (run.id, str(run.path), f"./{run.id}", f"{run.path}/"):
        assert store.find(text) == run
    other = RunStore(store.root / "elsewhere")
    assert other.find(run.id) == run, "a folder below the working directory"
    assert other.get(run.path) == run
    with pytest.raises(RunError, match="is no run folder"):
        store.find("./nothing")


# -------------------------------------------------------------------- listing
def finish(run, last=30, outcome="completed"):
    run.events.write_bytes(lines([started(30), *steps(1, last), finished(last, outcome)]))


def test_the_list_tells_the_runs_newest_first(store, monkeypatch):
    ids = iter(["20260101-000000-a", "20260102-000000-b", "20260103-000000-c"])
    monkeypatch.setattr(store_module, "make_id", lambda settings: next(ids))
    first, second, _third = (store.create(SETTINGS, argv=[]) for _ in range(3))
    finish(first)
    second.events.write_bytes(lines([started(30), *steps(1, 15)]))
    with WorkerLock(second.lock):
        newest, middle, oldest = store.list()
    assert (newest.status, middle.status, oldest.status) == ("queued", "running", "completed")
    assert (oldest.best_key, oldest.best_value, oldest.best_epoch) == ("val/accuracy", 1 - 1 / 30, 3)
    assert (oldest.spark_key, oldest.spark) == ("val/accuracy", (0.9, 0.95, 0.9667))
    assert (oldest.epoch, oldest.epochs, oldest.step, oldest.total_steps) == (3, 3, 30, 30)
    assert (oldest.model, oldest.data, oldest.task) == ("resnet18", "Ants & Bees", "classification")
    assert oldest.seconds == pytest.approx(3.4), "30 steps, 3 validations, begin and end"
    assert json.dumps(oldest.to_json())


def test_a_cached_line_is_used_until_the_run_changes_and_may_be_deleted(store, run):
    finish(run)
    (line,) = store.list()
    saved = read_json(run.summary)
    assert RunStore(store.root).list() == [line]
    run.summary.write_text(json.dumps(saved | {"line": saved["line"] | {"title": "from the cache"}}))
    assert RunStore(store.root).list()[0].title == "from the cache"
    without = {key: value for key, value in saved["line"].items() if key != "has_weights"}
    run.summary.write_text(json.dumps(saved | {"line": without | {"title": "from before there was a column"}}))
    assert RunStore(store.root).list() == [line]
    run.summary.unlink()
    assert RunStore(store.root).list() == [line]
    with run.events.open("ab") as file:
        file.write(lines([started(60, start=30), *steps(31, 60), finished(60)], seq=40, attempt=2))
    assert store.list()[0].step == RunStore(store.root).list()[0].step == 60


def test_broken_folders_are_listed_as_such_and_strangers_are_not(store, run):
    finish(run)
    broken = {}
    for name in ("no-info", "torn-info", "no-config", "log-is-folder"):
        shutil.copytree(run.path, store.root / name)
        broken[name] = RunFolder(store.root / name)
    broken["no-info"].info.unlink()
    broken["torn-info"].info.write_text('{"id": ')
    broken["no-config"].config.unlink()
    broken["log-is-folder"].events.unlink()
    broken["log-is-folder"].events.mkdir()
    (store.root / "stranger").mkdir()
    (store.root / "file.txt").write_text("")
    (store.root / ".hidden").mkdir()
    (store.root / "dangling").symlink_to("nowhere")
    found = {line.id: line for line in store.list()}
    assert set(found) == {run.id, *broken}
    assert found["no-info"].problem == found["torn-info"].problem == "run.json is missing or torn"
    assert found["no-info"].status == "completed"
    assert found["log-is-folder"].problem == "cannot be read: Is a directory"
    assert found[run.id].problem == found["no-config"].problem == ""


READ_ONLY = """
import os, sys
from fine_tuner.runs.store import RunStore
from fine_tuner.config.settings import Settings
from fine_tuner.base.errors import RunError
for path in sys.argv[1:]:  # first as we are, in another folder: what is imported late is imported now
    store = RunStore(path)
    if path != sys.argv[-1]:
        store.create(Settings(), argv=[])
        store.list()
os.setuid(65534)
line = store.list()[0]
print(line.status, line.step, store.view(line.id).status)
try:
    store.create(Settings(), argv=[])
except RunError as error:
    print(error)
try:
    RunStore(os.path.dirname(sys.argv[-1]) + "/closed/runs").list()
except RunError as error:
    print(error)
"""


def test_a_read_only_runs_folder_can_be_read():
    if os.geteuid() != 0:
        pytest.skip("needs to become another user")
    with tempfile.TemporaryDirectory() as folder:  # not tmp_path, which other users may not enter
        store = RunStore(Path(folder, "runs"))
        run = store.create(SETTINGS, argv=[])
        finish(run)
        for path in (Path(folder), *Path(folder).rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        Path(folder, "closed").mkdir(mode=0o700)
        package = str(Path(__file__).resolve().parents[2])
        done = subprocess.run(
            [sys.executable, "-c", READ_ONLY, f"{folder}/first", str(store.root)],
            env=os.environ | {"PYTHONPATH": package}, capture_output=True, text=True, timeout=30, check=True,
        )  # fmt: skip
        status, refused, unreadable = done.stdout.splitlines()
        assert status == "completed 30 completed"
        assert re.search(r"cannot be made in .*: Permission denied", refused)
        assert re.search(r"/closed/runs cannot be read: Permission denied", unreadable), "not an empty list"
        assert not run.summary.exists()


# -------------------------------------------------------------------- viewing
def test_a_view_is_kept_and_reads_on(store, run):
    run.events.write_bytes(lines([started(30), *steps(1, 5)]))
    view = store.view(run.id)
    with run.events.open("ab") as file:
        file.write(lines(steps(6, 9), seq=6))
    assert store.view(run.id) is view
    assert view.progress.step == 9


def test_views_in_memory_are_bounded_and_the_least_used_goes_first(store, monkeypatch):
    monkeypatch.setattr(store_module, "_VIEWS", 3)
    runs = [store.create(SETTINGS, argv=[]) for _ in range(4)]
    views = [store.view(run.id) for run in runs[:3]]
    assert store.view(runs[0].id) is views[0]
    store.view(runs[3].id)
    assert store.view(runs[0].id) is views[0]
    assert store.view(runs[1].id) is not views[1]


def test_many_threads_read_one_run(store, run):
    run.events.write_bytes(lines([started(3000)]))
    done = threading.Event()

    def write():
        seq = 1
        for first in range(1, 3000, 100):
            with run.events.open("ab") as file:
                said = steps(first, first + 99)
                file.write(lines(said, seq=seq))
                seq += len(said)
        done.set()

    def read(_):
        seen = 0
        while not done.is_set():
            series = store.view(run.id).series.get("train/loss")
            if series is not None:
                with store.view(run.id).lock:
                    assert series.step.tolist() == list(range(1, len(series) + 1))
                assert len(series) >= seen
                seen = len(series)
        return len(store.view(run.id).series["train/loss"])

    with ThreadPoolExecutor(5) as pool:
        writing = pool.submit(write)
        assert list(pool.map(read, range(4))) == [3000] * 4
        writing.result()


# ------------------------------------------------------------------- changing
def test_title_and_tags_are_notes_beside_the_record(store, run):
    record = run.info.read_text()
    store.annotate(run.id, title=" Better ", tags=["b", "a", " ", "b"])
    store.annotate(run.id, tags=["c"])
    (line,) = store.list()
    assert (line.title, line.tags) == ("Better", ("c",))
    assert run.info.read_text() == record


def test_delete_can_be_undone_and_is_refused_while_at_work(store, run):
    with WorkerLock(run.lock), pytest.raises(RunError, match=r"at work or queued\. Stop it first"):
        store.delete(run.id)
    store.delete(run.id)
    assert store.list() == []
    with pytest.raises(RunError, match="no run"):
        store.view(run.id)
    assert store.restore(run.id) == run
    assert len(store.list()) == 1
    for bad in (run.id, "../x", ""):
        with pytest.raises(RunError, match="no deleted run"):
            store.restore(bad)


# ---------------------------------------------------------------------- queue
def test_the_queue_keeps_its_order_and_can_be_changed(store):
    a, b, c, d = (store.create(SETTINGS, argv=[]) for _ in range(4))
    for run in (a, b, c):
        enqueue(run, ["cpu"])
    enqueue(d, ["cuda-0"])
    order = lambda: [entry.run for entry in waiting(store.root)]  # noqa: E731
    assert order() == [a, b, c, d]
    assert [place_of(run) for run in (a, b, c, d)] == [0, 1, 2, 0]
    move(c, 0)
    assert order() == [c, a, b, d]
    move(c, 2)
    assert order() == [a, b, c, d]
    move(a, 99)
    assert order() == [b, c, d, a]
    assert cancel(c)
    assert not cancel(c)
    assert order() == [b, d, a]
    assert place_of(c) is None
    assert store.view(c.id).status == "stopped"
    move(c, 0)
    assert order() == [b, d, a]


def test_cancelling_a_wait_to_resume_leaves_what_was(store, run):
    finish(run, 15, "paused")
    enqueue(run, ["cpu"])
    assert store.view(run.id).status == "queued"
    cancel(run)
    assert store.view(run.id).status == "paused"


def test_the_queue_of_another_machine_is_not_ours(store, run):
    enqueue(run, ["cpu"])
    entry = read_json(run.queued)
    run.queued.write_text(json.dumps(entry | {"host": "elsewhere"}))
    assert waiting(store.root) == []
    assert store.view(run.id).status == "queued"
