// The arithmetic of the charts.

import assert from "node:assert/strict";
import { test } from "node:test";
import * as numbers from "../../../assets/base/numbers.js";
import { close } from "../close.js";

const { Smoother, growingEnd, outlierBounds, quantile, upperBound, wilson } = numbers;

test("smoothing is the mean of a constant, and forgets at its rate", () => {
  const constant = new Smoother(5);
  close(
    [1, 2, 3, 9].map((x) => constant.push(x, 7)),
    [7, 7, 7, 7],
  );
  const step = new Smoother(3);
  const keep = Math.exp(-1 / 3);
  close([step.push(1, 0), step.push(2, 1)], [0, (1 - keep) / (1 - keep ** 2)]);
});

test("a thinned curve is smoothed over the same steps: a ramp has the same mean lag", () => {
  const lastOfRamp = (every) => {
    const smoother = new Smoother(20);
    let y = 0;
    for (let x = every; x <= 1000; x += every) y = smoother.push(x, x);
    return y;
  };
  assert.ok(Math.abs(lastOfRamp(1) - (1000 - 19.5)) < 0.1);
  assert.ok(Math.abs(lastOfRamp(10) - lastOfRamp(1)) < 5);
});

test("smoothing passes over what is no number", () => {
  const smoother = new Smoother(5);
  assert.deepEqual(
    [1, null, 1].map((y, x) => smoother.push(x, y)),
    [1, null, 1],
  );
});

test("the slider smooths nothing at 0, and over more steps the further it is moved", () => {
  const steps = [0, 10, 50, 100].map((percent) => numbers.smoothingSteps(percent, 1000));
  assert.equal(steps[0], 0);
  assert.deepEqual(
    steps,
    [...steps].sort((a, b) => a - b),
  );
});

test("the interval of an accuracy is Wilson's: its ends solve (p - q)^2 = z^2 q (1 - q) / n", () => {
  const z = 1.96;
  for (const [seen, images] of [
    [0, 10],
    [145, 153],
    [153, 153],
  ]) {
    const p = seen / images;
    const ends = wilson(p, images);
    close(
      ends.map((end) => (p - end) ** 2),
      ends.map((end) => (z ** 2 * end * (1 - end)) / images),
      1e-12,
    );
  }
});

test("an axis grows by doubling and ends at the total", () => {
  const cases = [
    [0, 160, 10],
    [10, 160, 10],
    [11, 160, 20],
    [81, 160, 160],
    [160, 160, 160],
    [5, 0, 5],
  ];
  for (const [reached, total, end] of cases) assert.equal(growingEnd(reached, total), end);
});

test("outliers are what lies far beyond the bulk", () => {
  const bounds = outlierBounds([...Array(100).keys()].map((i) => i / 100).concat([50]));
  assert.ok(bounds !== null && bounds[0] < 0 && 1 < bounds[1] && bounds[1] < 3);
  assert.equal(outlierBounds([1, 1, 1]), null);
});

test("quantiles are those of a straight line between sorted values; what is no number does not count", () => {
  assert.equal(quantile([3, Number.NaN, 1, 2], 0.25), 1.5);
  assert.equal(quantile([], 0.5), null);
});

test("the upper bound is the first index with a larger value", () => {
  const xs = [1, 2, 2, 5];
  for (const x of [0, 1, 2, 3, 5, 9]) assert.equal(upperBound(xs, x), xs.filter((other) => other <= x).length);
});
