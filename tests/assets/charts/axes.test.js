// Ranges and ticks of a chart's axes, as Plotly layout.

import assert from "node:assert/strict";
import { test } from "node:test";
import { airyRange } from "../../../assets/base/ticks.js";
import { horizontal, steadyRange, vertical } from "../../../assets/charts/axes.js";

const PALETTE = { axis: "#000000", grid: "#eeeeee", subdued: "#777777", font: "sans-serif" };

test("every tick has a text and lies in the range", () => {
  for (const [axis, range] of [
    ["step", [0, 160]],
    ["epoch", [0, 3]],
    ["time", [0, 95]],
    ["rate", [0, 1]],
    ["log10", [-7, 1]],
  ]) {
    const { tickvals, ticktext } = horizontal(range, axis, 600, PALETTE, []);
    assert.ok(tickvals.length >= 2, axis);
    assert.equal(ticktext.length, tickvals.length);
    assert.ok(
      tickvals.every((t) => t >= range[0] && t <= range[1]),
      `${axis}: ${tickvals}`,
    );
  }
});

test("an axis in powers of ten is read in values", () => {
  const { tickvals, ticktext } = horizontal([-4.2, -0.9], "log10", 400, PALETTE, []);
  assert.deepEqual(
    [tickvals, ticktext],
    [
      [-4, -3, -2, -1],
      ["1e-4", "1e-3", "0.01", "0.1"],
    ],
  );
});

test("a narrow axis has fewer ticks, never none", () => {
  const ticks = [1000, 300, 80].map((width) => horizontal([0, 160], "step", width, PALETTE, []).tickvals.length);
  assert.deepEqual(
    ticks,
    [...ticks].sort((a, b) => b - a),
  );
  assert.ok(ticks.at(-1) >= 2);
});

test("epochs are lines of the grid", () => {
  assert.deepEqual(horizontal([0, 8], "step", 600, PALETTE, [4, 8]).minor.tickvals, [4, 8]);
  assert.equal(horizontal([0, 8], "step", 600, PALETTE, []).minor.showgrid, false);
});

test("a logarithmic axis is given to Plotly in powers of ten, its ticks in values", () => {
  const { type, range, tickvals } = vertical([0.1, 10], { kind: "number", log: true }, 200, PALETTE);
  assert.deepEqual([type, range], ["log", [-1, 1]]);
  assert.ok(tickvals.includes(1));
});

test("a range stays while its values fit and fill it, and moves when they do not", () => {
  const options = { kind: "number", bounds: [0, null], log: false };
  const present = airyRange([0, 2], options);
  assert.equal(steadyRange(present, [0, 1.9], options), present);
  assert.deepEqual(steadyRange(present, [0, 5], options), airyRange([0, 5], options), "they do not fit");
  assert.deepEqual(steadyRange(present, [0, 0.2], options), airyRange([0, 0.2], options), "they fill a tenth of it");
  assert.deepEqual(steadyRange(null, [0, 1], options), airyRange([0, 1], options), "nothing was there");
});
