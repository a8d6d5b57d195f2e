"""The history of runs in a real browser: finding, naming, deleting with undo, comparing."""

from __future__ import annotations

import json
import re

import pytest
from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from fine_tuner.base.files import read_json
from fine_tuner.config.io import dump_yaml, replace
from fine_tuner.config.live_changes import live_settings
from fine_tuner.config.settings import Settings
from fine_tuner.launch.launcher import Launcher
from fine_tuner.runs import control, queue
from fine_tuner.runs.store import RunStore
from fine_tuner.ui import static
from fine_tuner.ui.api.live import LiveRoutes
from fine_tuner.ui.api.runs import RunRoutes
from tests.runs.logs import wait_until
from tests.ui.hand_run import HandRun
from tests.ui.live_visits import new_page

pytestmark = pytest.mark.ui
ACTIONS = ["stop", "resume", "set", "evaluate", "checkpoint", "extend", "clone"]


def plain_page() -> HTMLResponse:
    """The table of runs without Gradio around it."""
    styles = "".join(
        f'<link rel="stylesheet" href="{static.address_of(n)}">'
        for n in ("styles/style.css", "styles/form.css", "styles/runs.css")
    )
    return HTMLResponse(
        f"""<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
        <title>runs</title><link rel="icon" href="data:,">{styles}<body>
        <div id="live"><div class="ft-live"></div></div><div id="ft-runs"><section class="ft-runs"></section></div>
        <script type="module">import {{ mount }} from "/{static.address_of("live/live.js")}";
        mount(document.querySelector("#live"), {{actions: {ACTIONS}, changes: {json.dumps(live_settings())}}});
        import {{ mountRuns }} from "/{static.address_of("runs/runs.js")}";
        mountRuns(document.querySelector("#ft-runs"));</script></body></html>"""
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A runs folder of its own with two ended runs and one at work, served."""
    from tests.ui.rig import serving

    root = tmp_path_factory.mktemp("history")
    made = []
    for i, title in enumerate(("first", "second", "third")):
        run = HandRun(root, f"20261123-20000{i}-{title}", title=title)
        run.folder.config.write_text(dump_yaml(replace(Settings(), f"optim.lr=0.0{i + 1}")))
        run.begin()
        run.train(48)
        made.append(run)
    made[0].finish()
    made[1].finish("stopped")
    store = RunStore(root)
    app = FastAPI()
    app.include_router(static.router)
    launcher = Launcher(store, command=lambda run: ["true"])
    launcher.close()  # its queue is not served: what is asked of it can be seen
    actions = {"evaluate": launcher.request_validation, "checkpoint": launcher.request_save}
    app.include_router(LiveRoutes(store).router())
    app.include_router(RunRoutes(store, launcher, root / "losses", actions).router())
    app.get("/history")(plain_page)
    with serving(app) as server:
        yield server, made
    made[2].die()


@pytest.fixture
def seen(context, place):
    """The table, drawn."""
    server, _ = place
    seen = new_page(context, server)
    seen.page.set_default_timeout(12_000)
    seen.page.goto(f"{server.address}history")
    seen.page.wait_for_selector(".ft-runs tbody tr")
    yield seen
    seen.page.close()
    assert seen.complaints == []


def titles(page):
    return page.locator("td.ft-run-title .ft-link").all_inner_texts()


def test_runs_are_found_by_words_status_and_tag_and_keep_what_was_written(seen, place):
    _, runs = place
    page = seen.page
    assert titles(page) == ["third", "second", "first"]
    page.select_option("[aria-label=Status]", "active")
    assert titles(page) == ["third"]
    page.select_option("[aria-label=Status]", "")
    page.click(f"[data-focus='more {runs[0].folder.id}']")
    page.fill(".ft-run-form input >> nth=0", "renamed")
    page.fill(".ft-run-form input >> nth=1", "good, small")
    page.fill(".ft-run-form textarea", "the one to beat")
    page.click(".ft-run-form [type=submit]")
    page.wait_for_selector("text=the one to beat")
    assert read_json(runs[0].folder.notes) == {"title": "renamed", "tags": ["good", "small"], "note": "the one to beat"}
    page.select_option("[aria-label=Tag]", "small")
    assert titles(page) == ["renamed"]


def test_a_deleted_run_comes_back_by_undo(seen, place):
    _, runs = place
    page = seen.page
    page.click(f"[data-focus='more {runs[1].folder.id}']")
    page.click(".ft-run-actions >> text=Delete")
    page.wait_for_function("document.querySelectorAll('td.ft-run-title').length === 2")
    assert not runs[1].folder.path.exists()
    page.keyboard.press("Enter")  # Undo has the focus
    page.wait_for_function("document.querySelectorAll('td.ft-run-title').length === 3")
    assert runs[1].folder.events.exists()


def test_compared_runs_show_their_curves_and_only_the_settings_that_differ(seen, place):
    server, runs = place
    page = seen.page
    for run in runs[:2]:
        page.check(f"[data-focus='box {run.folder.id}']")
    page.click("text=Compare (2)")
    page.wait_for_function("document.querySelector('[data-chart=\"train/loss\"] .ftc-canvas')?.data?.length === 2")
    drawn = page.evaluate(
        "document.querySelector('[data-chart=\"train/loss\"] .ftc-canvas').data.map((t) => [t.x.length, t.line.dash])"
    )
    assert [count for count, _ in drawn] == [48, 48]
    assert len({dash for _, dash in drawn}) == 2, "told apart without colour"
    rows = page.locator(".ft-compare-tables section >> nth=1").locator("tbody tr").all_inner_texts()
    assert [row.split() for row in rows] == [["Learning", "rate", "0.01", "0.02"]]
    address = page.evaluate("location.search")
    assert re.search(rf"compare={runs[0].folder.id},{runs[1].folder.id}", address)
    page.goto(f"{server.address}history{address}")
    page.wait_for_selector(".ft-compare .main-svg")
    best = page.locator(".ft-compare-tables section >> nth=0").locator("tbody tr").first.inner_text()
    assert best.count("%") == 2, "a fraction reads as on its chart, also where no run was on view before"
    page.click(".ft-compare [data-axis=epoch]")
    page.wait_for_function("document.querySelector('[data-chart=\"train/loss\"] .ftc-canvas').data[0].x.at(-1) === 3")
    page.click(".ft-compare-bar >> text=Close")
    assert "compare" not in page.evaluate("location.search")


def test_a_run_at_work_is_asked_to_validate_and_to_save_and_an_ended_one_goes_on_for_longer(seen, place):
    server, (ended, _, running) = place
    page = seen.page
    page.goto(f"{server.address}history?run={running.folder.id}")
    for label, request in (("Validate now", "evaluate"), ("Save now", "checkpoint")):
        page.click(f".ftl-change >> text={label}")
        page.wait_for_selector(".ftl-changed >> text=Asked for")
        wait_until(lambda request=request: request in control.pending(running.folder))
    assert not page.is_visible(".ftl-change >> text=Clone with changes")

    checkpoint = ended.folder.checkpoints / "step-00000048"
    checkpoint.mkdir(parents=True)
    (checkpoint / "manifest.json").write_text("{}")
    page.goto(f"{server.address}history?run={ended.folder.id}")
    page.wait_for_selector(".ftl-change >> text=Go on from here")
    assert not page.is_visible(".ftl-change >> text=Validate now")
    page.fill("[data-field=epochs] input", "3")
    page.click("[data-field=epochs] >> text=Extend")
    page.wait_for_selector(".ftl-changed >> text=3 epochs of the run")
    seen.complaints.clear()  # the browser's own line about the answer that says so
    page.fill("[data-field=epochs] input", "20")
    page.click("[data-field=epochs] >> text=Extend")
    page.wait_for_function("FTLive.state()?.status === 'queued'")
    assert control.pending(ended.folder) == {"set": {"train.epochs": 20}}
    page.wait_for_selector(".ftl-status >> text=Queued")  # shown once the answer about the run is there too
    queue.cancel(ended.folder)


def test_on_a_phone_nothing_scrolls_sideways(seen, place):
    _, runs = place
    seen.page.set_viewport_size({"width": 390, "height": 844})
    seen.page.click(f"[data-focus='more {runs[0].folder.id}']")
    assert seen.page.evaluate("document.documentElement.scrollWidth") == 390
