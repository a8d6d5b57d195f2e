"""In every state there is a next step: what it is, for each status and each cause of a failure."""

from __future__ import annotations

from typing import get_args

import pytest

from fine_tuner.config.io import apply_overrides
from fine_tuner.runs.log.events import RunFinished
from fine_tuner.runs.queue import enqueue
from fine_tuner.runs.view.next_steps import ACTIONS, Situation, best_in_words, next_steps, situation_of
from fine_tuner.runs.view.progress import BestValue
from fine_tuner.runs.view.run_view import RunView
from fine_tuner.runs.view.status import CAUSES, Status
from tests.runs.logs import finished, started, steps
from tests.runs.view.test_status import record

RESTING = ("queued", "paused", "completed", "stopped", "failed", "lost")
SETTINGS = {"train.batch_size": 32, "train.accumulate": 1, "optim.lr": 0.01}


def labels(**about) -> list[str]:
    return [step.label for step in next_steps(Situation(**about)).steps]


@pytest.mark.parametrize("status", get_args(Status))
def test_a_run_at_work_is_left_alone_and_every_other_state_has_a_button(status):
    onward = next_steps(Situation(status=status))
    assert (onward is None) == (status not in RESTING)
    if onward is not None:
        assert onward.steps
        assert all(step.action in ACTIONS and step.label for step in onward.steps)


def test_a_completed_run_is_tried_looked_at_downloaded_and_trained_further():
    best = BestValue("val/accuracy", 134 / 153, 3, 48, True)
    now = Situation(
        status="completed", best=best, val_images=153, epochs=10, seconds=72, has_weights=True, can_resume=True
    )
    onward = next_steps(now)
    assert [step.action for step in onward.steps] == ["try", "wrong", "download", "extend"]
    assert onward.steps[-1].epochs == 20
    assert onward.text == (
        "Completed 10 epochs in 1 min 12 s. After epoch 3 it gets 134 of 153 validation images right (87.6 %)."
    )


@pytest.mark.parametrize("status", ["stopped", "paused", "lost"])
def test_what_was_interrupted_goes_on_where_it_can_and_begins_anew_where_it_cannot(status):
    assert labels(status=status, can_resume=True, has_weights=True)[:2] == ["Resume", "Try it"]
    assert labels(status=status) == ["Start it again"]


@pytest.mark.parametrize("cause", CAUSES)
def test_every_cause_has_a_mend_whose_settings_are_settings(cause):
    onward = next_steps(Situation(status="failed", cause=cause, settings=SETTINGS))
    assert onward.steps
    for step in onward.steps:
        apply_overrides({}, [f"{path}={value}" for path, value in step.settings.items()])


@pytest.mark.parametrize(
    ("cause", "label", "settings"),
    [
        ("weights", "Start without", {"model.weights": "none"}),
        ("killed", "Start with 16 at a time", {"train.batch_size": 16, "train.accumulate": 2}),
        ("numbers", "Start with rate 0.001", {"optim.lr": 0.001}),
    ],
)
def test_a_failure_s_button_changes_what_failed(cause, label, settings):
    onward = next_steps(Situation(status="failed", cause=cause, settings=SETTINGS))
    (step,) = [step for step in onward.steps if step.label == label]
    assert (step.action, step.settings) == ("start", settings)


def test_fewer_images_are_offered_where_they_help_and_not_where_halving_has_failed():
    assert labels(status="failed", cause="memory", settings=SETTINGS) == [
        "Choose a smaller image",
        "Choose another network",
    ]
    killed = labels(status="lost", cause="killed", can_resume=True, settings=SETTINGS)
    assert killed == ["Resume", "Start with 16 at a time", "Choose a smaller image"]
    assert labels(status="lost", settings=SETTINGS) == ["Start it again"]


def test_missing_weights_are_chosen_from_a_file_first():
    first = next_steps(Situation(status="failed", cause="weights")).steps[0]
    assert (first.action, first.label, first.focus) == ("change", "Choose a file", "model.weights")


@pytest.mark.parametrize(
    ("queue", "words"), [(0, "It is next"), (1, "1 run is before it"), (2, "2 runs are before it")]
)
def test_a_queued_run_tells_its_place(queue, words):
    onward = next_steps(Situation(status="queued", queue=queue))
    assert onward.text.startswith(words)
    assert [step.action for step in onward.steps] == ["stop"]


def test_an_error_of_numbers_is_compared_with_always_saying_the_mean():
    best = BestValue("val/mae", 2.03, 4, 28, False)
    good = Situation(status="completed", best=best, values={"val/r2": 0.34})
    assert best_in_words(good).startswith(
        "After epoch 4 it is off by 2.03 on average on the validation images. It explains"
    )
    assert "34 %" in best_in_words(good)
    assert "no better than always saying the mean" in best_in_words(
        Situation(status="completed", best=best, values={"val/r2": -0.1})
    )


def test_the_cause_is_what_the_worker_said(run):
    said = RunFinished(outcome="failed", step=0, error="No weights.", summary={"cause": "weights"})
    record(run, started(20), said)
    now = situation_of(RunView(run))
    assert (now.status, now.cause) == ("failed", "weights")


def test_a_run_s_situation_holds_its_place_and_its_epochs(run):
    record(run, started(20), *steps(1, 5), finished(5, "stopped"))
    now = situation_of(RunView(run))
    assert (now.status, now.has_weights, now.can_resume) == ("stopped", False, False)
    enqueue(run, ["cpu"])
    assert situation_of(RunView(run), 3).queue == 3
