"""How long a newcomer takes, and how often they click, from first paint to a result in words; no setting is touched.

    python benchmarks/newcomer.py [sample] [ants] [membranes] [cells] [--data FOLDER] [--limit SECONDS]

Starts ``app.py`` on an empty folder of runs, opens its page in Chromium and does what the page offers: a folder is
named, Train is pressed, and what fails is mended by the button beside the failure, or by hand in the set-up where there
is none. ``--data`` holds ``hymenoptera``, ``isbi_membrane``, ``bccd_count`` and ``weights``. Prints one line per walk:
seconds to the press of Train, to the first point of a curve and to the end of the run, clicks and fields typed in, what
failed on the way, and the words of the result. Times hold for this machine and its load; clicks hold everywhere.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).resolve().parent.parent
CHROMIUM_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
WEIGHTS = "mobilenet_v2-qnnpack-dequant.pth"
ENDED = "['completed', 'failed', 'lost', 'stopped'].includes(document.querySelector('.ftl-status')?.dataset.status)"


@contextmanager
def app(data: Path) -> Iterator[str]:
    """Address of a new app."""
    with tempfile.TemporaryDirectory(prefix="newcomer-") as folder:
        command = [sys.executable, "app.py", "--no-browser", "--port", "0", "--runs", f"{folder}/runs"]
        environment = os.environ | {
            "PYTHONUNBUFFERED": "1",
            "FINE_TUNER_CACHE": f"{folder}/cache",
            "TORCH_HOME": f"{folder}/torch",
        }
        process = subprocess.Popen(
            [*command, "--data-root", str(data)], cwd=HERE, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if found := re.search(r"http://127\.0\.0\.1:\d+\S*", line):
                    yield found[0]
                    break
            else:
                raise SystemExit("The app did not start.")
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)


class Walk:
    """What one newcomer does, counted and timed."""

    def __init__(self, page: Page, limit: float) -> None:
        self.page, self.limit = page, limit
        self.clicks = self.typed = 0
        self.failed = ""
        self.began = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Since the first paint."""
        return time.perf_counter() - self.began

    def click(self, selector: str) -> None:
        """One click, once what is to be clicked is there."""
        self.page.locator(selector).first.click(timeout=60_000)
        self.clicks += 1

    def type(self, selector: str, text: str) -> None:
        """One field filled."""
        self.page.fill(selector, text)
        self.page.press(selector, "Enter")
        self.typed += 1

    def name_folder(self, folder: Path) -> None:
        """Say which data it is."""
        if not self.page.is_visible("#ft-data-path input"):
            self.click('[data-preset="default"]')
        self.page.wait_for_selector("#ft-data-path input")
        self.type("#ft-data-path input", str(folder))
        self.page.wait_for_function(
            "/step/.test(document.querySelector('.ft-line').textContent)"
            " || document.querySelector('.ft-recognised button')", timeout=120_000
        )  # fmt: skip
        if self.page.locator(".ft-recognised button").count():  # the task is offered, not set
            self.click(".ft-recognised button")
        self.page.locator(".ft-line").filter(has_text="step").wait_for(timeout=120_000)
        self.page.locator(".ft-command").filter(has_text=folder.name).wait_for(state="attached", timeout=60_000)

    def start_from_file(self, file: Path) -> None:
        """Name a file of weights."""
        self.open("model")
        self.click("#ft-model-weights input")
        self.click('[role="option"]:has-text("from a file")')
        self.type("#ft-model-weights-file input", str(file))
        self.page.locator(".ft-command").filter(has_text=file.name).wait_for(state="attached", timeout=60_000)

    def open(self, section: str) -> None:
        """Unfold a section, unless it is."""
        if not self.page.locator(f"#ft-section-{section} > button.open").count():
            self.click(f"#ft-section-{section} > button")

    def train(self) -> None:
        """Press Train, and wait for the end; what fails is mended once."""
        self.page.wait_for_function("!document.querySelector('.ft-plan-body.ft-stale')", timeout=120_000)
        self.click(".ft-train")
        self.pressed = self.seconds
        if self.wait() == "failed":
            self.failed = self.page.inner_text(".ftl-failure .ftl-message")[:90]
            before = self.page.evaluate("document.querySelector('.ftl-select').value")
            if self.page.locator(".ftl-next button").count():
                without = ".ftl-next button:has-text('Start without')"  # a newcomer has no file to choose
                self.click(without if self.page.locator(without).count() else ".ftl-next button")
            else:
                self.open("model")
                self.click("#ft-model-weights input")
                self.click('[role="option"]:has-text("none: random")')
                self.page.locator(".ft-command").filter(has_text="weights=none").wait_for(state="attached")
                self.click(".ft-train")
            self.page.wait_for_function(
                "id => document.querySelector('.ftl-select').value !== id &&"
                " !['failed', undefined].includes(document.querySelector('.ftl-status').dataset.status)",
                arg=before,
            )
            self.wait()
        self.ended = self.seconds

    def wait(self) -> str:
        """Status in which the run ended, or what it is at the limit."""
        drawn = "document.querySelector('.ftl-grid .js-plotly-plot')?.data?.some((line) => line.x.length > 0)"
        try:
            self.page.wait_for_function(f"{drawn} || {ENDED}", timeout=1000 * self.limit)
            self.first_point = self.seconds
            self.page.wait_for_function(ENDED, timeout=1000 * self.limit)
        except Exception as error:
            if "Timeout" not in str(error):
                raise
        return self.page.get_attribute(".ftl-status", "data-status") or ""

    def stop(self) -> None:
        """A run that is still at work would go on without its app."""
        if self.page.get_attribute(".ftl-status", "data-status") == "running":
            self.page.click("[data-action=stop]")
            self.page.wait_for_function(ENDED, timeout=120_000)

    def line(self, name: str) -> str:
        """The walk in one line."""
        words = self.page.inner_text(".ftl-summary") or self.page.inner_text(".ftl-notices")
        steps = self.page.evaluate(
            "[...document.querySelectorAll('.ftl-next a, .ftl-next button')].map(b => b.innerText)"
        )
        status = self.page.get_attribute(".ftl-status", "data-status")
        return (
            f"{name:10} Train {self.pressed:6.1f} s   first point {self.first_point:6.1f} s   "
            f"end {self.ended:6.1f} s   "
            f"{self.clicks} clicks, {self.typed} typed   {status}: {' '.join(words.split())}"
            + (f"   next: {' | '.join(steps)}" if steps else "")
            + (f"   failed first: {' '.join(self.failed.split())}" if self.failed else "")
        )


def main() -> None:
    """Walk, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("walks", nargs="*", default=["sample", "ants", "membranes", "cells"])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("FINE_TUNER_TEST_DATA", ".")))
    parser.add_argument("--limit", type=float, default=600)
    arguments = parser.parse_args()
    folders = {"ants": "hymenoptera", "membranes": "isbi_membrane", "cells": "bccd_count"}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM_ARGUMENTS)
        for name in arguments.walks:
            with app(arguments.data) as address:
                page = browser.new_page(viewport={"width": 1400, "height": 1000})
                page.goto(address)
                page.wait_for_selector(".ft-train")
                walk = Walk(page, arguments.limit)
                if name in folders:
                    walk.name_folder(arguments.data / folders[name])
                if name == "ants":
                    walk.start_from_file(arguments.data / "weights" / WEIGHTS)
                walk.train()
                print(walk.line(name), flush=True)
                walk.stop()
                page.close()
        browser.close()


if __name__ == "__main__":
    main()
