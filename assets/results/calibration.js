// The reliability diagram: how often it is right where it is as sure as this.

import { h, svg } from "../base/dom.js";
import { percent } from "../base/format.js";
import { say, WORDS } from "../words/results.js";
import { part, unitPlot } from "./figures.js";

/**
 * @param {any} calibration See fine_tuner/evaluation/figures/calibration.py.
 * @param {number} chosen Temperature of the answers.
 * @param {(temperature: number) => void} choose
 */
export function reliability(calibration, chosen, choose) {
  const known = calibration.bins.filter((bin) => bin.count);
  const total = known.reduce((sum, bin) => sum + bin.count, 0);
  const mean = (key) => known.reduce((sum, bin) => sum + bin[key] * bin.count, 0) / Math.max(1, total);
  const words = say.calibrated(calibration, mean("confidence"), mean("share"));
  const { root, across, up } = unitPlot(words, "probability given", "right");
  for (const bin of known) {
    const box = {
      x: across(bin.low) + 1,
      y: up(bin.share),
      width: across(bin.high) - across(bin.low) - 2,
      height: Math.max(1, up(0) - up(bin.share)),
    };
    root.append(
      svg(
        "rect",
        { ...box, class: "ft-res-bar", opacity: 0.35 + 0.65 * Math.sqrt(bin.count / total) },
        svg("title", {}, `${bin.count}: ${percent(bin.confidence)}, ${percent(bin.share)}`),
      ),
    );
  }
  root.append(svg("line", { x1: across(0), y1: up(0), x2: across(1), y2: up(1), class: "ft-res-ideal" }));
  const mended = calibration.bins_after.filter((bin) => bin.count);
  for (const bin of mended) {
    const share = Math.sqrt(bin.count / total);
    root.append(
      svg("circle", { cx: across(bin.confidence), cy: up(bin.share), r: 2 + 6 * share, class: "ft-res-dot" }),
    );
  }
  const key = (name, label) => h("li", {}, h("i", { class: name, "aria-hidden": "true" }), label);
  return part(
    WORDS.calibration,
    h("p", {}, words),
    root,
    h(
      "label",
      { class: "ft-res-tools" },
      h("input", {
        type: "checkbox",
        checked: chosen !== 1,
        on: { change: (event) => choose(event.target.checked ? calibration.temperature : 1) },
      }),
      h("span", {}, WORDS.useTemperature),
    ),
    h("ul", { class: "ft-res-keys" }, key("ft-res-key-bar", WORDS.asTrained), key("ft-res-key-mended", WORDS.mended)),
  );
}
