// Ranges and ticks of a chart's axes, as Plotly layout. Ranges are set by us, never guessed anew: nothing jumps.

import { duration, axis as label, rate } from "../base/format.js";
import { airyRange, drawable, linearTicks, logTicks, wholeTicks } from "../base/ticks.js";

/** @typedef {Pick<Palette, "axis" | "grid" | "subdued" | "font">} AxisColors */

/** Space around the plotting area; the same for all charts, so that their horizontal axes line up. */
export const MARGIN = { l: 58, r: 12, t: 8, b: 24 };

/** Significant digits of ticks: as usual, or more where that would write two the same. */
const DIGITS = [undefined, 6, 8, 10, 12];

/**
 * Horizontal axis: the range `wanted` in its own unit, one of step, epoch, time, or a number.
 *
 * @param {[number, number]} wanted
 * @param {string} axis
 * @param {number} width In pixels.
 * @param {AxisColors} palette
 * @param {number[]} epochs Places where epochs end.
 */
export function horizontal(wanted, axis, width, palette, epochs) {
  const range = drawable(wanted);
  /** @type {Record<string, string>} */
  const kinds = { step: "count", epoch: range[1] - range[0] > 4 ? "count" : "number", time: "seconds" };
  const kind = kinds[axis] ?? "number";
  const isLog = axis === "log10"; // places are powers of ten
  const ticks = isLog
    ? wholeTicks(...range, width / 52)
    : linearTicks(Math.max(range[0], 0), range[1], Math.max(2, width / 76), kind);
  const text = isLog
    ? ticks.map((t) => rate(10 ** t))
    : axis === "time"
      ? ticks.map((t) => (t === 0 ? "0" : duration(t)))
      : texts("number", ticks);
  return {
    ...quiet(palette),
    range,
    autorange: false,
    tickvals: ticks,
    ticktext: text,
    showgrid: false,
    linecolor: palette.axis,
    showline: true,
    ticks: "outside",
    ticklen: 4,
    tickcolor: palette.axis,
    minor: epochs.length
      ? { tickmode: "array", tickvals: epochs, showgrid: true, gridcolor: palette.grid, gridwidth: 1, ticklen: 0 }
      : { showgrid: false, ticklen: 0 },
  };
}

/**
 * Vertical axis: the range `wanted` in values, also where the axis is logarithmic.
 *
 * @param {[number, number]} wanted
 * @param {{ kind: string, log: boolean }} options
 * @param {number} height In pixels.
 * @param {AxisColors} palette
 */
export function vertical(wanted, { kind, log }, height, palette) {
  const range = drawable(wanted, log);
  const ticks = log ? logTicks(...range) : linearTicks(...range, Math.max(2, height / 46), kind);
  return {
    ...quiet(palette),
    type: log ? "log" : "linear",
    range: log ? range.map(Math.log10) : range,
    autorange: false,
    tickvals: ticks,
    ticktext: texts(kind, ticks),
    showgrid: true,
    gridcolor: palette.grid,
    showline: false,
    minor: { showgrid: false, ticklen: 0 },
  };
}

/**
 * Texts of ticks, with as many digits as it takes to tell them apart.
 *
 * @param {string} kind
 * @param {number[]} ticks
 */
function texts(kind, ticks) {
  const found = DIGITS.map((digits) => ticks.map((t) => label(kind, t, digits)));
  return found.find((words) => new Set(words).size === ticks.length) ?? found[0];
}

/** @param {AxisColors} palette */
function quiet(palette) {
  return {
    tickmode: "array",
    ticks: "",
    zeroline: false,
    automargin: false,
    gridwidth: 1,
    tickfont: { size: 11, color: palette.subdued, family: palette.font },
  };
}

/**
 * The vertical range for the values at hand: the present one as long as they fit and fill it well enough.
 *
 * So it moves seldom, and only when it must.
 *
 * @param {[number, number] | null} present
 * @param {[number, number]} extent Least and greatest value.
 * @param {{ kind?: string, bounds?: (number | null)[], log?: boolean }} options
 */
export function steadyRange(present, extent, options) {
  const fresh = airyRange(extent, options);
  if (!present || !(extent[1] >= extent[0])) return fresh;
  const scale = options.log ? Math.log10 : Number;
  const fits = extent[0] >= present[0] && extent[1] <= present[1];
  const share = (scale(fresh[1]) - scale(fresh[0])) / (scale(present[1]) - scale(present[0]));
  return fits && share > 0.55 && share <= 1.001 ? present : fresh;
}
