"""What the page says of a run is true at that moment: queued, at work, ended, with weights or without."""

from __future__ import annotations

import time

import pytest

from fine_tuner.base.files import read_json
from fine_tuner.runs import queue
from fine_tuner.ui.pages import texts

pytestmark = [pytest.mark.ui, pytest.mark.xdist_group("browser")]
HEAD = "#ft-right .ftl-top"
OPTION = "document.querySelector('.ftl-select').selectedOptions[0].textContent"


def weights_of(run):
    run.folder.best_weights.parent.mkdir(parents=True)
    run.folder.best_weights.write_bytes(b"weights")


def test_a_run_stopped_in_its_first_epoch_can_be_tried_at_once(owner, hand_run):
    run = hand_run("early")
    run.begin()
    run.train(3)
    weights_of(run)
    run.finish("stopped")
    owner.tab("try")
    owner.until(f"document.querySelector('#ft-try-select')?.value === '{run.folder.id}'")
    owner.until_text(".ft-answer", texts.TRY_DROP)
    assert owner.page.locator(f"a[href$='{run.folder.id}/weights']").count() > 0


def test_a_run_without_weights_is_not_offered_for_a_trial(owner, hand_run):
    run = hand_run("none")
    run.begin()
    run.train(3)
    owner.tab("try")
    owner.until_text(".ft-answer", "weights")
    assert owner.page.locator(f"#ft-try-select option[value='{run.folder.id}']").count() == 0


def test_a_failed_run_waits_for_nothing(owner, hand_run):
    run = hand_run("nothing")
    run.begin()
    run.finish("failed", "The device is gone.")
    owner.show(run)
    owner.until_text("[data-chart=loss] .ftc-wait", "Nothing recorded")
    assert "Waiting" not in owner.text(".ftl-charts")


def test_the_list_says_what_the_head_says_and_an_end_is_just_now(owner, hand_run):
    run = hand_run("long", created=time.time() - 3600)
    run.begin()
    run.train(20)
    owner.show(run)
    owner.until(f"{OPTION}.includes('running')")
    run.finish("failed", "Out of luck.")
    owner.page.evaluate("FTLive.refresh()")
    owner.until("document.querySelector('.ftl-status').dataset.status === 'failed'")
    assert "failed" in owner.page.evaluate(OPTION), "at the same moment"
    owner.until(f"{OPTION}.includes('just now')")


def test_a_queued_run_is_cancelled_not_stopped_and_is_not_older_than_what_is_shown(owner, hand_run):
    older = hand_run("older", created=time.time() - 100)
    older.begin()
    older.train(20)
    waiting = hand_run("waiting")
    waiting.lock.release()
    queue.enqueue(waiting.folder, ["cpu"])
    owner.show(waiting)
    owner.until("document.querySelector('.ftl-status').dataset.status === 'queued'")
    assert owner.text("[data-action=stop]") == "Cancel"
    assert owner.page.locator(".ftl-banner:not([hidden])").count() == 0
    owner.page.click("[data-action=stop]")
    owner.until("document.querySelector('.ftl-status').dataset.status === 'stopped'")
    owner.page.evaluate("FTLive.lookForRuns()")
    owner.until(f"{OPTION}.includes('stopped')")
    assert owner.page.locator(".ftl-banner:not([hidden])").count() == 0, "the other one is older"


def test_a_start_that_is_queued_leaves_the_run_at_work_on_view(owner, hand_run):
    run = hand_run("watched")
    run.begin()
    run.train(20)
    owner.show(run)
    owner.until("document.querySelector('#ft-train-button').textContent === 'Queue'")
    owner.page.click("#ft-train-button")
    owner.until("!document.querySelector('.ft-queued').hidden")
    assert owner.page.evaluate("FTLive.current()") == run.folder.id
    owner.page.click(".ft-queued button")
    owner.until(f"FTLive.current() !== '{run.folder.id}' && FTLive.state()")
    new = owner.page.evaluate("FTLive.current()")
    assert read_json(owner.root / "runs" / new / "run.json")["id"] == new
    owner.page.click("[data-action=stop]")
    owner.until("document.querySelector('.ftl-status').dataset.status === 'stopped'")


def test_what_is_typed_for_a_run_is_there_again_after_another_runs_menu_was_open(owner, hand_run):
    first, second = hand_run("one"), hand_run("two")
    for run in (first, second):
        run.begin()
        run.finish()
    owner.tab("runs")
    menu = "[data-focus='more {}']"
    owner.page.click(menu.format(first.folder.id))
    owner.page.fill(".ft-run-form input >> nth=0", "a title of my own")
    owner.page.click(menu.format(second.folder.id))
    owner.until("document.querySelector('.ft-run-form input').value === 'two'")
    owner.page.click(menu.format(first.folder.id))
    owner.until("document.querySelector('.ft-run-form input').value === 'a title of my own'")
    owner.page.click(".ft-run-form [type=submit]")
    owner.page.wait_for_selector("text=a title of my own")
    assert read_json(first.folder.notes)["title"] == "a title of my own"
