"""One browser and one served live panel for all tests that need them."""

from __future__ import annotations

import json

import pytest

from fine_tuner.runs.store import RunStore
from tests.ui.hand_run import HandRun
from tests.ui.live_visits import DRAWN, NUMBERS, SIZE, Seen, new_page


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="session")
def server(runs):
    """The live panel on a port of its own; its page loads no Gradio, but the one at / does."""
    from tests.ui.rig import build_page, serving

    with serving(build_page(RunStore(runs))) as server:
        yield server


@pytest.fixture
def make_run(runs):
    """Makes a run by hand; whatever state it is in, its worker dies with the test."""
    made: list[HandRun] = []

    def make(name: str, **facts) -> HandRun:
        made.append(HandRun(runs, f"20261123-{next(NUMBERS)}-{name}", **facts))
        return made[-1]

    yield make
    for run in made:
        run.die()


@pytest.fixture
def run(make_run) -> HandRun:
    """A run at work: 40 of 160 steps, 2 of 10 epochs."""
    run = make_run("sample")
    run.begin()
    run.train(40)
    return run


@pytest.fixture(scope="session")
def context(browser):
    """One for all tests: what is kept of a run is in the address, and the chart library is parsed only once."""
    context = browser.new_context(viewport=SIZE)
    yield context
    context.close()


@pytest.fixture(scope="session")
def shared(context, server) -> Seen:
    """A page for all tests that need none of their own: loading the chart library takes longer than most tests."""
    return new_page(context, server)


@pytest.fixture
def visit(shared):
    """Show what an address says; at the end nothing must have been complained of or asked of another host."""

    def visit(query: str, *, wait: str = DRAWN) -> Seen:
        if shared.page.url == "about:blank":
            shared.page.goto(f"{shared.server.address}plain{query}")
        shared.page.evaluate("document.body.classList.remove('dark')")
        shared.page.evaluate(f"window.FTLive?.go({json.dumps(query)})")
        shared.wait(query, wait)
        return shared

    yield visit
    shared.page.mouse.move(0, 0)
    assert (shared.complaints, shared.foreign) == ([], [])
