"""The page by axe-core's rules, on every tab, at both widths and in both themes; and its tabs by the keyboard."""

from __future__ import annotations

from pathlib import Path

import pytest

from fine_tuner.config.io import dump_yaml, replace
from fine_tuner.config.settings import Settings
from fine_tuner.runs import queue
from fine_tuner.runs.log.events import TimeSpent
from tests.ui.hand_run import HandRun
from tests.ui.made_examples import make_examples, validate

pytestmark = [pytest.mark.ui, pytest.mark.xdist_group("browser")]
AXE = Path(__file__).resolve().parents[3] / "node_modules" / "axe-core" / "axe.min.js"
RUN = """async () => (await axe.run(document, { resultTypes: ['violations'] })).violations
  .flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.target.join(' ')} ${node.failureSummary}`))"""
TABS = ("train", "runs", "results", "try", "share")
SECTIONS = ("data", "model", "train", "loss", "optim", "schedule", "precision", "run")


def violations(owner) -> list[str]:
    if not AXE.exists():
        pytest.skip("axe-core is not installed (run npm ci): the page's accessibility is not checked")
    if not owner.page.evaluate("Boolean(window.axe)"):
        owner.page.evaluate(AXE.read_text(encoding="utf-8"))
    owner.page.wait_for_timeout(400)  # what fades in has its colours
    return owner.page.evaluate(RUN)


@pytest.mark.parametrize(
    ("theme", "width"),
    [
        ("light", 1400),
        ("dark", 390),
        pytest.param("light", 390, marks=pytest.mark.slow),
        pytest.param("dark", 1400, marks=pytest.mark.slow),
    ],
)
def test_axe_finds_nothing_on_any_tab(owner, hand_run, theme, width):
    for outcome in ("completed", "failed", None):
        run = hand_run(str(outcome))
        run.begin()
        run.train(20)
        if outcome:
            run.folder.best_weights.parent.mkdir(parents=True)
            run.folder.best_weights.write_bytes(b"weights")
            run.finish(outcome, "The loss is NaN." if outcome == "failed" else None)
    owner.page.set_viewport_size({"width": width, "height": 1000})
    owner.page.evaluate(f"document.body.classList.toggle('dark', {str(theme == 'dark').lower()})")
    owner.show(run)
    owner.until("document.querySelector('[data-chart=loss] .ftc-canvas')?.data?.length")
    found = {}
    for tab in TABS:
        owner.tab(tab)
        found[tab] = violations(owner)
    owner.tab("train")
    owner.page.click("[data-view=plan]")
    found["plan"] = violations(owner)
    assert {where: problems for where, problems in found.items() if problems} == {}


def runs_in_every_state(hand_run) -> dict[str, HandRun]:
    """By status; each but those without a step has pictures, messages and the time its parts took."""
    runs = {status: hand_run(status) for status in ("queued", "stopped", "lost", "failed", "completed", "running")}
    runs["queued"].lock.release()
    queue.enqueue(runs["queued"].folder, ["cpu"])
    for status, run in runs.items():
        if status == "queued":
            continue
        run.folder.config.write_text(dump_yaml(replace(Settings(), "data.path=builtin:sample", "optim.lr=0.01")))
        run.begin()
        run.train(32)
        examples = make_examples(run.folder, "class")
        validate(examples, "class", epoch=1, step=16, right=1)
        validate(examples, "class", epoch=2, step=32, right=3)
        run.say("Three images could not be read.", "warning")
        run.writer.write(TimeSpent(step=32, seconds={"data": 30.0, "forward": 10.0, "backward": 20.0, "update": 4.0}))
        run.folder.best_weights.parent.mkdir(parents=True)
        run.folder.best_weights.write_bytes(b"weights")
        match status:
            case "lost":
                run.die()
            case "failed":
                run.finish("failed", "The training loss is nan at step 33. Lower optim.lr.", cause="numbers")
            case "stopped" | "completed":
                run.finish(status)
    return runs


NEXT = {  # the first button of each state; a run at work has Stop above its curves
    "queued": "Cancel", "stopped": "Start it again", "lost": "Start it again", "failed": "Start with rate 0.001",
    "completed": "Try it", "running": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("theme", "width"),
    [
        ("light", 1400),
        pytest.param("dark", 390, marks=pytest.mark.slow),
        pytest.param("light", 390, marks=pytest.mark.slow),
        pytest.param("dark", 1400, marks=pytest.mark.slow),
    ],
)
def test_every_state_leads_on_and_axe_finds_nothing_in_it(owner, hand_run, theme, width):
    page, found = owner.page, {}
    page.set_viewport_size({"width": width, "height": 1000})
    page.evaluate(f"document.body.classList.toggle('dark', {str(theme == 'dark').lower()})")
    for status, run in runs_in_every_state(hand_run).items():
        owner.show(run)
        owner.until(f"document.querySelector('.ftl-status').dataset.status === '{status}'")
        if status != "queued":
            owner.until("document.querySelector('[data-chart=loss] .ftc-canvas')?.data?.length")
            owner.until("document.querySelectorAll('.ftl-ex-said').length === 4")
            page.evaluate("for (const part of document.querySelectorAll('.ftl-part')) part.open = true")
            owner.until("document.querySelector('[data-part=time]').textContent.includes('waits for pictures')")
        first = page.locator(".ftl-next .ftl-first:visible")
        assert first.all_inner_texts() == [NEXT[status]] * bool(NEXT[status]), status
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{status} scrolls sideways"
        found[status] = violations(owner)
    assert {where: problems for where, problems in found.items() if problems} == {}


def test_axe_finds_nothing_in_the_sections_of_the_set_up(owner):
    found = {}
    for header in owner.page.locator(".ft-section > button").all():
        header.click()
        found[header.inner_text()] = violations(owner)
        header.click()
    assert len(found) >= len(SECTIONS)
    assert {where: problems for where, problems in found.items() if problems} == {}


@pytest.mark.parametrize("theme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_axe_finds_nothing_in_what_comes_after_an_answer(owner, theme):
    page, found = owner.page, {}
    page.evaluate(f"document.body.classList.toggle('dark', {str(theme == 'dark').lower()})")
    owner.open("model")
    owner.until("document.querySelectorAll('[data-recommended]').length === 2")
    found["recommended networks"] = violations(owner)
    owner.open("run")
    page.click("#ft-section-run .ft-more > button")
    owner.type("ft-seed", "22")
    owner.until("document.querySelectorAll('#ft-devices .ft-devices input').length === 3")
    found["devices"] = violations(owner)
    page.click("[data-preset=default]")
    owner.until("document.activeElement.closest('#ft-data-path') !== null")
    found["no folder yet"] = violations(owner)
    page.keyboard.type(str(owner.root / "one-class"))
    page.keyboard.press("Tab")
    owner.until_text("#ft-data-path .ft-error", "one class only")
    found["a refused folder"] = violations(owner)
    assert {where: problems for where, problems in found.items() if problems} == {}


def test_arrow_keys_go_from_tab_to_tab(owner):
    owner.page.focus("#ft-tab-train-button")
    for key, tab in (
        ("ArrowRight", "runs"),
        ("ArrowRight", "results"),
        ("ArrowLeft", "runs"),
        ("End", "share"),
        ("Home", "train"),
    ):
        owner.page.keyboard.press(key)
        owner.until(f"document.activeElement.id === 'ft-tab-{tab}-button'")
        assert owner.page.get_attribute(f"#ft-tab-{tab}-button", "aria-selected") == "true"
