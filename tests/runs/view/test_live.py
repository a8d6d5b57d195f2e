"""Live numbers: whatever a page missed, applying the deltas gives what a fresh page gets; and a delta is small."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fine_tuner.base.errors import RunError
from fine_tuner.runs.lock import WorkerLock
from fine_tuner.runs.log.downsampling import Downsampling
from fine_tuner.runs.log.events import EventWriter, Message, TrainMetrics
from fine_tuner.runs.view import live
from fine_tuner.runs.view.live import LiveFeed, detail, payload
from fine_tuner.runs.view.run_view import RunView
from tests.runs.logs import finished, lines, started, steps


class Page:
    """What a page does with payloads: replace on reset, merge where buckets become wider, else append."""

    def __init__(self, keys=None, downsampling=None):
        self.cursor, self.curves, self.keys, self.resets, self.downsampling = "", {}, keys, 0, downsampling

    def poll(self, view):
        answer = payload(view, self.cursor, self.keys, downsampling=self.downsampling)
        message = json.loads(live._dumps(answer), parse_constant=pytest.fail)
        self.cursor = message["cursor"]
        if message["reset"]:
            self.curves, self.resets = {}, self.resets + 1
        for group in message["curves"]:
            for at, key in enumerate(group["keys"]):
                curve = self.curves.setdefault(
                    key, {"level": group["level"], "x": [], "t": [], "y": [], "lo": [], "hi": []}
                )
                assert curve["level"] <= group["level"], "finer buckets without a reset"
                self.widen(curve, group["level"])
                curve["x"] += group["x"]
                curve["t"] += group["t"]
                curve["y"] += group["y"][at]
                for name in ("lo", "hi") if group["level"] else ():
                    curve[name] += group[name][at] or group["y"][at]
        return message

    @staticmethod
    def widen(curve, level):
        width = 2 ** (level - curve["level"])
        if width == 1:
            return
        if curve["level"] == 0:
            curve["lo"], curve["hi"] = list(curve["y"]), list(curve["y"])
        whole = len(curve["x"]) // width * width
        for name, of in (("x", max), ("t", max), ("y", lambda v: sum(v) / width), ("lo", min), ("hi", max)):
            curve[name] = [of(curve[name][i : i + width]) for i in range(0, whole, width)]
        curve["level"] = level


def same_curves(one, other):
    """Whether two pages show the same; a mean of rounded means may differ in the last of its five digits."""
    assert one.keys() == other.keys()
    for key, curve in one.items():
        assert curve["level"] == other[key]["level"], key
        assert curve["x"] == other[key]["x"], key
        for name in ("t", "y", "lo", "hi"):
            assert curve[name] == pytest.approx(other[key][name], rel=2e-4), (key, name)


@pytest.fixture
def small(monkeypatch):
    """Few buckets, so that little data reaches every level."""
    monkeypatch.setattr(live, "BUCKETS", 6)


moves = st.lists(
    st.one_of(
        st.tuples(st.just("steps"), st.integers(0, 23)),
        st.tuples(st.just("resume"), st.integers(0, 60)),
        st.tuples(st.just("finish"), st.just(0)),
        st.tuples(st.just("poll"), st.just(0)),
    ),
    max_size=14,
)


@settings(max_examples=80)
@given(moves=moves)
@pytest.mark.usefixtures("small")
def test_a_page_that_polls_at_any_moments_has_what_a_fresh_page_gets(tmp_path_factory, moves):
    from fine_tuner.runs.layout import RunFolder

    run = RunFolder(tmp_path_factory.mktemp("run"))
    page, seq, step, attempt = Page(), 0, 0, 1
    view = RunView(run)
    for what, number in moves:
        said = []
        if what == "steps":
            said = steps(step + 1, step + number, per_epoch=5)
            step += number
        elif what == "resume":
            attempt, step = attempt + 1, min(step, number)
            said = [started(1000, start=step, per_epoch=5)]
        elif what == "finish":
            said = [finished(step, "stopped")]
        with run.events.open("ab") as file:
            file.write(lines(said, seq=seq, attempt=attempt))
        seq += len(said)
        view.refresh()
        if what == "poll":
            page.poll(view)
    page.poll(view)
    fresh = Page()
    fresh.poll(view)
    same_curves(page.curves, fresh.curves)
    assert page.poll(view)["curves"] == [], "nothing new, nothing sent"


@settings(max_examples=30)
@given(portions=st.lists(st.integers(1, 70), min_size=1, max_size=8), pace=st.sampled_from([1.0, 5.0, math.inf]))
def test_buckets_that_widen_while_a_run_is_at_work_are_merged_by_the_page_without_a_reset(
    tmp_path_factory, portions, pace
):
    from fine_tuner.runs.layout import RunFolder

    run = RunFolder(tmp_path_factory.mktemp("run"))
    with WorkerLock(run.lock), pytest.MonkeyPatch.context() as patch:
        patch.setattr(live, "BUCKETS", 6)
        run.events.write_bytes(lines([started(1000, per_epoch=5)]))
        view, page, step = RunView(run), Page(downsampling=Downsampling(pace)), 0
        for number in portions:
            said = steps(step + 1, step + number, per_epoch=5)
            with run.events.open("ab") as file:
                file.write(lines(said, seq=view.facts.seq + 1, began=1000 + step / 10))
            step += number
            view.refresh()
            page.poll(view)
        fresh = Page(downsampling=page.downsampling)
        fresh.poll(view)
        for key, curve in page.curves.items():  # what it holds in finer buckets waits for the next that is full
            Page.widen(curve, fresh.curves.get(key, curve | {"level": 10})["level"])
        same_curves({k: c for k, c in page.curves.items() if c["x"]}, fresh.curves)
        assert page.resets == 1
    view.refresh()
    page.poll(view)
    whole = Page()
    whole.poll(view)
    same_curves(page.curves, whole.curves)


def test_a_fast_run_is_told_in_few_buckets_and_a_slow_one_after_it_in_fine_ones(run):
    run.events.write_bytes(lines([started(9000), *steps(1, 4000, validate=False)], step_seconds=0.001))
    with WorkerLock(run.lock):
        view, page = RunView(run), Page(downsampling=Downsampling(5.0))
        page.poll(view)
        assert page.curves["train/loss"]["level"] == 8, "a thousand points a second are four buckets of 256"
        said = steps(4001, 4120, validate=False)
        with run.events.open("ab") as file:
            file.write(lines(said, seq=view.facts.seq + 1, began=1004.0, step_seconds=0.5))
        view.refresh()
        page.poll(view)
        assert page.curves["train/loss"]["level"] == 2, "what the length of the curve wants"
        assert page.resets == 2


@pytest.mark.usefixtures("small")
def test_buckets_hold_last_step_mean_least_and_greatest(run):
    run.events.write_bytes(lines([started(100), *steps(1, 24, validate=False)]))
    with WorkerLock(run.lock):
        message = payload(RunView(run))
    (group,) = message["curves"]
    at = group["keys"].index("train/loss")
    loss = 1 / np.arange(1, 25)
    assert group["level"] == 2
    assert group["x"] == [4, 8, 12, 16, 20, 24]
    assert group["y"][at] == pytest.approx(loss.reshape(6, 4).mean(1), rel=1e-4)
    assert group["lo"][at] == pytest.approx(loss.reshape(6, 4).min(1), rel=1e-4)
    assert group["hi"][at] == pytest.approx(loss.reshape(6, 4).max(1), rel=1e-4)
    assert group["t"] == [0.4, 0.8, 1.2, 1.6, 2.0, 2.4]


@pytest.mark.usefixtures("small")
def test_a_bucket_that_is_not_full_waits_until_the_run_has_ended(run):
    run.events.write_bytes(lines([started(100), *steps(1, 23, validate=False)]))
    lock = WorkerLock(run.lock)
    lock.acquire()
    view, page = RunView(run), Page()
    page.poll(view)
    assert page.curves["train/loss"]["x"] == [4, 8, 12, 16, 20]
    lock.release()
    view.refresh()
    page.poll(view)
    assert page.curves["train/loss"]["x"] == [4, 8, 12, 16, 20, 23]
    assert page.resets == 1


def test_a_resume_resets(run):
    run.events.write_bytes(lines([started(100), *steps(1, 24)]))
    view, page = RunView(run), Page()
    page.poll(view)
    with run.events.open("ab") as file:
        file.write(lines([started(100, start=10), *steps(11, 12)], seq=27, attempt=2))
    view.refresh()
    assert page.poll(view)["reset"]
    assert page.curves["train/loss"]["x"] == list(range(1, 13))


@pytest.mark.parametrize("since", ["", "x", "0.", ".5", "0.99999", "7.3", "0~.3", "0.-5x", "0.²", "0-abc.3"])
def test_a_cursor_of_no_use_gives_everything(run, since):
    run.events.write_bytes(lines([started(100), *steps(1, 5)]))
    message = payload(RunView(run), since)
    assert message["reset"]
    assert message["curves"][0]["x"] == [1, 2, 3, 4, 5]


def test_the_same_log_read_by_another_app_honours_the_cursor(run):
    run.events.write_bytes(lines([started(100), *steps(1, 24)]))
    cursor = payload(RunView(run))["cursor"]
    message = payload(RunView(run), cursor)
    assert not message["reset"]
    assert message["curves"] == []


def test_only_wanted_keys_come(run):
    run.events.write_bytes(lines([started(100), *steps(1, 24)]))
    message = payload(RunView(run), "", ["train/loss", "val/accuracy", "no/such"])
    assert sorted(key for group in message["curves"] for key in group["keys"]) == ["train/loss", "val/accuracy"]


def test_what_is_not_finite_is_null_and_the_rest_of_its_bucket_counts(run, monkeypatch):
    monkeypatch.setattr(live, "BUCKETS", 2)
    values = [1.0, math.nan, math.inf, 5.0] + [math.nan] * 4
    said = [TrainMetrics(step=i + 1, epoch=1, metrics={"train/loss": v}) for i, v in enumerate(values)]
    run.events.write_bytes(lines([started(8), *said]))
    (group,) = json.loads(live._dumps(payload(RunView(run))))["curves"]
    assert (group["y"], group["lo"], group["hi"]) == ([[3.0, None]], [[1.0, None]], [[5.0, None]])


def test_a_tick_in_steady_state_is_below_one_kilobyte(run):
    # five steps a second for each of eight curves, as on the page
    names = ["train/loss", "train/lr/head", "train/lr/backbone", "train/grad_norm", "train/images_per_second"]
    names += ["memory/allocated_mib", "memory/reserved_mib", "memory/process_mib"]
    rng = np.random.default_rng(0)

    def said(first, last):
        values = [dict(zip(names, rng.random(8) * 1000, strict=True)) for _ in range(first, last + 1)]
        steady = {"train/images_per_second": 512.37}  # one that halves is told in a sentence
        return [
            TrainMetrics(step=s, epoch=1 + s // 500, metrics=drawn | steady)
            for s, drawn in zip(range(first, last + 1), values, strict=True)
        ]

    run.events.write_bytes(
        lines([started(20_000, per_epoch=500), Message(text="x"), *said(1, 600), *steps(600, 600)[1:]])
    )
    sizes = []
    with WorkerLock(run.lock):
        view, page = RunView(run), Page()
        page.poll(view)
        for second in range(60):
            with run.events.open("ab") as file:
                file.write(lines(said(601 + 5 * second, 605 + 5 * second), seq=700 + 5 * second, began=1070 + second))
            view.refresh()
            before = page.cursor
            page.poll(view)
            sizes.append(len(live._dumps(payload(view, before))))
    assert len(page.curves["train/loss"]["x"]) == 900
    assert page.resets == 1
    assert max(sizes) <= 1000, max(sizes)


def test_the_state_is_that_of_the_view(run):
    run.events.write_bytes(lines([started(40), *steps(1, 25), Message(text="hello")]))
    with WorkerLock(run.lock):
        state = payload(RunView(run))["state"]
    expected = {"status": "running", "step": 25, "total": 40, "epoch": 3, "epochs": 4, "per_epoch": 10, "rate": 320.0}
    assert state | expected == state
    assert state["eta"] == round(15 * 0.1 + 2 * 2)
    assert state["best"] == ["val/accuracy", 0.95, 2, "95.0 %"]
    assert state["messages"] == 1
    assert state["age"] > 1e9, "the log says 1970"


def test_the_age_of_the_data_is_told_only_while_somebody_should_speak(run):
    run.events.write_bytes(lines([started(40), *steps(1, 25)]))
    with WorkerLock(run.lock):
        assert payload(RunView(run))["state"]["age"] > 1e9
    assert "age" not in payload(RunView(run))["state"]


# -------------------------------------------------------------------- zooming
def test_zooming_in_shows_every_point(run):
    run.events.write_bytes(lines([started(5000), *steps(1, 5000, validate=False)]))
    view = RunView(run)
    whole = detail(view, "train/loss", 0, 5000)
    assert whole["level"] == 2
    part = detail(view, "train/loss", 1000, 1100)
    assert part["level"] == 0
    assert part["x"] == list(range(999, 1102)), "one point more on either side"
    by_epoch = detail(view, "train/loss", 100.0, 110.0, axis="epoch")
    assert by_epoch["x"] == part["x"]
    by_time = detail(view, "train/loss", 100.0, 110.0, axis="seconds")
    assert by_time["x"] == part["x"]


@pytest.mark.parametrize(("x0", "x1"), [(5, 1), (math.nan, 1), (1e9, 2e9)])
def test_an_odd_range_gives_few_points_and_no_error(run, x0, x1):
    run.events.write_bytes(lines([started(50), *steps(1, 50)]))
    assert len(detail(RunView(run), "train/loss", x0, x1)["x"]) <= 1
    assert detail(RunView(run), "no/such", 0, 1)["x"] == []


# ------------------------------------------------------------------- the feed
def test_viewers_who_hold_the_same_get_the_same_bytes(store, run):
    run.events.write_bytes(lines([started(50), *steps(1, 5)]))
    feed = LiveFeed(store.view_soon, hold_seconds=60)
    first = feed.tick(run.id)
    writer = EventWriter(run.events)
    writer.write(Message(text="later"))
    writer.close()
    assert feed.tick(run.id) is first
    assert json.loads(feed.tick(run.id, json.loads(first)["cursor"]))["curves"] == []
    assert json.loads(LiveFeed(store.view_soon).tick(run.id))["state"]["messages"] == 1
    with pytest.raises(RunError, match="no run 'nothing-like-it'"):
        feed.tick("nothing-like-it")
