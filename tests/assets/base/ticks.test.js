// Ranges and ticks of an axis: round, few, and there for any values at all.

import assert from "node:assert/strict";
import { test } from "node:test";
import { extent, Smoother } from "../../../assets/base/numbers.js";
import * as ticks from "../../../assets/base/ticks.js";
import { horizontal, steadyRange, vertical } from "../../../assets/charts/axes.js";
import { close } from "../close.js";

const { airyRange, drawable, epochEnds, linearTicks, logTicks, MOST_TICKS, wholeTicks } = ticks;
const PALETTE = { axis: "#000000", grid: "#eeeeee", subdued: "#777777", font: "sans-serif" };
const SERIES = Number(process.env.FINE_TUNER_RANDOM_SERIES ?? 20_000);

test("ticks are round", () => {
  close(linearTicks(0, 1, 4), [0, 0.25, 0.5, 0.75, 1]);
  close(linearTicks(0, 160, 5, "count"), [0, 50, 100, 150]);
  close(linearTicks(0, 3, 8, "count"), [0, 1, 2, 3]);
  close(linearTicks(0, 2000, 4, "memory"), [0, 512, 1024, 1536]);
  close(linearTicks(0, 95, 4, "seconds"), [0, 30, 60, 90]);
  close(logTicks(0.09, 2), [0.1, 0.2, 0.5, 1, 2]);
});

test("a range holds its values and respects bounds", () => {
  const share = airyRange([0.82, 0.99], { kind: "fraction", bounds: [0, 1] });
  assert.ok(share[0] <= 0.82 && share[1] >= 0.99 && share[1] <= 1.01);
  assert.equal(airyRange([0.3, 2], {})[0], 0);
  const memory = airyRange([755, 775], { kind: "memory", bounds: [0, null] });
  assert.ok(memory[0] === 0 && memory[1] > 800);
  const rates = airyRange([1e-4, 1e-2], { log: true });
  assert.ok(rates[0] < 1e-4 && rates[1] > 1e-2);
});

test("epochs end at their multiples, and are no hatching", () => {
  assert.deepEqual(epochEnds(5, 20, 4), [8, 12, 16, 20]);
  assert.deepEqual(epochEnds(0, 1e18, 4), []);
  assert.deepEqual(epochEnds(1e19, 1e19 + 4096, 100).length <= 41, true);
  assert.deepEqual(epochEnds(0, 10, 0), []);
});

test("whole ticks are as many as fit", () => {
  assert.deepEqual(wholeTicks(-4.2, -0.9, 10), [-4, -3, -2, -1]);
  assert.deepEqual(wholeTicks(0, 100, 3), [0, 34, 68]);
  assert.deepEqual(wholeTicks(Number.NEGATIVE_INFINITY, 1, 3), []);
});

test("a range as far apart as rounding is widened; one that means something is kept", () => {
  assert.deepEqual(drawable([0.25, 1]), [0.25, 1]);
  assert.deepEqual(drawable([0.7, 0.70001]), [0.7, 0.70001]);
  const [low, high] = drawable([0.7, 0.7 + 1.2e-16]);
  assert.ok(low < 0.7 && high > 0.7 && high - low < 1e-6);
  assert.deepEqual(drawable([3, 2]), [2, 3]);
  assert.ok(drawable([Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY]).every(Number.isFinite));
});

test("ticks that differ have texts that differ", () => {
  const { ticktext } = vertical([0.70001, 0.70003], { kind: "number", log: false }, 216, PALETTE);
  assert.equal(new Set(ticktext).size, ticktext.length);
  assert.equal(vertical([0, 1], { kind: "number", log: false }, 216, PALETTE).ticktext.join(), "0,0.25,0.5,0.75,1");
});

// ------------------------------------------------------------------ a curve of anything
/** Numbers in [0, 1) that are the same each time. Source: mulberry32, Tommy Ettinger, public domain. */
function generator(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const ODD = [
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  null,
  0,
  -0,
  5e-324,
  1e308,
  -1e308,
  2 ** 53,
];

/** 0 to 8 values: equal, an ulp apart, of any size, on a huge offset, dates in milliseconds and seconds, or odd ones. */
function anySeries(random) {
  const size = 10 ** (random() * 616 - 308);
  const near = 10 ** (random() * 20 - 10);
  const offset = random() < 0.5 ? 0 : (random() - 0.5) * 10 ** (random() * 300);
  const makers = [
    () => near,
    () => near * (1 + Math.round(random() * 4) * 2 ** -52),
    () => near * (1 + random() * 10 ** (-random() * 17)),
    () => (random() - 0.5) * size,
    () => random() * near,
    () => offset + random() * near,
    () => random() * 4e12,
    () => random() * 1e5 - 6e10,
  ];
  const make = makers[Math.floor(random() * makers.length)];
  const oddity = random() < 0.3 ? 0.4 : 0;
  return Array.from({ length: Math.floor(random() * 9) }, () =>
    random() < oddity ? ODD[Math.floor(random() * ODD.length)] : make(),
  );
}

const isNumber = (y) => typeof y === "number" && Number.isFinite(y);
const KINDS = ["number", "fraction", "memory", "rate", "count", "seconds", "speed"];
const AXES = ["step", "epoch", "time", "log10", "number"];
const BOUNDS = [
  [null, null],
  [0, null],
  [0, 1],
  [-1, 1],
];

/** Whether an axis can be drawn: a range that is one, and ticks of finite numbers that are few. */
function isDrawable({ range, tickvals, ticktext }) {
  const [low, high] = range;
  const hasRange = Number.isFinite(low) && Number.isFinite(high) && low < high;
  return (
    hasRange && tickvals.length <= MOST_TICKS && tickvals.every(Number.isFinite) && ticktext.length === tickvals.length
  );
}

test(`every axis of any ${SERIES} curves has a range that can be drawn, and few ticks`, () => {
  const random = generator(20261129);
  const pick = (list) => list[Math.floor(random() * list.length)];
  let present = null;
  for (let i = 0; i < SERIES; i++) {
    const series = anySeries(random);
    const [kind, bounds, log, axis] = [pick(KINDS), pick(BOUNDS), random() < 0.3, pick(AXES)];
    const tau = random() < 0.2 ? 0 : 10 ** (random() * 24 - 6);
    const smoother = new Smoother(tau);
    const smooth = series.map((y, x) => smoother.push(x + 1, y));
    const found = extent([series, smooth], 0, series.length, undefined, log ? 0 : Number.NEGATIVE_INFINITY);
    const options = { kind, bounds, log };
    present = steadyRange(random() < 0.5 ? present : null, found, options);
    const places = series.filter((x) => x !== null);
    const span = places.length > 1 ? [places[0], places.at(-1)] : [0, places[0] ?? 1]; // as a zoom in an address may be
    const isRight =
      smooth.every((y, at) => isNumber(y) === isNumber(series[at])) &&
      isDrawable(vertical(present, options, 216, PALETTE)) &&
      isDrawable(horizontal(span, axis, 100 + 2000 * random(), PALETTE, [])) &&
      isDrawable(vertical(span, options, 216, PALETTE)) &&
      epochEnds(span[0], span[1], Math.round(random() * 1000)).length <= 40;
    if (!isRight) assert.fail(JSON.stringify({ i, series: series.map(String), ...options, axis, tau }));
  }
});

test("equal values are smoothed to themselves, to the bit, so that their axis is that of one value", () => {
  const random = generator(7);
  for (let i = 0; i < 20_000; i++) {
    const [y, smoother] = [random() * 10, new Smoother(random() * 100)];
    for (let x = 1; x <= 5; x++) assert.equal(smoother.push(x, y), y);
  }
});
