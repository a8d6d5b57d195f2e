"""Hostile names in a real browser: of runs, classes, metrics, tags, messages; on every tab and the viewer's page."""

from __future__ import annotations

import time

import pytest

from fine_tuner.base.files import write_json
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.publishing import Published, publish
from tests.ui.attacks import Target, served
from tests.ui.canned import PLAN, Canned, printed
from tests.ui.hand_run import HandRun

pytestmark = pytest.mark.ui
EVIL = (
    "<img src=x onerror='window.hacked=1'>${window.hacked=2}{{constructor.constructor('window.hacked=3')()}}"
    "</script><script>window.hacked=4</script>\"'><svg/onload=window.hacked=5>`${window.hacked=6}`javascript:hacked=7"
)
CLEAN = (
    "() => [window.hacked ?? null, document.querySelectorAll('img[src=x], svg[onload], a[href^=javascript]').length]"
)
TABS = "() => [...document.querySelectorAll('#ft-tabs [role=tab]')].map((tab) => tab.textContent.trim())"
OPEN = (
    "(name) => [...document.querySelectorAll('#ft-tabs [role=tab]')].find((t) => t.textContent.trim() === name).click()"
)


@pytest.fixture
def target(tmp_path):
    target = Target(tmp_path)
    run = HandRun(
        tmp_path / "runs", "20261124-000001-evil", title=EVIL, created=time.time(), classes=[EVIL, f"{EVIL}2"],
        device=EVIL, model=EVIL, groups={"head": 1e-3, EVIL: 1e-4}, notices=[EVIL],
    )  # fmt: skip
    run.begin(), run.train(20), run.train(12, **{f"train/{EVIL}": 1.0})
    run.say(EVIL, "warning"), run.mark(EVIL, EVIL)
    run.folder.log.write_text(EVIL)
    run.folder.best_weights.parent.mkdir(parents=True, exist_ok=True)
    run.folder.best_weights.write_bytes(b"weights")
    run.finish("failed", f"{EVIL}. {EVIL}")
    write_json(run.folder.notes, {"title": EVIL, "tags": [EVIL], "note": EVIL})
    publish(RunFolder(tmp_path / "runs" / "20261124-000001-evil"), Published(run=True, model=True))
    canned = Canned()

    def ask(argv):
        if argv[0] == "plan":
            return printed(PLAN | {"classes": [EVIL, EVIL], "data": EVIL, "notices": [EVIL], "groups": [EVIL, "head"]})
        if argv[0] == "predict":
            found = {"image": argv[2], "label": EVIL, "probabilities": {EVIL: 0.9, f"{EVIL}2": 0.1}}
            return printed({"run": argv[1], "weights": {"network": EVIL, "epoch": 2}, "predictions": [found]})
        return canned(argv)

    target.ask = ask
    with served(target):
        yield target


def sign_in(browser, target, role: str):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page, token = context.new_page(), target.access.links.get(role).token
    page.set_default_timeout(60_000)
    page.goto(f"http://127.0.0.1:{target.port}/login?token={token}&run=20261124-000001-evil")
    return context, page


def test_no_name_becomes_markup_or_script_on_any_tab_and_a_code_is_shown_for_an_address_that_phones_reach(
    browser, target
):
    context, page = sign_in(browser, target, "owner")
    page.goto(f"http://127.0.0.1:{target.port}/?run=20261124-000001-evil")
    page.wait_for_function("() => document.querySelector('.ftl-status')?.textContent === 'Failed'")
    tabs = page.evaluate(TABS)
    assert {"Train", "Runs", "Results", "Try", "Share"} <= set(tabs)
    for name in tabs:
        page.evaluate(OPEN, name)
        page.wait_for_timeout(700)
        assert page.evaluate(CLEAN) == [None, 0], name
    page.wait_for_function("() => document.querySelector('.ft-share-runs tbody th')")
    assert "<img src=x" in page.inner_text(".ft-share-runs tbody")  # it is there, as text
    assert page.locator(".ft-share-card").count() == page.locator(".ft-share-here:visible").count() == 2
    assert page.locator(".ft-share-qr").count() == 0, "a phone cannot follow 127.0.0.1"
    target.setup_tunnel = lambda port: "https://abc.example.live"
    page.locator(".ft-share-ways > button").click()
    page.wait_for_function("() => document.querySelectorAll('.ft-share-qr').length === 2")
    assert page.locator(".ft-share-here").count() == 0
    context.close()


def test_the_viewers_page_shows_curves_and_an_answer_and_runs_nothing(browser, target, tmp_path):
    from PIL import Image

    picture = tmp_path / "picture.png"
    Image.new("RGB", (8, 8)).save(picture)
    context, page = sign_in(browser, target, "viewer")
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.wait_for_function("() => document.querySelector('.ftl-status')?.textContent === 'Failed'")
    page.wait_for_function("() => document.querySelector('[data-chart=loss] .ftc-canvas')?.data?.length")
    page.set_input_files("#ft-viewer-file", picture)
    page.wait_for_selector("#ft-viewer-try .ft-bars li")
    assert "<img src=x" in page.inner_text("#ft-viewer-try")
    assert page.evaluate(CLEAN) == [None, 0]
    assert "20261124-000001-evil" in page.inner_text("#ft-viewer-runs")  # in place of the title
    assert str(tmp_path) not in page.content()
    assert page.locator("[data-action]:visible, a[download]:visible").count() == 0
    assert complaints == []
    context.close()
