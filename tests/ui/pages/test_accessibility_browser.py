"""The page by axe-core's rules, on every tab, at both widths and in both themes; and its tabs by the keyboard."""

from __future__ import annotations

from pathlib import Path

import pytest

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


def test_axe_finds_nothing_in_the_sections_of_the_set_up(owner):
    found = {}
    for header in owner.page.locator(".ft-section > button").all():
        header.click()
        found[header.inner_text()] = violations(owner)
        header.click()
    assert len(found) >= len(SECTIONS)
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
