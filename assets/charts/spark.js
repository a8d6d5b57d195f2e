// The course of a run in a line of the list.

import { svg } from "../base/dom.js";
import { metricOf } from "../words/live.js";

/**
 * A small curve of the best metric, or else of the training loss; "" where there is too little to draw.
 *
 * @param {RunRow} run
 */
export function spark(run) {
  const values = run.spark;
  if (values.length < 2) return "";
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const points = values
    .map(
      (v, i) =>
        `${((i / (values.length - 1)) * 76 + 2).toFixed(1)},${(18 - ((v - low) / (high - low || 1)) * 16).toFixed(1)}`,
    )
    .join(" ");
  return svg(
    "svg",
    {
      viewBox: "0 0 80 20",
      class: "ft-spark",
      role: "img",
      "aria-label": `${metricOf(run.spark_key).label}: ${values[0]} to ${values.at(-1)}`,
    },
    svg("polyline", { points, fill: "none" }),
  );
}
