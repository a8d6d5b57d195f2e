"""What the page says belongs to what it shows: the set-up to its data, the charts to their zoom, words to the field."""

from __future__ import annotations

import pytest

from fine_tuner.runs.log.events import EvalMetrics
from tests.ui.made_examples import make_examples, validate

pytestmark = [pytest.mark.ui, pytest.mark.xdist_group("browser")]
SHIFTS = """() => {
  window.shifts = [];
  new PerformanceObserver((list) => {
    for (const { value, sources } of list.getEntries()) {
      const where = sources.map(({ node }) => node?.className || node?.nodeName);
      window.shifts.push(`${value.toFixed(4)} ${where.join(", ")}`);
    }
  }).observe({ type: "layout-shift" });
}"""
# Share of the width at which each chart draws the mark named `unfreeze`, and where its own axis has that step.
MARKS = """(step) => [...document.querySelectorAll('.ftl-grid [data-chart]')].map((chart) => {
  const { xaxis } = chart.querySelector('.ftc-canvas')._fullLayout;
  const mark = [...chart.querySelectorAll('.ftc-mark')].find((one) => one.title.startsWith('unfreeze'));
  const [from, to] = xaxis.range;
  return [mark ? parseFloat(mark.style.left) / 100 : null, (step - from) / (to - from), from, to];
})"""


def pressed(owner, line: str) -> list[str]:
    return owner.page.eval_on_selector_all(
        f"[data-lead={line}] [aria-pressed=true]", "all => all.map((one) => one.textContent)"
    )


def test_the_set_up_leads_and_nothing_of_earlier_data_stays(owner):
    page = owner.page
    assert (pressed(owner, "have"), pressed(owner, "tell")) == (["A sample"], ["class"])
    assert not page.is_visible("[data-lead=time]"), "a sample says itself how long it trains"
    assert not page.is_visible(".ft-command"), "for those who want it"
    page.click(".ft-copy")
    assert page.is_visible(".ft-command")
    assert page.evaluate(
        "(({ scrollWidth: all, clientWidth: seen }) => all <= seen)(document.querySelector('.ft-command'))"
    )
    page.click("[data-task=segmentation]")
    owner.until_text(".ft-command", "train sample-masks")
    assert pressed(owner, "tell") == ["pixels"]

    page.click("[data-preset=default]")
    owner.until("document.activeElement.closest('#ft-data-path') !== null")
    assert pressed(owner, "have") == ["My pictures"]
    page.keyboard.type(str(owner.root / "masks"), delay=5)  # no path half typed is asked for
    owner.until_text("#ft-section-data .ft-value", "512")
    owner.until_text(".ft-recognised", "segmentation")
    page.click("[data-minutes='5']")
    owner.until_text(".ft-command", "train.minutes=5")
    page.click("[data-task=classification]")  # the settings come near those of other presets
    owner.until("!document.querySelector('.ft-command').textContent.includes('task=')")
    page.click("[data-task=segmentation]")
    owner.until_text(".ft-command", "task=segmentation")
    assert owner.text(".ft-command").startswith("python -m fine_tuner train default "), "chosen once, it stays"
    assert pressed(owner, "time") == ["5 min"]

    owner.type("ft-data-path", str(owner.root / "one-class"))
    page.keyboard.press("Tab")
    owner.until_text("#ft-data-path .ft-error", "one class only")
    assert not page.is_visible(".ft-recognised"), "it was another folder's"
    assert "512" not in owner.text("#ft-section-data")
    assert owner.text(".ft-card-pictures .ft-plan-line") == ""
    owner.until(
        "[...document.querySelectorAll('p, li, span')].filter((one) => one.checkVisibility() && !one.children.length"
        " && one.textContent.includes('one class only')).length === 1"
    )
    numbers = "all => all.map((one) => one.placeholder).filter((text) => /^[\\\\d.e+-]+$/.test(text))"
    assert page.eval_on_selector_all(".ft-field input", numbers) == [], "a placeholder looks like no value"


def test_what_a_run_says_holds_for_what_is_shown(owner, hand_run):
    page = owner.page
    run = hand_run("true")
    run.begin()
    run.train(20)
    run.mark("unfreeze", "everything trains from here")
    owner.show(run)
    owner.until("document.querySelector('[data-chart=metric] .ftc-canvas')?.data?.length")
    page.wait_for_timeout(400)
    page.evaluate(SHIFTS)
    run.train(60)
    run.say("Lower optim.lr, or set optim.clip_norm=1.", "warning")
    page.evaluate("FTLive.refresh()")
    owner.until("FTLive.state().step === 80")
    page.wait_for_timeout(400)
    assert page.evaluate("shifts") == [], "validations and a message move nothing"

    box = page.locator("[data-chart=loss] .nsewdrag").bounding_box()
    at = [box["x"] + share * box["width"] for share in (0.15, 0.3, 0.6)]
    page.mouse.move(at[0], box["y"] + 40)
    page.mouse.down()
    page.mouse.move(at[1], box["y"] + 41, steps=3)
    page.mouse.move(at[2], box["y"] + 42, steps=3)
    page.mouse.up()
    owner.until("location.search.includes('zoom=')")
    page.wait_for_timeout(400)
    drawn = page.evaluate(MARKS, 20)
    assert len({(start, end) for *_, start, end in drawn}) == 1, "all charts show the same part"
    for mark, place, *_ in drawn:
        assert mark == pytest.approx(place, abs=0.002) if 0 <= place <= 1 else mark is None

    run.train(80)
    run.finish()
    page.evaluate("FTLive.refresh()")
    owner.until("document.querySelector('.ftl-status').dataset.status === 'completed'")
    best = owner.text("[data-stat=best] .ftl-number")
    owner.until("document.querySelector('.ftl-select').selectedOptions[0].textContent.includes('just now')")
    assert best in page.evaluate("document.querySelector('.ftl-select').selectedOptions[0].textContent")
    owner.until("document.querySelector('.ftl-words').classList.contains('ftl-sr')")  # above the charts it is said
    assert page.locator(".ftl-next-text:text('Completed 10 epochs')").is_visible()
    page.click("[data-part=events] > summary")
    said = owner.text(".ftl-events")
    assert "optim." not in said
    assert "Learning rate" in said

    failed = hand_run("raw")
    failed.begin()
    failed.train(3)
    failed.finish("failed", "The training loss is nan at step 4. Lower optim.lr, or set optim.clip_norm=1.")
    owner.show(failed)
    owner.until_text(".ftl-failure .ftl-message", "Learning rate")
    assert "optim." not in owner.text(".ftl-failure .ftl-message")


CUT = """() => [...document.querySelectorAll('#ft-right *, .ft-command')].filter((one) => one.checkVisibility()
  && !one.children.length && one.textContent.trim() && !one.closest('select, svg, .ftl-sr, .ftl-scroll')
  && (one.scrollWidth > one.clientWidth + 1 || one.scrollHeight > one.clientHeight + 3)
  && getComputedStyle(one).overflow !== 'visible').map((one) => `${one.className}: ${one.textContent}`)"""


def test_errors_of_numbers_are_in_their_own_unit_and_no_text_is_cut_off(owner, hand_run):
    page = owner.page
    run = hand_run("ages", best_metric="val/mae", best_direction="min", task="regression", numbers=["age"])
    run.begin()
    for epoch, error in enumerate((2.9, 2.41, 2.03), 1):
        run.train(15)
        run.step += 1
        metrics = {"val/loss": 0.6 / epoch, "val/mae": error, "val/rmse": error + 0.7, "val/r2": 0.2 * epoch}
        run.writer.write(EvalMetrics(step=run.step, epoch=epoch, split="val", metrics=metrics, seconds=0.4))
    examples = make_examples(run.folder, "class")
    validate(examples, "class", epoch=1, step=16, right=1)
    owner.show(run)
    owner.until("document.querySelector('[data-chart=metric] .ftc-canvas')?.data?.length")
    owner.until("document.querySelectorAll('.ftl-ex-said').length === 4")
    ticks = page.evaluate("document.querySelector('[data-chart=metric] .ftc-canvas')._fullLayout.yaxis.ticktext")
    assert ticks
    assert not any("%" in text for text in ticks), ticks
    assert "2.03" in owner.text("[data-stat=best]")
    assert "%" not in owner.text("[data-stat=best]")
    assert "203" not in page.inner_text("#ft-right")
    page.click(".ft-copy")
    for width in (1400, 390):
        page.set_viewport_size({"width": width, "height": 1000})
        page.wait_for_timeout(400)
        assert page.evaluate(CUT) == [], width
