"""Validation pictures below the curves: what was said of each at each validation, by a slider over all of them."""

from __future__ import annotations

import pytest

from tests.ui.made_examples import make_examples, validate

pytestmark = pytest.mark.ui
SLIDER = ".ftl-ex-slider"
CROSSES = "[...document.querySelectorAll('.ftl-charts .ftc-cross')].map((line) => line.hidden ? null : line.style.left)"


def texts(page, selector: str) -> list[str]:
    return [text.replace("\u00a0", " ") for text in page.locator(selector).all_text_contents()]


def until(page, selector: str, part: str) -> None:
    page.locator(selector).first.filter(has_text=part).wait_for(timeout=20_000, state="attached")


def move(page, at: int) -> None:
    page.locator(SLIDER).fill(str(at))


def test_the_newest_answers_are_shown_until_the_slider_looks_back_and_its_place_is_on_every_curve(visit, make_run):
    run = make_run("class")
    run.begin()
    run.train(16)
    examples = make_examples(run.folder, "class")
    validate(examples, "class", epoch=1, step=16, right=1)
    seen = visit(f"?run={run.folder.id}")
    page = seen.page
    until(page, ".ftl-ex-when", "Epoch 1")
    accuracy = page.evaluate("FTLive.state().best[3]").split()[-2]
    assert accuracy in page.text_content(".ftl-ex-when"), "with the run's own number"
    assert page.is_disabled(SLIDER)
    assert texts(page, ".ftl-ex-said") == ["ants 75 %", "bees 75 %", "ants 75 %", "ants 75 %"]
    assert texts(page, ".ftl-ex-note") == [
        "is ants",
        "is ants, given 25 %",
        "is bees, given 25 %",
        "is bees, given 25 %",
    ]
    assert page.locator(".ftl-ex-said[data-right=true]").count() == 1
    assert texts(page, ".ftl-ex-result") == ["1 of these 4 right"]

    validate(examples, "class", epoch=2, step=32, right=4)
    run.train(16)
    seen.refresh()
    until(page, ".ftl-ex-result", "4 of these 4 right")
    assert all(place is None for place in page.evaluate(CROSSES)), "the newest needs no line"

    move(page, 0)
    until(page, ".ftl-ex-result", "1 of these 4 right")
    page.wait_for_function(f"{CROSSES}.every((place) => place !== null)")
    places = page.evaluate(CROSSES)
    assert len(places) == 4
    share = page.evaluate(
        """() => { const { range } = document.querySelector('[data-chart=loss] .ftc-canvas')._fullLayout.xaxis;
                   return 100 * (16 - range[0]) / (range[1] - range[0]); }"""
    )
    assert [float(place.rstrip("%")) for place in places] == pytest.approx([share] * 4, abs=0.2)

    validate(examples, "class", epoch=3, step=48, right=2)
    run.train(16)
    seen.refresh()
    page.wait_for_function(f"document.querySelector('{SLIDER}').max === '2'")
    assert page.input_value(SLIDER) == "0", "who looks back is left alone"
    page.click(".ftl-ex-play")
    until(page, ".ftl-ex-result", "2 of these 4 right")
    until(page, ".ftl-ex-play", "Play")
    assert page.get_attribute(SLIDER, "aria-valuetext").startswith("Epoch 3")

    other = make_run("other")
    other.begin()
    other.train(20)
    visit(f"?run={other.folder.id}")
    assert page.is_hidden(".ftl-examples"), "they were another run's"


def test_masks_lie_over_their_pictures_beside_what_is_true_and_where_it_errs(visit, make_run):
    run = make_run("mask", task="segmentation")
    run.begin()
    run.train(16)
    examples = make_examples(run.folder, "mask")
    validate(examples, "mask", epoch=1, step=16, right=4)
    page = visit(f"?run={run.folder.id}").page
    until(page, ".ftl-ex-result", "mean IoU of these 50.0")
    assert texts(page, ".ftl-ex-list li:first-child .ftl-ex-name") == ["True", "Predicted", "Errors"]
    assert texts(page, ".ftl-ex-legend span") == ["leaf", "right", "missed", "false"]
    for layer, colours in (
        ("true", {"230,159,0": 8}),
        ("said", {"230,159,0": 4}),
        ("errors", {"0,158,115": 4, "0,114,178": 4}),
    ):
        found = page.evaluate(
            """async (name) => {
              const url = getComputedStyle(document.querySelector('.ftl-ex-list')).getPropertyValue(`--ftl-ex-${name}`);
              const image = Object.assign(new Image(), { src: url.match(/"(.*)"/)[1] });
              await image.decode();
              const canvas = Object.assign(document.createElement('canvas'), { width: 16, height: 1 });
              const pen = canvas.getContext('2d');
              pen.drawImage(image, 0, 0);
              const counts = {};
              const { data } = pen.getImageData(0, 0, 16, 1);
              for (let x = 0; x < 16; x++) if (data[4 * x + 3]) {
                const colour = [...data.slice(4 * x, 4 * x + 3)].join();
                counts[colour] = (counts[colour] ?? 0) + 1;
              }
              return counts;
            }""",
            layer,
        )
        assert found == colours, layer


def test_numbers_are_drawn_against_what_is_true_on_axes_that_stay(visit, make_run):
    run = make_run("numbers", task="regression")
    run.begin()
    run.train(32)
    examples = make_examples(run.folder, "numbers")
    for epoch in (1, 2):
        validate(examples, "numbers", epoch=epoch, step=16 * epoch)
    page = visit(f"?run={run.folder.id}").page
    until(page, ".ftl-ex-when", "Epoch 2")
    assert texts(page, ".ftl-ex-said") == ["3.00, is 1", "4.00, is 2", "5.00, is 3", "6.00, is 4"]
    drawn = (
        "() => [...document.querySelectorAll('.ftl-ex-clouds circle')].map((point) => Number(point.getAttribute('cy')))"
    )
    late, axes = page.evaluate(drawn), texts(page, ".ftl-ex-clouds text")
    assert len(late) == 5
    move(page, 0)
    until(page, ".ftl-ex-when", "Epoch 1")
    early = page.evaluate(drawn)
    assert all(a < b for a, b in zip(early, late, strict=True)), "1 above what is true, then half of that"
    assert texts(page, ".ftl-ex-clouds text") == axes


def test_labels_say_what_was_missed(visit, make_run):
    run = make_run("labels", task="multilabel")
    run.begin()
    run.train(16)
    validate(make_examples(run.folder, "labels"), "labels", epoch=1, step=16, right=2)
    page = visit(f"?run={run.folder.id}").page
    until(page, ".ftl-ex-result", "3 of these 4 right")
    assert texts(page, ".ftl-ex-said") == ["sea 90 %", "sea 90 %, sky 90 %", "none", "missed: sky 20 %"]
    assert texts(page, ".ftl-ex-note") == ["is sea", "is sea, sky", "is none", "is sky"]
