"""The place Results in a real browser: every figure leads to its pictures, and decisions to the next run."""

from __future__ import annotations

import json

import pytest

from fine_tuner.base.files import read_json
from fine_tuner.config.io import dump_yaml, replace
from fine_tuner.config.settings import Settings
from fine_tuner.config.tasks import TargetKind
from fine_tuner.data.decisions import Decision, read_decisions
from fine_tuner.runs.answering import read_answering
from tests.ui.pages.made_results import COUNT, NAMES, make_results
from tests.ui.pages.test_accessibility_browser import violations

pytestmark = [pytest.mark.ui, pytest.mark.xdist_group("browser")]
SHOWN = "document.querySelectorAll('.ft-res-grid-of-pictures img').length"


@pytest.fixture
def show(owner, hand_run):
    """Shows the results of a run with targets of a kind; returns the run's folder."""

    def show(kind: TargetKind):
        run = hand_run(kind.value)
        run.folder.config.write_text(dump_yaml(replace(Settings(), "data.path=builtin:sample")))
        run.begin()
        run.train(20)
        make_results(run.folder, owner.root / "pictures" / kind.value, kind)
        run.finish()
        owner.show(run)
        owner.tab("results")
        owner.until(f"document.querySelector('#ft-res-run')?.value === '{run.folder.id}'")
        owner.until(f"document.querySelector('.ft-res-head') && {SHOWN} > 0")
        return run.folder

    return show


def text(owner, selector: str) -> str:
    """With plain spaces where numbers and units are kept together."""
    return owner.text(selector).replace("\xa0", " ")


def captions(owner) -> list[str]:
    return owner.page.locator(".ft-res-grid-of-pictures button > span:last-child").all_inner_texts()


def test_a_cell_of_the_confusion_matrix_shows_its_pictures(owner, show):
    run = show(TargetKind.CLASS)
    assert text(owner, ".ft-res-words") == f"{COUNT - 5} of {COUNT} right; 5 ants taken for bees."
    assert text(owner, ".ft-res-head dd .ft-res-value") == "79.2 %"
    owner.page.check("text=Answer with this temperature")
    owner.until_text(".ft-res-status", "answer so from now on")
    assert (
        read_answering(run).temperature
        == read_json(run.results / "val-best/figures.json")["calibration"]["temperature"]
    )
    owner.page.click("button[aria-label='5 ants taken for bees']")
    owner.until(f"{SHOWN} === 5")
    assert all(text.startswith("ants, said bees") for text in captions(owner))
    owner.page.click("button[aria-label='8 bees, and said so']")
    owner.until(f"{SHOWN} === 8")
    owner.page.click("text=Shares of a row")
    assert "62.5 %" in text(owner, ".ft-res-matrix")  # 5 of 8
    owner.page.click("text=Least sure right answers")
    owner.until(f"{SHOWN} === {COUNT - 5}")
    owner.page.click(".ft-res-table thead >> text=Recall")
    owner.page.click(".ft-res-table thead >> text=Recall")  # least first
    assert text(owner, ".ft-res-table tbody th") == "ants"
    owner.page.locator(".ft-res-grid-of-pictures button").first.click()
    assert owner.page.is_visible("dialog.ft-res-large")
    before = text(owner, ".ft-res-large .ft-quiet")
    owner.page.keyboard.press("ArrowRight")
    assert text(owner, ".ft-res-large .ft-quiet") != before
    owner.page.click("dialog >> text=Where it looked")
    owner.page.wait_for_selector(".ft-res-looked select")
    assert list({words[0] for words in owner.canned.asked if words[0] in ("explain", "evaluate")}) == ["explain"]
    owner.page.click("dialog >> text=Pictures like this one")
    owner.until(f"{SHOWN} === {COUNT}")


def test_two_runs_show_the_pictures_on_which_they_differ(owner, hand_run):
    runs = [hand_run(name) for name in ("wiser", "simpler")]
    for run, confused in zip(runs, (1, 5), strict=True):
        run.begin()
        run.train(20)
        make_results(run.folder, owner.root / "pictures" / "class", TargetKind.CLASS, confused=confused)
        run.finish()
    owner.page.goto(f"{owner.address}?compare={','.join(run.folder.id for run in runs)}")
    owner.tab("runs")
    owner.until_text(".ft-compare-differ h3", "Only wiser is right: 4 pictures")
    assert owner.page.locator(".ft-compare-differ").count() == 1
    assert owner.page.locator(".ft-compare-differ figcaption").all_inner_texts() == ["ants, taken for bees"] * 4
    owner.page.locator(".ft-compare-differ").scroll_into_view_if_needed()
    owner.until("[...document.querySelectorAll('.ft-compare-differ img')].every((one) => one.naturalWidth > 0)")
    assert violations(owner) == []


def test_nothing_sticks_out_and_axe_finds_nothing_in_both_themes(owner, show):
    show(TargetKind.CLASS)
    for width, theme in ((1400, "light"), (390, "dark")):
        owner.page.set_viewport_size({"width": width, "height": 1000})
        owner.page.evaluate(f"document.body.classList.toggle('dark', {str(theme == 'dark').lower()})")
        assert violations(owner) == [], theme
        assert owner.page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_line_drawn_around_points_of_the_map_shows_those_pictures(owner, show):
    show(TargetKind.CLASS)
    owner.page.locator(".ft-res-map").scroll_into_view_if_needed()
    box = owner.page.locator(".ft-res-map").bounding_box()
    corners = [(0.02, 0.02), (0.98, 0.02), (0.98, 0.98), (0.02, 0.98)]
    owner.page.wait_for_timeout(300)
    for number, (x, y) in enumerate(corners):
        owner.page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=4)
        if not number:
            owner.page.mouse.down()
    owner.page.mouse.up()
    owner.until(f"{SHOWN} === {COUNT}")
    assert text(owner, ".ft-res-pictures h3") == f"{COUNT} pictures"


def test_the_threshold_slider_says_what_it_does(owner, show):
    run = show(TargetKind.LABELS)
    owner.page.focus("#ft-res-threshold")
    assert text(owner, ".ft-res-threshold-words").startswith("At 50.0 %: said of")
    for _ in range(45):
        owner.page.keyboard.press("ArrowRight")
    assert text(owner, ".ft-res-threshold-words").startswith("At 95.0 %: said of")
    owner.page.click("text=Threshold with the best F1")
    assert not text(owner, ".ft-res-threshold-words").startswith("At 95.0 %")
    owner.page.click("text=Answer from this threshold on")
    owner.until_text(".ft-res-status", "answer so from now on")
    assert list(read_answering(run).thresholds) in ([NAMES[0]], [])  # the best may be one half, as trained
    owner.page.click(".ft-res-buttons >> text=Missed")
    owner.until_text(".ft-res-pictures h3", f"Missed: {NAMES[0]}")


def test_masks_show_their_errors_over_the_picture_and_numbers_their_points(owner, show):
    show(TargetKind.MASK)
    owner.page.locator(".ft-res-grid-of-pictures button").first.click()
    layer = owner.page.locator(".ft-res-stage .ft-res-layer")
    assert "errors" in layer.first.get_attribute("src")
    owner.page.fill("dialog input[type=range]", "25")
    assert owner.page.evaluate("document.querySelector('.ft-res-stage .ft-res-layer').style.opacity") == "0.25"
    owner.page.check("dialog input[type=checkbox]")
    assert layer.count() == 2
    owner.until("[...document.querySelectorAll('.ft-res-stage img')].every((image) => image.naturalWidth > 0)")
    owner.page.keyboard.press("Escape")
    show(TargetKind.NUMBERS)
    owner.page.locator(".ft-res-point").first.click()
    owner.until(f"{SHOWN} === 1")


def test_suspects_are_decided_by_keyboard_and_the_next_run_follows(owner, show):
    run = show(TargetKind.CLASS)
    suspects = [
        {
            "split": "val", "index": index, "file": str(owner.root / "pictures" / "class" / f"{index:02d}.png"),
            "label": "ants", "seems": "bees", "reasons": ["label", "dark"],
        }
        for index in range(4)
    ]  # fmt: skip
    found = {"run": run.id, "images": COUNT, "num_wrong": 4, "classes": NAMES, "suspects": suspects, "tells": {}}
    (run.results / "suspects.json").write_text(json.dumps(found))
    owner.page.goto(f"{owner.address}?run={run.id}")
    owner.until("window.FTLive?.news()")
    owner.tab("results")
    owner.page.wait_for_selector(".ft-res-suspects input")
    owner.page.focus(".ft-res-suspects input")
    for key in "xrk":
        owner.page.keyboard.press(key)
    owner.until_text(".ft-res-suspects", "now bees")
    table = owner.root / "runs" / "decisions" / f"{run.id}.csv"
    expected = {"00.png": Decision("leave_out"), "01.png": Decision("relabel", "bees"), "02.png": Decision("keep")}
    owner.until_text(".ft-res-line >> nth=-1", "1 left out, 1 relabelled, 1 kept.")
    owner.page.wait_for_timeout(300)
    assert read_decisions(table) == expected
    owner.page.click("text=Train again with these decisions")
    owner.until("document.querySelector('.ft-command')?.textContent.includes('data.decisions=')")
    assert str(table) in text(owner, ".ft-command")


def test_a_validation_picture_is_tried_with_one_press(owner, show):
    show(TargetKind.CLASS)
    owner.tab("try")
    owner.page.wait_for_selector(".ft-examples button img")
    owner.page.locator(".ft-examples button").nth(2).click()
    owner.until_text("#ft-answer h2", "ants")
    owner.until("document.querySelector('.ft-tried')?.naturalWidth > 0")
    (asked,) = [words for words in owner.canned.asked if words[0] == "predict"]
    assert asked[2].endswith("class/06.png")
    assert violations(owner) == []
