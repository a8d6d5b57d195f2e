// Comparing numbers that were computed in another order.

import assert from "node:assert/strict";

/** Every number of `actual` is within `tolerance` (relative or absolute, the larger) of that of `expected`. */
export function close(actual, expected, tolerance = 1e-9) {
  assert.equal(actual.length, expected.length);
  for (const [i, value] of actual.entries()) {
    const most = tolerance * Math.max(1, Math.abs(expected[i]));
    assert.ok(Math.abs(value - expected[i]) <= most, `${value} is not within ${most} of ${expected[i]} (number ${i})`);
  }
}
