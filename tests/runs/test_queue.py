"""The queue: an order that survives, entries that only this user's programs can write, and no change lost."""

from __future__ import annotations

import json
import socket
import threading

import pytest

from fine_tuner.base.cache_folder import CACHE_VARIABLE
from fine_tuner.base.files import change_json, read_json, write_json
from fine_tuner.config.settings import Settings
from fine_tuner.runs import queue
from fine_tuner.runs.publishing import Published, publish, published


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_an_entry_of_our_own_waits_in_its_place(store, own_cache):
    runs = [store.create(Settings(), argv=["train"]) for _ in range(3)]
    for run in runs:
        queue.enqueue(run, ["cpu"])
    assert [entry.run for entry in queue.waiting(store.root)] == runs
    queue.move(runs[2], 0)
    assert [entry.run for entry in queue.waiting(store.root)] == [runs[2], runs[0], runs[1]]
    secret = own_cache / "secret"
    assert (secret.stat().st_mode & 0o777, secret.stat().st_size) == (0o600, 32)


def _planted(run):
    entry = {"order": 1.0, "devices": ["cpu"], "host": socket.gethostname(), "time": 1.0}
    write_json(run.queued, entry)


def _guessed(run):
    _planted(run)
    write_json(run.queued, read_json(run.queued) | {"signature": "0" * 64})


def _other_settings(run):
    queue.enqueue(run, ["cpu"])
    run.config.write_text(run.config.read_text() + "\ntitle: another\n")


def _other_devices(run):
    queue.enqueue(run, ["cpu"])
    write_json(run.queued, read_json(run.queued) | {"devices": ["cuda-0"]})


def _of_another_run(run):
    other = type(run)(run.path.parent / "another")
    other.path.mkdir()
    other.config.write_bytes(run.config.read_bytes())
    queue.enqueue(other, ["cpu"])
    run.queued.write_bytes(other.queued.read_bytes())
    other.queued.unlink()


@pytest.mark.parametrize("plant", [_planted, _guessed, _other_settings, _other_devices, _of_another_run])
def test_an_entry_that_we_did_not_write_is_shown_and_starts_nothing(store, run, own_cache, plant):
    plant(run)
    assert queue.waiting(store.root) == []
    assert queue.place_of(run) is None
    view = store.view(run.id)
    assert (view.status, view.phase) == ("queued", "queued elsewhere, which starts nothing here")
    queue.move(run, 0)
    assert queue.waiting(store.root) == [], "another place makes it no entry of ours"
    assert queue.cancel(run)
    assert store.view(run.id).status == "stopped"


def test_a_secret_that_others_could_read_is_made_anew(store, run, own_cache):
    from fine_tuner.base import own_secret

    own_cache.mkdir()
    (own_cache / "secret").write_bytes(b"x" * 32)
    (own_cache / "secret").chmod(0o644)
    own_secret._secret.cache_clear()
    queue.enqueue(run, ["cpu"])
    assert (own_cache / "secret").read_bytes() != b"x" * 32
    assert (own_cache / "secret").stat().st_mode & 0o777 == 0o600
    assert len(queue.waiting(store.root)) == 1


# ----------------------------------------------------------- nothing that is changed at the same time is lost
def in_threads(*acts, rounds=40):
    def work(act):
        for number in range(rounds):
            act(number)

    threads = [threading.Thread(target=work, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_unpublishing_while_notes_are_saved_holds_every_time(store, run):
    lost = []

    def show_and_hide(number):
        publish(run, Published(run=True))
        publish(run, Published())
        lost.append(published(run).run)

    in_threads(show_and_hide, lambda number: store.annotate(run.id, note=f"note {number}"))
    assert not any(lost)
    assert read_json(run.notes) == {"note": "note 39"}


def test_every_change_of_a_file_counts_whoever_else_changes_it(tmp_path):
    path = tmp_path / "counts.json"
    counters = [lambda _, n=name: change_json(path, lambda c: {**c, n: c.get(n, 0) + 1}) for name in "abc"]
    in_threads(*counters)
    assert json.loads(path.read_text()) == {"a": 40, "b": 40, "c": 40}


def test_runs_queued_at_once_get_a_place_each(store, own_cache):
    runs = [[store.create(Settings(), argv=["train"]) for _ in range(10)] for _ in range(3)]
    in_threads(*(lambda i, batch=batch: queue.enqueue(batch[i], ["cpu"]) for batch in runs), rounds=10)
    orders = [entry.order for entry in queue.waiting(store.root)]
    assert sorted(orders) == [float(n) for n in range(1, 31)]
