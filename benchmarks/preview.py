"""How long the drawing of the planned rates takes to follow a key: from the input event to the curve on the screen.

    python benchmarks/preview.py [--keys 30]

Starts the app with the sample, opens its page in Chromium, types digits into fields of the schedule and prints median,
90th percentile and worst time in ms, by field.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = "/usr/bin/chromium"
READY = "document.querySelector('.ft-card-rate .ftc-canvas')?.data?.some((t) => t.x.length > 10)"
WATCH = """(selector) => {
  const input = document.querySelector(selector);
  const canvas = document.querySelector('.ft-card-rate .ftc-canvas');
  window.times = [];
  let began = null;
  input.addEventListener('input', () => { began = performance.now(); }, true);
  canvas.on('plotly_afterplot', () => requestAnimationFrame(() => {
    if (began !== null) { window.times.push(performance.now() - began); began = null; }
  }));
}"""
# Keys until the process that answers has loaded torch, and the browser has compiled the drawing: two in a row are fast.
WARM_UP, MOST_WARM_UP, WARM_MS = 4, 25, 500
FIELDS = (
    ("optim", "#ft-optim-lr input", ("0.001", "0.002", "0.003", "0.004", "0.005")),
    ("schedule", "#ft-schedule-pct-start-OneCycleLR input", ("0.2", "0.25", "0.3", "0.35", "0.4")),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keys", type=int, default=30, help="changes of each field")
    keys = parser.parse_args().keys
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        app, address = start_app(Path(place))
        try:
            flags = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
            page = browser.new_page(viewport={"width": 1400, "height": 1000})
            page.goto(address)
            page.wait_for_function(READY, timeout=120_000)
            page.wait_for_timeout(6000)  # the second assistant has loaded torch
            for section, selector, texts in FIELDS:
                times = measure(page, section, selector, texts, keys)
                middle, late = statistics.median(times), statistics.quantiles(times, n=10)[-1]
                print(f"{selector:50} median {middle:6.1f}  p90 {late:6.1f}  worst {max(times):6.1f} ms")
            browser.close()
        finally:
            app.terminate()
            app.wait(30)


def start_app(place: Path) -> tuple[subprocess.Popen, str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "app.py", "--port", str(port), "--runs", str(place / "runs"), "--no-browser"]
    environment = os.environ | {"FINE_TUNER_CACHE": str(place / "cache")}
    app = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    for _ in range(600):
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return app, address
        except OSError:
            time.sleep(0.1)
    raise SystemExit("The app did not start.")


def measure(page: Page, section: str, selector: str, texts: tuple[str, ...], keys: int) -> list[float]:
    """Times in ms from an input event to the drawing that it led to."""
    header = page.locator(f"#ft-section-{section} > button")
    if "open" not in (header.get_attribute("class") or ""):
        header.click()
    page.wait_for_selector(selector)
    page.wait_for_timeout(1500)
    page.evaluate(WATCH, selector)
    warm = 0
    for number in range(keys + MOST_WARM_UP):
        before = page.evaluate("window.times.length")
        if not warm and before >= WARM_UP and max(page.evaluate("window.times")[-2:]) < WARM_MS:
            warm = before
        if warm and before >= warm + keys:
            break
        page.fill(selector, texts[number % len(texts)])
        page.wait_for_function(f"window.times.length > {before}", timeout=20_000)
        page.wait_for_timeout(700)  # as between two words; the plan that reads the data comes meanwhile
    return page.evaluate("window.times")[warm or MOST_WARM_UP :]


if __name__ == "__main__":
    main()
