"""What next, on the whole page: the buttons below a run do what they say."""

from __future__ import annotations

import pytest

from fine_tuner.config.io import dump_yaml, replace
from fine_tuner.config.settings import Settings
from fine_tuner.ui.environment import private_environment
from fine_tuner.ui.form.folders import Allowed
from tests.ui.canned import Canned, in_a_loop
from tests.ui.hand_run import HandRun
from tests.ui.rig import serving

pytestmark = [pytest.mark.ui, pytest.mark.xdist_group("browser")]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The app, with a run that failed for want of weights and one that is complete."""
    root = tmp_path_factory.mktemp("next")
    failed, complete = (HandRun(root / "runs", f"20261123-20000{i}-{i}", title=f"run {i}") for i in (1, 2))
    for run in (failed, complete):
        run.folder.config.write_text(dump_yaml(replace(Settings(), "data.path=builtin:sample", "optim.lr=0.004")))
        run.begin()
    failed.finish("failed", "The weights are not on this machine.", cause="weights")
    complete.train(160)
    complete.finish()
    complete.folder.best_weights.parent.mkdir(parents=True, exist_ok=True)
    complete.folder.best_weights.write_bytes(b"weights")
    with private_environment():
        from fine_tuner.ui.app import build_app

        app = in_a_loop(lambda: build_app(runs=root / "runs", allowed=Allowed(roots=(root,)), ask=Canned()))
        with serving(app) as server:
            yield server.address, failed.folder.id, complete.folder.id


@pytest.fixture(scope="module")
def page(browser):
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    yield context.new_page()
    context.close()


def test_missing_weights_are_chosen_where_the_button_leads(page, place):
    address, failed, _ = place
    page.goto(f"{address}?run={failed}")
    buttons = page.locator(".ftl-next button")
    buttons.filter(has_text="Start without").wait_for()
    assert buttons.all_inner_texts()[0] == "Choose a file"
    buttons.first.click()
    page.wait_for_function("document.activeElement.closest('#ft-model-weights-file')")
    assert page.input_value("#ft-model-weights-file input") == ""
    page.locator("#ft-section-optim .ft-value").filter(has_text="4e-3").wait_for()  # the run's own settings


def test_a_complete_run_is_tried_and_downloaded(page, place):
    address, _, complete = place
    page.goto(f"{address}?run={complete}")
    page.locator(".ftl-next button").filter(has_text="Try it").wait_for()
    assert "right" in page.inner_text(".ftl-next-text")
    assert page.get_attribute(".ftl-next a", "href").endswith(f"api/runs/{complete}/weights")
    page.click(".ftl-next button >> text=Try it")
    page.wait_for_function(f"document.querySelector('#ft-try-select')?.value === '{complete}'")
    assert page.is_visible("#ft-try-picture")
