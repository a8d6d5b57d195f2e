"""Thinned curves: buckets are what a plain loop makes of them, and no spike is hidden."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fine_tuner.runs.log.series import GrowingArray, Rows, Series, level_for, thin

values = st.lists(st.floats(-1e6, 1e6) | st.sampled_from([math.nan, math.inf, -math.inf]), min_size=0, max_size=70)


@given(values=values, level=st.integers(0, 5))
def test_buckets_are_what_a_plain_loop_makes_of_them(values, level):
    data = np.array(values, np.float64)
    got = thin(data, 0, len(data), level)
    width = 2**level
    for at, begin in enumerate(range(0, len(data), width)):
        part = data[begin : begin + width]
        finite = part[np.isfinite(part)]
        assert got.last[at] == begin + len(part) - 1
        if level == 0:
            assert repr(got.mean[at]) == repr(part[0])
        elif len(finite) == 0:
            assert np.isnan([got.mean[at], got.least[at], got.greatest[at]]).all()
        else:
            assert got.least[at] == finite.min()
            assert got.greatest[at] == finite.max()
            assert abs(got.mean[at] - finite.mean()) <= 1e-9 * max(1.0, np.abs(finite).max())
            assert got.least[at] <= got.mean[at] <= got.greatest[at]
    assert len(got.last) == -(-len(data) // width)


@given(size=st.integers(0, 10**7), most=st.integers(1, 2000))
def test_the_level_is_the_least_that_fits(size, most):
    level = level_for(size, most)
    assert -(-size // 2**level) <= most
    assert level == 0 or size > most * 2 ** (level - 1)


def test_a_single_spike_in_a_million_points_is_in_its_bucket():
    data = np.zeros(1_000_000)
    data[654_321] = 1e3
    level = level_for(len(data), 1500)
    got = thin(data, 0, len(data), level)
    assert len(got.last) <= 1500
    assert got.greatest.max() == 1e3
    assert int(got.greatest.argmax()) == 654_321 >> level


@given(chunks=st.lists(st.lists(st.integers(-9, 9), max_size=40), max_size=8))
def test_a_column_holds_what_was_put_in_and_views_given_out_stay(chunks):
    column, whole, seen = GrowingArray(np.int64), [], []
    for chunk in chunks:
        column.extend(np.array(chunk, np.int64))
        whole += chunk
        seen.append((column.view, list(whole)))
    for view, expected in seen:
        assert view.tolist() == expected


def test_dropping_rows_keeps_points_at_their_rows():
    rows = Rows()
    steps = np.arange(1, 7)
    rows.extend(seq=steps, step=steps, epoch=steps, time_ms=steps, elapsed_ms=steps)
    every, some = Series(rows), Series(rows)
    every.extend(0, steps * 1.0)
    some.extend(2, np.array([30.0]))
    some.extend(5, np.array([60.0]))
    keep = np.array([True, True, True, False, True, False])
    for series in (every, some):
        series.keep(keep)
    for column in rows.columns.values():
        column.keep(keep)
    assert every.step.tolist() == every.value.tolist() == [1, 2, 3, 5]
    assert (some.step.tolist(), some.value.tolist()) == ([3], [30.0])
