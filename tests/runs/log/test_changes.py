"""Changes while a run trains, as its log tells of them: length and planned rates follow, a resume repeats none."""

from __future__ import annotations

import pytest

from fine_tuner.config.io import replace
from fine_tuner.config.settings import Settings
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.log.events import CheckpointSaved, Mark
from fine_tuner.runs.log.facts import spliced
from fine_tuner.runs.log.fold import Fold
from fine_tuner.runs.view.run_view import RunView
from fine_tuner.training.recovery.rollback import changes_to_make
from tests.runs.logs import lines, started, steps

PLAN = {"steps": [1, 10, 20, 30], "groups": {"head": [4.0, 3.0, 2.0, 1.0]}, "lowest": None}
LONGER = {"steps": [21, 40, 50], "groups": {"head": [1.9, 1.5, 1.0]}, "lowest": None}
LENGTH = Mark(step=20, label="5 epochs", changes={"train.epochs": 5}, planned=LONGER)
SAVED = CheckpointSaved(step=10, path="checkpoints/step-10", is_best=True)
HALVED = Mark(step=12, label="rate × 0.5", changes={"lr_factor": 0.5})


def log(*attempts: list) -> bytes:
    """The log of a run with an attempt for each list of events."""
    begun = [sum(map(len, attempts[:i])) for i in range(len(attempts))]
    return b"".join(lines(p, seq=seq, attempt=i) for i, (p, seq) in enumerate(zip(attempts, begun, strict=True), 1))


def folded(*attempts: list) -> Fold:
    fold = Fold()
    fold.feed(log(*attempts))
    return fold


def test_more_epochs_are_more_steps_and_another_plan():
    fold = folded([started(30, schedule=PLAN), *steps(1, 20), LENGTH])
    assert (fold.facts.epochs, fold.facts.total_steps) == (5, 50)
    assert fold.facts.started["schedule"]["steps"] == [1, 10, 20, 21, 40, 50]
    assert fold.facts.started["schedule"]["groups"] == {"head": [4.0, 3.0, 2.0, 1.9, 1.5, 1.0]}


def test_progress_counts_to_the_new_length(run: RunFolder):
    view = RunView(run)
    for events, expected in (([started(30), *steps(1, 20)], (30, 3)), ([started(30), *steps(1, 20), LENGTH], (50, 5))):
        run.events.write_bytes(log(events))
        view.refresh()
        assert (view.progress.total_steps, view.progress.epochs) == expected


def test_a_rewind_takes_back_what_was_changed_after_it():
    first = [started(30, schedule=PLAN), *steps(1, 20), LENGTH]
    fold = folded(first, [started(30, start=10, schedule=PLAN)])
    assert (fold.facts.epochs, fold.facts.total_steps, fold.marks) == (3, 30, [])
    assert fold.facts.started["schedule"]["groups"] == PLAN["groups"]


def test_a_change_repeated_at_the_checkpoints_own_step_is_marked_once():
    at_ten = Mark(step=10, label="rate × 0.5", changes={"lr_factor": 0.5})
    fold = folded([started(30), *steps(1, 10), at_ten, *steps(11, 13)], [started(30, start=10), at_ten])
    assert fold.marks == [at_ten]


@pytest.mark.parametrize(
    "before", [None, {}, {"steps": [1], "groups": {"backbone": [1.0]}}, {"steps": [1, 2], "groups": {}}]
)
def test_plans_that_do_not_match_are_not_joined(before):
    assert spliced(before, LONGER, 20) == LONGER


def test_nothing_in_a_mark_makes_the_fold_fail():
    for changes in ({"train.epochs": "many"}, {"train.epochs": None}, 3):
        fold = folded([started(30), Mark(step=3, label="odd", changes=changes)])
        assert (fold.facts.skipped, fold.facts.total_steps) == (1, 30)


# ------------------------------------------------------------ what a resume makes again
@pytest.mark.parametrize("deaths", [1, 2, 3])
def test_a_change_is_made_again_once_however_often_the_run_dies(run: RunFolder, deaths: int):
    again = [[started(30, start=10), HALVED]] * (deaths - 1)
    run.events.write_bytes(log([started(30), SAVED, HALVED], *again))
    assert changes_to_make(Settings(), run, run.checkpoints / "step-10") == [(12, {"lr_factor": 0.5})]


def test_a_change_that_a_short_attempt_did_not_reach_is_not_lost(run: RunFolder):
    late = Mark(step=15, label="20 epochs", changes={"train.epochs": 20})
    died_early = [started(30, start=10), HALVED], [started(30, start=10)]
    run.events.write_bytes(log([started(30), SAVED, HALVED, late], *died_early))
    assert sorted(changes_to_make(Settings(), run, run.checkpoints / "step-10"), key=lambda change: change[0]) == [
        (12, {"lr_factor": 0.5}),
        (15, {"train.epochs": 20}),
    ]


def test_changes_that_the_settings_ask_for_are_made_once(run: RunFolder):
    asked = replace(Settings(), "schedule.changes=['9:lr_factor=2', '12:lr_factor=0.5', '15:train.epochs=20']")
    assert changes_to_make(asked, run, None) == [
        (9, {"lr_factor": 2.0}), (12, {"lr_factor": 0.5}), (15, {"train.epochs": 20.0}),
    ]  # fmt: skip
    doubled = Mark(step=9, label="rate × 2", changes={"lr_factor": 2.0})
    run.events.write_bytes(log([started(30), doubled, SAVED, HALVED]))
    assert changes_to_make(asked, run, run.checkpoints / "step-10") == [
        (12, {"lr_factor": 0.5}), (15, {"train.epochs": 20.0}),
    ]  # fmt: skip


def test_a_run_that_went_back_drops_what_it_does_again_and_keeps_its_log():
    first = [started(30), *steps(1, 14)]
    back = Mark(step=10, label="rollback", changes={"lr_factor": 0.5, "rollbacks": 1}, rewind_to=10)
    portions = [started(30)], steps(1, 14), [back], steps(11, 20)
    whole = folded([*first, back, *steps(11, 20)])
    assert whole.series["train/loss"].step.tolist() == list(range(1, 21))
    assert whole.series["val/accuracy"].step.tolist() == [10, 20]
    assert (whole.facts.rewinds, whole.facts.step, whole.marks) == (1, 20, [back])
    fold, seq = Fold(), 0
    for portion in portions:
        fold.feed(lines(portion, seq=seq))
        seq += len(portion)
    assert fold.series["train/loss"].step.tolist() == whole.series["train/loss"].step.tolist()
    assert fold.facts.start_step == 10


def test_a_resume_makes_the_change_of_a_rollback_again_without_a_second_mark():
    back = Mark(step=10, label="rollback", changes={"rollbacks": 1}, rewind_to=10)
    again = Mark(step=10, label="rollback", changes={"rollbacks": 1})
    fold = folded([started(30), *steps(1, 14), back, *steps(11, 12)], [started(30, start=10), again, *steps(11, 13)])
    assert fold.marks == [back]
    assert fold.series["train/loss"].step.tolist() == list(range(1, 14))


def test_a_mark_of_an_older_log_is_no_ghost_and_goes_nowhere_back():
    fold = Fold()
    fold.feed(log([started(30), *steps(1, 3)]) + b'{"v":1,"seq":4,"time":1.0,"attempt":1,"kind":"mark","step":3,'
              b'"label":"unfreeze","text":"","changes":{},"planned":{}}\n')  # fmt: skip
    (mark,) = fold.marks
    assert (mark.is_ghost, mark.rewind_to, len(fold.series["train/loss"])) == (False, None, 3)
