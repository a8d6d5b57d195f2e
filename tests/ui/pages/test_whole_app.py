"""The whole product in a real browser: the app as a person starts it, the sample as it trains, nothing stood in for."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.ui.live_visits import LOSS, SIZE, Seen, new_page

pytestmark = pytest.mark.ui
ROOT = Path(__file__).resolve().parents[3]
PATIENCE_MS = 120_000  # a slow machine that loads torch three times
RAW = f"{LOSS}?.data?.find((trace) => trace.name === 'loss.train.raw')?.x.length ?? 0"
HAS_POINTS = "(id) => document.querySelector(`[data-chart=${id}] .ftc-canvas`)?.data?.some((t) => t.x.length > 0)"
STATUS = "document.querySelector('.ftl-status').textContent"


@pytest.fixture
def app(tmp_path):
    """``python app.py`` on a free port, with runs and sample of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "app.py", "--port", str(port), "--runs", str(tmp_path / "runs"), "--no-browser"],
        cwd=ROOT, env=os.environ | {"FINE_TUNER_CACHE": str(tmp_path / "cache")},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the app ended with code {process.returncode}"
        try:
            urllib.request.urlopen(address, timeout=5).close()
            break
        except OSError:
            time.sleep(0.1)
    yield SimpleNamespace(address=address)
    process.terminate()
    process.wait(timeout=30)


def with_run_section_open(browser, app) -> Seen:
    seen = new_page(browser.new_context(viewport=SIZE), app)
    seen.page.goto(app.address)
    seen.page.click("#ft-section-run > button:not(.open)", timeout=PATIENCE_MS)
    return seen


def wait_for_updates(seen: Seen, updates: int) -> None:
    """Wait until the loss has grown by points this many times."""
    for _ in range(updates):
        count = seen.page.evaluate(RAW)
        seen.page.wait_for_function(f"({RAW}) > {count}", timeout=PATIENCE_MS)


def test_the_sample_trains_zoom_stays_reload_keeps_the_curve_and_stop_stops(browser, app):
    seen = with_run_section_open(browser, app)
    page = seen.page
    page.fill("#ft-train-epochs input", "60")  # still at work when it is stopped
    page.locator(".ft-command").filter(has_text="train.epochs=60").wait_for(timeout=PATIENCE_MS, state="attached")
    page.get_by_role("button", name="Train", exact=True).click(timeout=PATIENCE_MS)

    for chart in ("loss", "lr", "memory"):
        page.wait_for_function(HAS_POINTS, arg=chart, timeout=PATIENCE_MS)
    wait_for_updates(seen, 2)
    seen.drag("loss", 0.1, 0.4)
    page.wait_for_function("location.search.includes('zoom=')")
    zoomed = seen.range()
    wait_for_updates(seen, 10)
    assert seen.range() == zoomed

    before, run = page.evaluate(RAW), page.evaluate("FTLive.current()")
    page.reload()
    page.wait_for_function(f"({RAW}) >= {before}", timeout=PATIENCE_MS)
    assert page.evaluate("FTLive.current()") == run
    assert seen.range() == zoomed

    page.click("[data-action=stop]")
    page.wait_for_function(f"{STATUS} === 'Stopped'", timeout=PATIENCE_MS)

    page.get_by_role("button", name="Clone with changes").click()
    page.get_by_text("Change what you like, then press Train.").wait_for(timeout=PATIENCE_MS)
    assert (seen.complaints, seen.foreign) == ([], [])

    page.goto(f"{app.address}?compare={run},{run}")  # the link opens the tab, which says what is wrong with it
    page.get_by_role("tab", name="Runs", selected=True).wait_for(timeout=PATIENCE_MS)
    page.get_by_text("runs compared").wait_for(timeout=PATIENCE_MS)
    page.context.close()


@pytest.mark.slow
@pytest.mark.ddp
def test_two_processes_train_by_click_with_the_memory_of_each_and_stop_by_click(browser, app):
    seen = with_run_section_open(browser, app)
    page = seen.page
    page.click("#ft-section-run .ft-more > button", timeout=PATIENCE_MS)
    page.fill("#ft-devices input", "cpu:2")
    page.get_by_text("on each of 2 devices").first.wait_for(timeout=PATIENCE_MS, state="attached")
    page.get_by_role("button", name="Train", exact=True).click(timeout=PATIENCE_MS)
    page.wait_for_function(HAS_POINTS, arg="memory", timeout=2 * PATIENCE_MS)
    page.get_by_text("of device-2").first.wait_for(timeout=PATIENCE_MS, state="attached")
    wait_for_updates(seen, 2)
    page.click("[data-action=stop]")
    page.wait_for_function(f"{STATUS} === 'Stopped'", timeout=PATIENCE_MS)
    assert (seen.complaints, seen.foreign) == ([], [])
    page.context.close()
