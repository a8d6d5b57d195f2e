"""Progress: pace, rest, best and words, each by the formula that the page states."""

from __future__ import annotations

import pytest

from fine_tuner.runs.lock import WorkerLock
from fine_tuner.runs.log.events import TrainMetrics, WorkProgress
from fine_tuner.runs.view.run_view import RunView
from tests.runs.logs import finished, lines, started, steps


@pytest.fixture
def live(run):
    """A view of a run with a live worker and the log given."""
    lock = WorkerLock(run.lock)

    def make(*payloads, **options):
        run.events.write_bytes(lines(list(payloads), **options))
        lock.acquire()
        return RunView(run)

    yield make
    lock.release()


def test_the_rest_is_steps_at_their_pace_and_validations_at_what_they_took(live):
    # 32 images a step at 320 images/s: 0.1 s a step; validations of 2 s; 25 of 40 steps, 2 of 4 validations done
    progress = live(started(40), *steps(1, 25)).progress
    assert progress.images_per_second == 320.0
    assert progress.eta_seconds == pytest.approx(15 * 0.1 + 2 * 2.0)
    assert not progress.eta_is_at_least
    assert (progress.step, progress.total_steps, progress.epoch, progress.epochs) == (25, 40, 3, 4)
    assert progress.fraction == 25 / 40


def test_the_rest_is_unknown_before_three_steps_and_a_lower_bound_before_a_validation(live):
    assert live(started(40), *steps(1, 2)).progress.eta_seconds is None
    progress = live(started(40), *steps(1, 5)).progress
    assert progress.eta_seconds == pytest.approx(35 * 0.1)
    assert progress.eta_is_at_least


def test_before_the_first_steps_the_rest_is_what_was_measured_before_them(live):
    progress = live(started(40, val_images=0, expected_images_per_second=64.0), *steps(1, 1)).progress
    assert progress.images_per_second is None, "that is what was measured in the run itself"
    assert progress.eta_seconds == pytest.approx(39 * 32 / 64.0)
    told = live(started(40, val_images=0, expected_images_per_second=64.0), *steps(1, 5)).progress
    assert told.eta_seconds == pytest.approx(35 * 0.1), "three steps of its own know better"


def test_a_run_that_grows_slow_says_what_that_is(live):
    said = steps(1, 40, validate=False)
    assert "busy" not in live(started(40), *said).sentence
    for payload in said[30:]:
        payload.metrics["train/images_per_second"] = 80.0
    assert "80 images/s instead of 320: the machine is busy with other work" in live(started(40), *said).sentence


def test_without_measured_images_the_pace_comes_from_the_times_of_the_lines(live):
    said = [TrainMetrics(step=s, epoch=1, metrics={"train/loss": 1.0}) for s in range(1, 21)]
    progress = live(started(40, val_images=0), *said, step_seconds=0.25).progress
    assert progress.images_per_second is None
    assert progress.eta_seconds == pytest.approx(20 * 0.25)
    assert not progress.eta_is_at_least, "there is nothing to validate on"


def test_lines_that_come_in_bursts_do_not_fool_the_pace(live):
    # eight lines at once every 0.8 s: the median gap is 0, the pace is not
    said = steps(1, 32, per_epoch=100)
    for payload in said:
        del payload.metrics["train/images_per_second"]
    data = b"".join(
        lines([p], seq=i, began=1000 + (i // 8) * 0.8)
        for i, p in enumerate([started(132, per_epoch=132, val_images=0), *said])
    )
    view = live()
    view.run.events.write_bytes(data)
    view.refresh()
    assert view.progress.eta_seconds == pytest.approx(100 * 0.1, rel=0.1)


def test_pace_and_rest_are_those_of_this_attempt(run, live):
    view = live(started(40), *steps(1, 20))
    with run.events.open("ab") as file:
        file.write(lines([started(40, start=20), *steps(21, 22)], seq=23, attempt=2))
    view.refresh()
    assert view.progress.eta_seconds is None


@pytest.mark.parametrize(("step", "epoch"), [(0, 1), (1, 1), (10, 1), (11, 2), (40, 4)])
def test_the_epoch_is_the_one_being_trained(live, step, epoch):
    assert live(started(40), *steps(1, step)).progress.epoch == epoch


def test_best_is_the_first_of_the_best_finite_values(live):
    view = live(started(40), *steps(1, 40))
    assert (view.best.key, view.best.epoch, view.best.step, view.best.value) == ("val/accuracy", 4, 40, 1 - 1 / 40)
    view = live(started(40, best_metric="val/loss", best_direction="min"), *steps(1, 40))
    assert (view.best.key, view.best.epoch, view.best.value) == ("val/loss", 4, 1 / 40)
    view = live(started(40, best_metric="val/unheard_of"), *steps(1, 40))
    assert view.best.key == "val/accuracy"


def test_best_forgets_what_a_resume_took_back(run, live):
    view = live(started(40), *steps(1, 40))
    with run.events.open("ab") as file:
        file.write(lines([started(40, start=25)], seq=50, attempt=2))
    view.refresh()
    assert (view.best.epoch, view.best.value) == (2, 1 - 1 / 20)


def test_the_sentence_says_where_it_is_and_how_it_goes(live):
    text = live(started(60), *steps(1, 45)).sentence
    assert text.startswith("Epoch 5 of 6. Validation accuracy 97.5 %, the best so far. Training loss 0.02")
    assert text.endswith("falling.")
    text = live(started(40), *steps(1, 40), finished(40)).sentence
    assert text == "Completed 4 epochs in 4 s. Best validation accuracy 97.5 % in epoch 4."


def test_long_work_is_told_with_numbers(live):
    assert live(WorkProgress(what="reading data", done=0)).phase == "reading data"
    assert (
        live(WorkProgress(what="reading data", done=7, total=244, unit="images")).phase == "reading data 7/244 images"
    )
    assert (
        live(WorkProgress(what="downloading weights", done=0.4, total=13.6, unit="MiB")).phase
        == "downloading weights 0.4/14 MiB"
    )
