// The points of a run as the page holds them.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Curves, interpolate } from "../../../assets/charts/curves.js";

const LOSS = "train/loss";
const RATE = "train/lr/head";
const STATE = { status: "running", total: 16, per_epoch: 4 };

/** What the app tells of steps `from` to `to` when nothing is thinned: the loss is 1/step, the rate the step. */
function told(from, to, reset = false) {
  const x = Array.from({ length: to - from + 1 }, (_, i) => from + i);
  const y = [x.map((step) => 1 / step), x];
  return { reset, state: STATE, curves: [{ keys: [LOSS, RATE], level: 0, x, t: x.map((step) => step / 10), y }] };
}

test("what comes in portions is what comes at once", () => {
  const [once, parts] = [new Curves(), new Curves()];
  assert.equal(once.take(told(1, 8, true)), null, "everything is new");
  parts.take(told(1, 3, true));
  assert.deepEqual([...parts.take(told(4, 8))], [LOSS, RATE], "two curves got points");
  assert.deepEqual(parts, once);
});

test("a reset forgets what was held", () => {
  const curves = new Curves();
  curves.take(told(1, 8, true));
  curves.take(told(1, 2, true));
  assert.deepEqual(curves.get(LOSS).x, [1, 2]);
  assert.equal(curves.lastStep, 2);
});

test("a wider bucket holds mean, least and greatest of its points; of rates the last", () => {
  const curves = new Curves();
  curves.take(told(1, 8, true));
  const wider = {
    keys: [LOSS, RATE],
    level: 2,
    x: [12],
    t: [1.2],
    y: [[0.1], [12]],
    lo: [[0.05], null],
    hi: [[0.2], null],
  };
  assert.equal(curves.take({ reset: false, state: STATE, curves: [wider] }), null, "merged: drawn anew");
  const loss = curves.get(LOSS);
  const mean = (...steps) => Number((steps.reduce((sum, step) => sum + 1 / step, 0) / steps.length).toPrecision(5));
  assert.deepEqual(loss.x, [4, 8, 12]);
  assert.deepEqual(loss.y, [mean(1, 2, 3, 4), mean(5, 6, 7, 8), 0.1]);
  assert.deepEqual(
    [loss.lo, loss.hi],
    [
      [1 / 4, 1 / 8, 0.05],
      [1, 1 / 5, 0.2],
    ],
  );
  const rate = curves.get(RATE);
  assert.deepEqual(rate.y, [4, 8, 12]);
  assert.deepEqual([rate.lo.at(-1), rate.hi.at(-1)], [12, 12], "a band that is told as null is the line itself");
});

test("merging twice is merging once", () => {
  const empty = (level) => ({
    reset: false,
    state: STATE,
    curves: [{ keys: [LOSS], level, x: [], t: [], y: [[]], lo: [null], hi: [null] }],
  });
  const [twice, once] = [new Curves(), new Curves()];
  for (const curves of [twice, once]) curves.take(told(1, 16, true));
  twice.take(empty(1));
  twice.take(empty(3));
  once.take(empty(3));
  const [a, b] = [twice.get(LOSS), once.get(LOSS)];
  assert.deepEqual([a.x, a.t, a.lo, a.hi], [b.x, b.t, b.lo, b.hi]);
  for (const [i, y] of a.y.entries())
    assert.ok(Math.abs(y - b.y[i]) <= 1e-4 * b.y[i], "both are rounded to five digits");
});

test("finer buckets than those held ask for everything anew, unless they are everything", () => {
  const curves = new Curves();
  curves.take({
    reset: true,
    state: STATE,
    curves: [{ keys: [LOSS], level: 1, x: [2], t: [0.2], y: [[0.7]], lo: [[0.5]], hi: [[1]] }],
  });
  assert.equal(curves.isTooCoarse(told(3, 4)), true);
  assert.equal(curves.isTooCoarse(told(1, 4, true)), false);
});

test("a step has its place on every axis, and every place its step", () => {
  const curves = new Curves();
  curves.take(told(1, 8, true));
  assert.deepEqual(
    ["step", "epoch", "time"].map((axis) => curves.placeOfStep(axis, 6)),
    [6, 1.5, 0.6],
  );
  assert.equal(curves.placeOfStep("time", 16), 1.6, "steps to come are placed by the pace so far");
  for (const axis of ["step", "epoch", "time"]) {
    for (const step of [0, 3, 8, 12]) {
      assert.ok(Math.abs(curves.stepAt(axis, curves.placeOfStep(axis, step)) - step) < 1e-9, `${axis}, step ${step}`);
    }
    assert.equal(curves.places(axis, curves.get(LOSS), 6)[1], curves.place(axis, 8, 0.8));
  }
});

test("between two points lies the line, beyond the last its overall slope", () => {
  const [xs, ys] = [
    [0, 1, 4],
    [0, 2, 8],
  ];
  for (const x of [0, 0.5, 1, 3, 4, 10]) assert.equal(interpolate(xs, ys, x), 2 * x);
  assert.equal(interpolate([], [], 3), 0);
});
