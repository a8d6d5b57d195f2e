"""Nothing moves under the mouse: what arrives while a run is watched finds its place kept for it."""

from __future__ import annotations

import pytest

from fine_tuner.runs.log.events import WorkProgress

pytestmark = [pytest.mark.ui, pytest.mark.xdist_group("browser")]
PLACES = """() => Object.fromEntries(['.ftl-select', '[data-action=stop]', '.ftl-bar', '.ftl-stats', '.ftl-slider',
  '[data-chart=loss] .ftc-plot', '[data-chart=metric] .ftc-plot', '[data-chart=lr] .ftc-plot',
  '[data-chart=memory] .ftc-plot', '[data-part=more]', '[data-part=table]', '#ft-train-button', '.ft-copy']
  .map((name) => [name, document.querySelector(name).getBoundingClientRect()])
  .map(([name, { x, y, width, height }]) => [name, [x, y, width, height].map(Math.round).join()]))"""


def watch(owner, run):
    owner.show(run)
    owner.until("document.querySelector('[data-chart=loss] .ftc-canvas')?.data?.length")
    owner.page.wait_for_timeout(300)
    return owner.page.evaluate(PLACES)


@pytest.mark.parametrize("size", [(1400, 1000), pytest.param((1100, 900), marks=pytest.mark.slow), (390, 844)], ids=str)
def test_nothing_moves_at_a_validation_or_with_a_message(owner, hand_run, size):
    owner.page.set_viewport_size({"width": size[0], "height": size[1]})
    run = hand_run("steady")
    run.begin()
    run.train(3)
    before = watch(owner, run)

    def arrives(words: str) -> None:
        owner.page.evaluate("FTLive.refresh()")
        owner.page.wait_for_timeout(700)
        after = owner.page.evaluate(PLACES)
        assert after == before, f"moved by {words}"

    run.train(13)
    run.writer.write(WorkProgress(what="evaluating", done=64, total=153))
    arrives("the evaluation")
    run.train(1)
    arrives("the first validation")
    run.say("Three images could not be read.", "warning")
    run.mark("unfreeze", "everything trains from here")
    arrives("a message and a mark")
    run.train(60)
    arrives("more validations")


def test_nothing_moves_when_the_connection_goes_and_comes(owner, owner_server, hand_run):
    run = hand_run("offline")
    run.begin()
    run.train(20)
    before = watch(owner, run)
    owner_server.stop()
    try:
        owner.until("!document.querySelector('.ftl-offline').hidden")
        assert owner.page.evaluate(PLACES) == before
    finally:
        owner_server.start()
    owner.page.evaluate("FTLive.refresh()")
    owner.until("document.querySelector('.ftl-offline').hidden")
    assert owner.page.evaluate(PLACES) == before
    owner.complaints.clear()  # the browser's own words on a server that is away


def test_nothing_moves_when_a_newer_run_is_under_way(owner, hand_run):
    old = hand_run("old", created=1e9)
    old.begin()
    old.train(20)
    old.finish()
    before = watch(owner, old)
    new = hand_run("new")
    new.begin()
    new.train(1)
    owner.page.evaluate("FTLive.lookForRuns()")
    owner.until("!document.querySelector('.ftl-newer').hidden")
    assert owner.page.evaluate(PLACES) == before
