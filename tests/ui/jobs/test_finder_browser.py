"""The learning-rate finder, the planned rates and a run's exports in a real browser."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

import pytest
import yaml

from fine_tuner.cli.main import main
from fine_tuner.config.io import dump_yaml
from fine_tuner.config.presets import load_preset
from fine_tuner.launch.assistant import Assistant, Reply
from fine_tuner.runs.log.events import Mark
from fine_tuner.ui.environment import private_environment
from fine_tuner.ui.form.folders import Allowed
from tests.ui.canned import PLAN, Canned, in_a_loop, printed
from tests.ui.hand_run import HandRun
from tests.ui.rig import serving

pytestmark = [pytest.mark.ui, pytest.mark.xdist_group("browser")]
CHART = ".ft-find-chart .ftc-canvas"
RATE = "#ft-optim-lr input"
RATES = ".ft-card-rate"
LRS = {"head": 1e-3, "backbone": 1e-4}
ONE_AT_A_TIME = threading.Lock()  # what is redirected is the whole process's, and questions come from several threads


class Rates(Canned):
    """Plans and rates as the command line has them, for a run of 160 steps; all else canned."""

    def __call__(self, argv) -> Reply:
        if argv[0] == "export":
            return Reply(*run(*argv))
        if argv[0] not in ("plan", "preview-schedule"):
            return super().__call__(argv)
        settings = [word for word in argv[1:] if word != "--json"]
        if argv[0] == "plan":
            settings += ["--total-steps", "160", "--steps-per-epoch", "16", "--groups", json.dumps(LRS)]
        code, out, err = run("preview-schedule", *settings, "--json")
        if code or argv[0] == "preview-schedule":
            return Reply(code, out, err)
        return printed(PLAN | {"schedule": json.loads(out)})


def run(*argv: str) -> tuple[int, str, str]:
    """The command line in this process."""
    import contextlib
    import io

    out, err = io.StringIO(), io.StringIO()
    with ONE_AT_A_TIME, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(argv)
    return code, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    root = tmp_path_factory.mktemp("finder")
    with private_environment():
        from fine_tuner.ui.app import build_app

        with serving(in_a_loop(lambda: build_app(runs=root, allowed=Allowed(roots=(root,)), ask=Rates()))) as server:
            jobs, program = server.app.state.services.jobs, Path(__file__).parents[1].joinpath("fake_finder.py")
            jobs._sweeper = Assistant([sys.executable, str(program)])
            yield server
            jobs.close()


@pytest.fixture(scope="module")
def page(browser, server):
    """One page for all tests; nothing may be complained of."""
    context = browser.new_context(viewport={"width": 1400, "height": 1100})
    page, complaints = context.new_page(), []
    page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(f"{error} {error.stack}"))
    page.goto(server.address)
    page.wait_for_function("document.querySelectorAll('.ft-stages li').length > 0", timeout=60_000)
    for section in ("optim", "schedule"):
        page.click(f"#ft-section-{section} > button:not(.open)")
        page.wait_for_selector(f"#ft-section-{section} .ft-field")
    yield page
    context.close()
    refused = [text for text in complaints if "409 (Conflict)" in text]  # the browser's word for the refusal below
    assert [text for text in complaints if text not in refused] == []


def words(page) -> str:
    return page.text_content(".ft-find-words") or ""


def sweep(page, steps: int) -> None:
    """Press the button; ``steps`` tells the stand-in what to do."""
    page.route("**/api/jobs/finder", lambda route: with_steps(route, steps))
    page.locator(".ft-find", has_text="Find").click()


def overlap(a: dict[str, float], b: dict[str, float]) -> bool:
    """Whether two rectangles share a point."""
    return all(abs(a[at] - b[at]) < (a if a[at] < b[at] else b)[by] for at, by in (("x", "width"), ("y", "height")))


def with_steps(route, steps: int) -> None:
    if route.request.method != "POST":
        return route.continue_()
    return route.continue_(post_data=json.dumps(route.request.post_data_json | {"steps": steps}))


def test_a_sweep_shows_its_curve_and_a_click_or_a_suggestion_sets_the_rate(page):
    sweep(page, 100)
    page.wait_for_function(f"document.querySelector('{CHART}')?.data?.some((t) => t.x.length === 3)", timeout=60_000)
    page.locator(".ft-find-uses [data-use=valley]").filter(has_text="3e-4").wait_for()
    page.locator(".ft-find-uses [data-use=steepest]").filter(has_text="1e-3").wait_for()
    assert "diverged at 0.1" in page.text_content(".ft-finder")
    flags = [flag.bounding_box() for flag in page.locator(".ft-find-chart .ftc-flag:visible").all()]
    assert len(flags) == 2
    assert not overlap(*flags), "each suggestion's name can be read"

    page.click(".ft-find-uses [data-use=valley]")
    page.wait_for_function(f"Number(document.querySelector('{RATE}').value) === 3e-4")
    page.locator(".ft-command").filter(has_text="optim.lr=0.0003").wait_for(state="attached")

    box = page.locator(f"{CHART} .nsewdrag").first.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)  # the middle of 1e-5 to 1e-1: 1e-3
    page.wait_for_function(f"Math.abs(Math.log10(Number(document.querySelector('{RATE}').value)) + 3) < 0.1")
    assert "Rate set to" in page.text_content(".ft-find-uses")

    before = page.input_value(RATE)
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 22, steps=4)
    page.mouse.up()
    page.wait_for_timeout(400)
    assert page.input_value(RATE) == before, "a drag zooms"
    load(page, "sample", "model.name=resnet18")
    page.locator(".ft-find-words").filter(has_text="The settings have changed since.").first.wait_for()
    assert page.is_hidden(".ft-find-chart")
    assert page.is_hidden(".ft-find-uses")
    load(page, "sample")


def test_a_sweep_under_way_can_be_cancelled_and_what_fails_says_why(page):
    sweep(page, 1000)
    page.locator(".ft-find-words").filter(has_text="step 3/1,000").first.wait_for(timeout=60_000)
    page.get_by_role("button", name="Cancel", exact=True).first.click()
    page.locator(".ft-find-words").filter(has_text="Cancelled. Nothing was changed.").first.wait_for()
    assert page.is_hidden(".ft-find-bar")

    sweep(page, 13)
    page.locator(".ft-find-problem").filter(has_text="optim.lr: is too unlucky.").wait_for(timeout=60_000)


def choose(page, name: str) -> None:
    page.click("#ft-schedule-name input")
    page.get_by_role("option", name=name, exact=True).click()


def load(page, *argv: str) -> None:
    """Fill the form from a command's arguments."""
    page.evaluate(
        """async (argv) => {
          const scripts = performance.getEntriesByType("resource").map((entry) => entry.name);
          (await import(scripts.find((name) => name.endsWith("/form.js")))).load(argv);
        }""",
        list(argv),
    )


def lines(page) -> dict[str, list[float]]:
    """What the chart of planned rates draws."""
    return page.evaluate(
        f"""Object.fromEntries(document.querySelector('{RATES} .ftc-canvas').data
              .map((t) => [t.name, [...t.y].filter(Number.isFinite)]))"""
    )


def test_a_plateau_shows_both_bounds_and_warm_up_and_unfreezing_are_marked(page):
    choose(page, "ReduceLROnPlateau")
    page.fill("#ft-schedule-warmup-steps input", "20")
    page.locator(RATES).filter(has_text="between best and worst case").wait_for()
    page.locator(RATES).filter(has_text="warm-up").wait_for()
    spans = [values for values in lines(page).values() if values]
    assert min(min(values) for values in spans) < max(max(values) for values in spans) / 100
    load(page, "sample", "model.trainable=gradual", "model.head_epochs=2", "schedule.name=ReduceLROnPlateau")
    page.locator(RATES).filter(has_text="unfreeze").wait_for()


BAD = [
    ("CosineAnnealingLR", "ft-schedule-T-max-CosineAnnealingLR", "0", "is not a whole number >= 1"),
    ("MultiStepLR", "ft-schedule-milestones-MultiStepLR", "6, 3", "not in ascending order"),
    ("MultiStepLR", "ft-schedule-milestones-MultiStepLR", "3, 40", "Choose epochs from 1 to"),
    ("CyclicLR", "ft-schedule-base-lr-CyclicLR", "5", "Choose at most"),
    ("LambdaLR", "ft-schedule-formula-LambdaLR", "1 / (step - 5)", "It must give a number >= 0 in every step"),
    ("LambdaLR", "ft-schedule-formula-LambdaLR", "0 * 1e400", "It must give a number >= 0 in every step"),
]


@pytest.mark.parametrize(("schedule", "field", "text", "message"), BAD, ids=[f"{b[0]}-{b[2]}" for b in BAD])
def test_a_bad_parameter_is_told_at_its_field_on_the_page(page, schedule, field, text, message):
    choose(page, schedule)
    if not page.is_visible(f"#{field} input, #{field} textarea"):
        page.locator("#ft-section-schedule").get_by_text("More", exact=True).first.click()
    page.locator(f"#{field} input, #{field} textarea").first.fill(text)
    page.keyboard.press("Tab")
    page.locator(f"#{field} .ft-error").filter(has_text=message).wait_for(timeout=20_000)


def test_a_run_s_settings_are_saved_from_the_list_of_exports_and_what_fails_says_why(page, server):
    made = HandRun(server.app.state.services.store.root, "20261123-120000-export")
    made.begin()
    made.train(20)
    made.writer.write(Mark(step=20, label="rate × 0.5", changes={"lr_factor": 0.5}))
    made.folder.config.write_text(dump_yaml(load_preset("sample")))
    page.evaluate(f"window.FTLive.show('{made.folder.id}')")
    try:
        page.locator(".ftl-export summary").click(timeout=20_000)
        with page.expect_download() as saving:
            page.get_by_role("button", name="Settings (YAML)").click()
        assert saving.value.suggested_filename == f"{made.folder.id}.yaml"
        assert yaml.safe_load(Path(saving.value.path()).read_text())["schedule"]["changes"] == ["20:lr_factor=0.5"]
        page.locator(".ftl-export summary").click()
        assert page.get_by_role("link", name="Download weights").count() == 0  # none before the first validation
        page.get_by_role("button", name="Python script").click()
        page.locator(".ftl-export-problem").filter(has_text="has not read its data yet").wait_for()
    finally:
        made.die()
