"""Curves of odd values in a real browser: whatever they are, the page draws and answers."""

from __future__ import annotations

import math
import sys

import pytest

from tests.ui.live_visits import LOSS

pytestmark = pytest.mark.ui

ULP = sys.float_info.epsilon
# first losses that, multiplied by the weight of one step and divided by it again, come out a unit in the last place off
ROUNDED = [0.7877, 0.8014, 0.8151, 0.8973, 0.9110, 0.9932]
CURVES = {
    "one point": [0.693147],
    "equal values": [0.25] * 5,
    "an ulp apart": [0.7, 0.7 * (1 + ULP), 0.7 * (1 + 2 * ULP)],
    "a tiny span": [1e-300, 2e-300, 1.5e-300],
    "on a huge offset": [1e15 + 1, 1e15 + 2, 1e15 + 3],
    "huge": [-1e308, 1e308, 0.0],
    "not finite": [math.nan, math.inf, -math.inf, 1.0, math.nan],
    "nothing finite": [math.nan, math.inf],
}


@pytest.mark.parametrize("values", CURVES.values(), ids=CURVES)
def test_any_curve_is_drawn_and_the_page_still_answers(visit, make_run, values):
    run = make_run("odd")
    run.begin()
    for value in values:
        run.train(1, **{"train/loss": value, "memory/process_mib": 1700.0})
    seen = visit(f"?run={run.folder.id}")
    assert seen.page.evaluate(f"{LOSS}._fullLayout.yaxis.range.every(Number.isFinite)")
    assert seen.count() == len(values)
    run.train(2, **{"train/loss": values[0]})
    seen.refresh()
    assert seen.count() == len(values) + 2
    seen.page.click("[data-chart=loss] .ftc-tool >> text=log")
    seen.page.wait_for_function(f"{LOSS}._fullLayout.yaxis.type === 'log'")
    seen.page.click("[data-chart=loss] .ftc-tool >> text=log")


def test_a_first_step_of_any_loss_is_drawn(visit, make_run):
    for value in ROUNDED:
        run = make_run("first")
        run.begin()
        run.train(1, **{"train/loss": value})
        seen = visit(f"?run={run.folder.id}")
        seen.page.wait_for_function(
            f"(([low, high]) => low < {value} && {value} < high)({LOSS}._fullLayout.yaxis.range)"
        )


@pytest.mark.parametrize("zoom", ["1e300~2e300", "0~1e-300", "1e19~10000000000000002048", "-1e9~1e9", "3~4"])
def test_a_zoom_typed_into_the_address_is_drawn(visit, run, zoom):
    for axis in ("step", "epoch", "time"):
        seen = visit(f"?run={run.folder.id}&zoom={zoom}&zoomy=loss:-1e9~1e9,lr:0~1&axis={axis}&log=lr")
        assert seen.page.evaluate(f"{LOSS}._fullLayout.xaxis.tickvals.length") < 60
