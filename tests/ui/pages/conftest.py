"""The owner's whole page, answered as the command line would without torch, over a folder of runs written by hand."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fine_tuner.ui.environment import private_environment
from fine_tuner.ui.form.folders import Allowed
from tests.ui.canned import Canned, in_a_loop
from tests.ui.hand_run import HandRun
from tests.ui.rig import serving

READY = "document.querySelectorAll('.ft-stages li').length > 0 && window.FTLive?.news()"
MINUTES = itertools.count()


@dataclass
class Owner:
    """The owner's page in a browser, its folder of runs, and what it complained of."""

    page: Any
    root: Path
    address: str
    canned: Canned
    complaints: list[str] = field(default_factory=list)

    def text(self, selector: str) -> str:
        return self.page.locator(selector).first.text_content() or ""

    def until(self, condition: str) -> None:
        self.page.wait_for_function(condition, timeout=30_000)

    def until_text(self, selector: str, part: str) -> None:
        self.page.locator(selector).first.filter(has_text=part).wait_for(timeout=30_000, state="attached")

    def tab(self, name: str) -> None:
        self.page.click(f"#ft-tab-{name}-button")

    def open(self, section: str) -> None:
        self.page.click(f"#ft-section-{section} > button:not(.open)")
        self.page.wait_for_selector(f"#ft-section-{section} .ft-field")

    def type(self, field_id: str, text: str) -> None:
        self.page.fill(f"#{field_id} input", text)

    def show(self, run: HandRun) -> None:
        self.page.evaluate(f"FTLive.show('{run.folder.id}')")
        self.until(f"FTLive.current() === '{run.folder.id}' && FTLive.state()")


@pytest.fixture(scope="module")
def owner_server(tmp_path_factory) -> Iterator[Any]:
    root = tmp_path_factory.mktemp("owner")
    for name in ("pictures", "one-class", "masks"):
        (root / name).mkdir()
    canned = Canned()
    with private_environment():
        from fine_tuner.ui.app import build_app

        allowed = Allowed(roots=(root,))
        app = in_a_loop(lambda: build_app(runs=root / "runs", allowed=allowed, ask=canned))
        app.state.services.launcher.close()  # its queue is not served: what is asked of it can be seen
        with serving(app) as server:
            server.root, server.canned = root, canned
            yield server


@pytest.fixture(scope="module")
def owner_context(browser) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    yield context
    context.close()


@pytest.fixture(scope="module")
def owner_page(owner_context) -> Any:
    """One for all tests of a module: loading Gradio takes longer than most of them."""
    return owner_context.new_page()


@pytest.fixture
def owner(owner_page, owner_server) -> Iterator[Owner]:
    """As if for the first time here; at the end nothing must have been complained of or asked of another host."""
    owner_page.goto(
        f"{owner_server.address}/nothing-here"
    )  # away from a page whose last answer would be stored after it
    owner_page.evaluate("localStorage.clear()")
    owner = Owner(owner_page, owner_server.root, owner_server.address, owner_server.canned)
    listeners = {
        "console": lambda m: owner.complaints.append(m.text) if m.type in ("error", "warning") else None,
        "pageerror": lambda error: owner.complaints.append(str(error)),
        "request": lambda r: (
            None if r.url.startswith((owner.address, "data:", "blob:")) else owner.complaints.append(r.url)
        ),
    }
    for event, listener in listeners.items():
        owner_page.on(event, listener)
    owner_page.set_viewport_size({"width": 1400, "height": 1000})
    owner_page.goto(owner.address)
    owner.until(READY)
    yield owner
    for event, listener in listeners.items():
        owner_page.remove_listener(event, listener)
    assert owner.complaints == []


@pytest.fixture
def hand_run(owner_server) -> Iterator[Callable[..., HandRun]]:
    """Makes a run in the owner's folder; its worker dies with the test."""
    made: list[HandRun] = []
    (owner_server.root / "runs").mkdir(exist_ok=True)

    def make(name: str, **facts: Any) -> HandRun:
        made.append(
            HandRun(owner_server.root / "runs", f"20261125-10{next(MINUTES):02d}00-{name}", title=name, **facts)
        )
        return made[-1]

    yield make
    for run in made:
        run.die()
