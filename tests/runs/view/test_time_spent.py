"""Where the time goes: added up over a log, said as shares, with what follows from the largest."""

from __future__ import annotations

import pytest

from fine_tuner.runs.log.events import TimeSpent
from fine_tuner.runs.log.fold import Fold
from fine_tuner.runs.view.progress import phase_of
from fine_tuner.runs.view.time_spent import time_spent
from tests.runs.logs import finished, lines, started, steps


def folded(*payloads) -> Fold:
    fold = Fold()
    fold.feed(lines(list(payloads)))
    return fold


def test_the_seconds_of_all_events_add_up_and_shares_to_one():
    first = TimeSpent(step=5, seconds={"data": 3.0, "forward": 1.0, "backward": 2.0})
    second = TimeSpent(step=10, seconds={"data": 1.0, "validation": 2.5, "other": 0.5})
    facts = folded(started(20), *steps(1, 5), first, *steps(6, 10), second, finished(10, "stopped")).facts
    assert facts.time_spent == {"data": 4.0, "forward": 1.0, "backward": 2.0, "validation": 2.5, "other": 0.5}
    told = time_spent(facts.time_spent)
    assert [share.part for share in told.shares] == ["data", "forward", "backward", "validation", "other"]
    assert sum(share.share for share in told.shares) == pytest.approx(1.0)
    assert told.text.startswith("40 % of the time the device waits for pictures. ")
    assert "data.num_workers" in told.text


def test_it_is_said_between_two_steps_and_changes_nothing_else():
    spent = TimeSpent(step=5, seconds={"data": 3.0})
    with_it = folded(started(20), *steps(1, 5), spent, *steps(6, 10, validate=False)).facts
    without = folded(started(20), *steps(1, 5), *steps(6, 10, validate=False)).facts
    assert phase_of(with_it) == phase_of(without) == "validating"
    assert sum(done for _, done in with_it.step_ms) == sum(done for _, done in without.step_ms) == 9


@pytest.mark.parametrize(
    ("seconds", "begins"),
    [
        ({"data": 1.0, "forward": 4.0, "backward": 5.0}, "90 % of the time the network trains."),
        ({"forward": 4.0, "validation": 6.0}, "60 % of the time goes to validation. "),
        ({"forward": 3.0, "update": 2.0}, "40 % of the time goes to update of the weights. "),
    ],
)
def test_the_sentence_is_about_what_is_most_over_its_bound(seconds, begins):
    assert time_spent(seconds).text.startswith(begins)


@pytest.mark.parametrize("seconds", [{}, {"data": 0.5}])
def test_nothing_is_said_of_less_than_a_second(seconds):
    assert time_spent(seconds) is None


@pytest.mark.parametrize("seconds", [{"data": "NaN"}, {"data": -1.0}, {"data": None}, ["data"], None, 3])
def test_seconds_that_are_none_are_passed_over(seconds):
    assert folded(started(20), *steps(1, 5), TimeSpent(step=5, seconds=seconds)).facts.time_spent == {}


def test_parts_of_a_newer_version_are_left_out():
    assert folded(TimeSpent(step=5, seconds={"dreaming": 3.0, "data": 2.0})).facts.time_spent == {"data": 2.0}
