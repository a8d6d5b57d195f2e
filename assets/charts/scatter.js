// Predicted against true, or what is left of the difference, as a cloud of points; drawn once for each answer.

import { svg } from "../base/dom.js";
import { tick } from "../base/format.js";

const [WIDTH, HEIGHT, LEFT, RIGHT, BELOW] = [420, 300, 58, 20, 40];
const FRAME = 0.05; // of the range, on both sides

/**
 * Least and greatest of the values, with a little room.
 *
 * @param {number[]} values
 * @param {number=} room Share of the range.
 * @returns {[number, number]}
 */
export function rangeOf(values, room = FRAME) {
  const [low, high] = values.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity]);
  const more = (high - low || 1) * room;
  return [low - more, high + more];
}

/**
 * `x` and `y` are the ranges of the axes, `ideal` where a perfect answer lies: on the diagonal or at zero. What lies
 * beyond an axis stands at its end. Points carry their `index` as data, where there are any.
 *
 * @param {{ label: string, across: string, xs: number[], ys: (number | null)[], x: [number, number], y: [number, number], ideal: "diagonal" | "zero", index?: number[] }} spec
 */
export function scatterPlot({ label, across, xs, ys, x: [x0, x1], y: [y0, y1], ideal, index }) {
  /** @param {number} v */
  const right = (v) => LEFT + ((Math.min(Math.max(v, x0), x1) - x0) / (x1 - x0)) * (WIDTH - LEFT - RIGHT);
  /** @param {number} v */
  const up = (v) => 8 + (1 - (Math.min(Math.max(v, y0), y1) - y0) / (y1 - y0)) * (HEIGHT - BELOW - 8);
  const root = svg("svg", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    class: "ft-res-plot ft-res-plot-wide",
    role: "img",
    "aria-label": label,
  });
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    const [x, y] = [x0 + share * (x1 - x0), y0 + share * (y1 - y0)];
    root.append(
      svg("line", { x1: right(x), x2: right(x), y1: up(y0), y2: up(y1), class: "ft-res-grid" }),
      svg("line", { x1: right(x0), x2: right(x1), y1: up(y), y2: up(y), class: "ft-res-grid" }),
      svg("text", { x: right(x), y: up(y0) + 14, "text-anchor": "middle" }, tick(x)),
      svg("text", { x: right(x0) - 6, y: up(y) + 4, "text-anchor": "end" }, tick(y)),
    );
  }
  const [from, to] = [Math.max(x0, y0), Math.min(x1, y1)];
  root.append(
    ideal === "zero"
      ? svg("line", { x1: right(x0), x2: right(x1), y1: up(0), y2: up(0), class: "ft-res-ideal" })
      : svg("line", { x1: right(from), y1: up(from), x2: right(to), y2: up(to), class: "ft-res-ideal" }),
    svg("text", { x: right((x0 + x1) / 2), y: HEIGHT - 6, "text-anchor": "middle" }, across),
    ...xs.flatMap((x, i) => {
      const y = ys[i];
      if (y === null || !Number.isFinite(y)) return [];
      /** @type {Record<string, number>} */
      const about = index ? { "data-index": index[i] } : {};
      return [svg("circle", { cx: right(x), cy: up(y), r: 3.2, class: "ft-res-point", ...about })];
    }),
  );
  return root;
}
