"""The panel's arithmetic and number formats: JavaScript, asked through the browser."""

from __future__ import annotations

import json
import math

import pytest

# call | what a person reads; no-break spaces are written as spaces
FORMATS = """
number(0.0312345)         | 0.0312
number(2.3)               | 2.30
number(0)                 | 0
number(1234.4)            | 1,234
number(999.6)             | 1,000
number(3.2e-5)            | 3.2e-5
number(-0.5)              | −0.500
number(4.2e7)             | 4.2e7
number(NaN)               | NaN
number(Infinity)          | ∞
number(null)              | –
number(undefined)         | –
rate(1e-4)                | 1e-4
rate(0.001)               | 1e-3
rate(2.5e-4)              | 2.5e-4
rate(0.05)                | 0.05
rate(0)                   | 0
percent(0.9478)           | 94.8 %
percent(1)                | 100 %
percent(0)                | 0 %
percent(0.99999)          | 99.99 %
percent(0.9996)           | 99.96 %
mebibytes(81.2)           | 81 MiB
mebibytes(1945.6)         | 1.9 GiB
mebibytes(24576)          | 24 GiB
mebibytes(1010)           | 1 GiB
mebibytes(0.5)            | 0.5 MiB
duration(0.2)             | < 1 s
duration(12.4)            | 12 s
duration(72)              | 1 min 12 s
duration(59.6)            | 1 min
duration(840)             | 14 min
duration(3570)            | 1 h
duration(7500)            | 2 h 5 min
duration(360000)          | 4 d 4 h
speed(212.4)              | 212 img/s
speed(8.42)               | 8.4 img/s
speed(1234)               | 1,234 img/s
count(12345)              | 12,345
count(999)                | 999
ago(30)                   | just now
ago(7200)                 | 2 h ago
tick(20000)               | 20k
tick(0.5)                 | 0.5
tick(1500000)             | 1.5M
axis('fraction', 0.955)   | 95.5 %
axis('memory', 1536)      | 1.5 GiB
axis('rate', 0)           | 0
csv('a,"b" c')            | "a,""b"" c"
csv(0.1 + 0.2)            | 0.3
csv(null)                 |
"""

pytestmark = pytest.mark.ui


@pytest.fixture(scope="session")
def script(browser, server):
    """Calls an expression with the panel's modules ``format`` and ``numbers`` at hand."""
    from fine_tuner.ui import static

    page = browser.new_page()
    page.goto(f"{server.address}api/runs")
    names = json.dumps([f"/{static.address_of(f'base/{name}.js')}" for name in ("format", "numbers", "settings")])
    page.evaluate(
        f"Promise.all({names}.map((name) => import(name))).then(([f, n, s]) => Object.assign(window, f, n, s))"
    )
    yield page.evaluate
    page.close()


@pytest.mark.parametrize("row", [row for row in FORMATS.splitlines() if row])
def test_numbers_have_sensible_digits(script, row):
    call, _, text = row.partition("|")
    assert script(call).replace("\u00a0", " ") == text.strip()


def test_smoothing_is_the_mean_of_a_constant_and_forgets_at_its_rate(script):
    constant = script("(() => { const s = new Smoother(5); return [1, 2, 3, 9].map((x) => s.push(x, 7)); })()")
    assert constant == pytest.approx([7] * 4)
    first, second = script("(() => { const s = new Smoother(3); return [s.push(1, 0), s.push(2, 1)]; })()")
    keep = math.exp(-1 / 3)
    assert (first, second) == (0, pytest.approx((1 - keep) / (1 - keep**2)))


def test_a_thinned_curve_is_smoothed_over_the_same_steps(script):
    """A ramp, taken at every step or at every tenth, has the same mean lag."""
    last = """(every) => {
        const s = new Smoother(20); let y; for (let x = every; x <= 1000; x += every) y = s.push(x, x); return y; }"""
    fine, coarse = script(f"[({last})(1), ({last})(10)]")
    assert fine == pytest.approx(1000 - 19.5, abs=0.1)
    assert coarse == pytest.approx(fine, abs=5)


def test_smoothing_passes_over_what_is_no_number(script):
    values = script("(() => { const s = new Smoother(5); return [1, null, 1].map((y, x) => s.push(x, y)); })()")
    assert values == [1, None, 1]


@pytest.mark.parametrize(("seen", "images"), [(0, 10), (145, 153), (153, 153)])
def test_interval_of_accuracy_is_wilsons(script, seen, images):
    """Its ends solve (p - q)^2 = z^2 q (1 - q) / n."""
    p, z = seen / images, 1.96
    for end in script(f"wilson({p}, {images})"):
        assert (p - end) ** 2 == pytest.approx(z**2 * end * (1 - end) / images, abs=1e-12)


@pytest.mark.parametrize(
    ("reached", "total", "end"),
    [(0, 160, 10), (10, 160, 10), (11, 160, 20), (81, 160, 160), (160, 160, 160), (5, 0, 5)],
)
def test_axis_grows_by_doubling_and_ends_at_the_total(script, reached, total, end):
    assert script(f"growingEnd({reached}, {total})") == end


@pytest.mark.parametrize(
    ("call", "ticks"),
    [
        ("linearTicks(0, 1, 4)", [0, 0.25, 0.5, 0.75, 1]), ("linearTicks(0, 160, 5, 'count')", [0, 50, 100, 150]),
        ("linearTicks(0, 3, 8, 'count')", [0, 1, 2, 3]), ("linearTicks(0, 2000, 4, 'memory')", [0, 512, 1024, 1536]),
        ("linearTicks(0, 95, 4, 'seconds')", [0, 30, 60, 90]), ("logTicks(0.09, 2)", [0.1, 0.2, 0.5, 1, 2]),
    ],
)  # fmt: skip
def test_ticks_are_round(script, call, ticks):
    assert script(call) == pytest.approx(ticks)


def test_range_holds_its_values_and_respects_bounds(script):
    low, high = script("airyRange([0.82, 0.99], { kind: 'fraction', bounds: [0, 1] })")
    assert low <= 0.82
    assert 0.99 <= high <= 1.01
    assert script("airyRange([0.3, 2], {})")[0] == 0
    low, high = script("airyRange([755, 775], { kind: 'memory', bounds: [0, null] })")
    assert (low, high > 800) == (0, True)
    low, high = script("airyRange([1e-4, 1e-2], { log: true })")
    assert (low < 1e-4, high > 1e-2) == (True, True)


def test_outliers_are_what_lies_far_beyond_the_bulk(script):
    low, high = script("outlierBounds([...Array(100).keys()].map((i) => i / 100).concat([50]))")
    assert (low < 0, 1 < high < 3) == (True, True)
    assert script("outlierBounds([1, 1, 1])") is None


def test_settings_survive_the_address(script):
    query = "?run=a-b&axis=epoch&smooth=55&clip=1&log=loss,lr&hide=loss.val&zoom=3~9.5&zoomy=loss:0.1~2&open=table"
    query += "&other=kept"
    again = script(f"toQuery(fromQuery({query!r}), '?other=kept')")
    assert sorted(again[1:].split("&")) == sorted(query[1:].split("&"))
    odd = script("fromQuery('?axis=x&smooth=900&zoom=9~3&zoomy=loss:1~,lr')")
    assert (odd["axis"], odd["smooth"], odd["zoom"], odd["zoomY"]) == ("step", 30, None, {})
