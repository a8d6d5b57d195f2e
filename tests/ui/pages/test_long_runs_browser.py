"""Who does not look is told of a long run's end, and on a phone a run at work comes before the form."""

from __future__ import annotations

import json
import re

import pytest

from tests.ui import canned

pytestmark = [pytest.mark.ui, pytest.mark.xdist_group("browser")]
# The browser's own permission and notifications, as far as the page uses them: what is asked for and shown is kept.
NOTIFICATIONS = """() => {
  window.asked = 0;
  window.shown = [];
  window.Notification = class {
    static permission = "default";
    static requestPermission() { window.asked++; }
    constructor(title, { body }) { window.shown.push([title, body]); }
  };
}"""
HIDDEN = "(hidden) => Object.defineProperty(document, 'hidden', { configurable: true, value: hidden })"
TOPS = "['.ftl-charts', '#ft-setup'].map((name) => document.querySelector(name).getBoundingClientRect().top)"


def start(owner) -> None:
    """Press Train once the plan is there; the run is queued, and cancelled."""
    owner.until("document.querySelector('.ft-line').textContent.includes('steps')")
    before = owner.page.evaluate("FTLive.current()")
    owner.page.click("#ft-train-button")
    owner.until(f"FTLive.current() !== {json.dumps(before)} && FTLive.state()?.status === 'queued'")
    owner.page.click("[data-action=stop]")
    owner.until("FTLive.state().status === 'stopped' && !FTLive.isActive()")


def test_permission_is_asked_for_once_at_the_start_of_a_long_run(owner, hand_run, monkeypatch):
    hand_run("any").die()  # the folder of runs
    owner.page.evaluate(NOTIFICATIONS)
    start(owner)
    assert owner.page.evaluate("asked") == 0, "a short run is looked at"
    monkeypatch.setitem(canned.PLAN, "seconds_estimate", 3000.0)
    owner.open("optim")
    owner.type("ft-optim-lr", "0.002")
    owner.until_text(".ft-line", "50 min")
    start(owner)
    assert owner.page.evaluate("asked") == 1
    start(owner)
    assert owner.page.evaluate("asked") == 1, "closed without an answer is an answer"


@pytest.mark.parametrize(
    ("age", "looks", "answer", "said"),
    [(3600, False, "granted", 1), (3600, True, "granted", 0), (3600, False, "denied", 0), (20, False, "granted", 0)],
    ids=["long, away", "looked at", "not allowed", "short"],
)
def test_the_end_of_a_long_run_is_told_to_who_is_away_and_allowed_it(owner, hand_run, age, looks, answer, said):
    run = hand_run("long")
    run.begin()
    lines = run.folder.events.read_text()
    run.folder.events.write_text(re.sub(r'"time":([\d.]+)', lambda found: f'"time":{float(found[1]) - age}', lines))
    run.train(20)
    owner.page.evaluate(NOTIFICATIONS)
    owner.page.evaluate(f"Notification.permission = '{answer}'")
    owner.show(run)
    owner.page.evaluate("FTLive.lookForRuns()")
    owner.until("document.querySelector('.ftl-select').selectedOptions[0].textContent.includes('running')")
    owner.page.evaluate(HIDDEN, not looks)
    run.train(140)
    run.finish()
    if said:  # the page hears of it by itself
        owner.until("shown.length > 0")
    owner.page.evaluate(HIDDEN, False)
    owner.page.evaluate("FTLive.lookForRuns()")
    owner.until("document.querySelector('.ftl-select').selectedOptions[0].textContent.includes('just now')")
    shown = owner.page.evaluate("shown")
    assert [title for title, _ in shown] == ["long: completed"] * said
    assert all("Completed 10 epochs" in words for _, words in shown), "what it says at its end"


def test_on_a_phone_the_charts_of_a_run_at_work_come_before_the_form(owner, hand_run):
    owner.page.set_viewport_size({"width": 390, "height": 844})
    run = hand_run("phone")
    run.begin()
    run.train(20)
    owner.show(run)
    owner.until("document.querySelector('[data-chart=loss] .ftc-canvas')?.data?.length")
    charts, form = owner.page.evaluate(TOPS)
    assert charts < 844 < form, "the first screen holds a curve"
    run.finish()
    owner.page.evaluate("FTLive.refresh()")
    owner.until("!document.body.classList.contains('ft-active')")
    charts, form = owner.page.evaluate(TOPS)
    assert form < charts, "without one the set-up comes first"
