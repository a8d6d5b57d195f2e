// One label at a time: precision against recall, and what a threshold would do as it moves.

import { h, setText, svg } from "../base/dom.js";
import { say, WORDS } from "../words/results.js";
import { part, unitPlot } from "./figures.js";

/**
 * @param {any} figures
 * @param {(title: string, query: string) => void} show Pictures of a query.
 * @param {Record<string, number>} chosen Threshold of a label by its name, where it is not one half.
 * @param {(name: string, threshold: number) => void} choose
 */
export function thresholds(figures, show, chosen, choose) {
  const known = figures.classes.map((row, k) => ({ ...row, k })).filter((row) => row.images);
  if (!known.length) return null;
  const select = h("select", { id: "ft-res-label" }, ...known.map((row) => h("option", { value: row.k }, row.name)));
  const slider = h("input", {
    type: "range",
    id: "ft-res-threshold",
    min: 0,
    max: figures.thresholds.length - 1,
    step: 1,
  });
  const words = h("p", { class: "ft-res-threshold-words", role: "status" });
  const place = h("div");
  const button = (label, click) => h("button", { type: "button", class: "ft-res-button", on: { click } }, label);
  let row = known[0];
  let at = 0.5;
  /** @type {any} Where the threshold is on the curve. */
  let dot = null;

  const numbersAt = (i) => {
    const [predicted, right] = [row.curve.predicted[i], row.curve.right[i]];
    return {
      at: figures.thresholds[i],
      predicted,
      right,
      count: row.images,
      precision: predicted ? right / predicted : null,
      recall: right / row.images,
    };
  };
  const move = () => {
    const now = numbersAt(Number(slider.value));
    at = now.at;
    slider.setAttribute("aria-valuetext", `${Math.round(100 * at)} %`);
    setText(words, say.threshold(now));
    dot.root.setAttribute("cx", dot.across(now.recall));
    dot.root.setAttribute("cy", dot.up(now.precision ?? 1));
  };
  const pick = () => {
    row = known.find((one) => one.k === Number(select.value)) ?? known[0];
    const { root, across, up } = unitPlot(`${WORDS.labels}: ${row.name}`, "recall", "precision");
    const all = figures.thresholds.map((_, i) => numbersAt(i)).filter((one) => one.precision !== null);
    root.append(
      svg("polyline", {
        points: all.map((one) => `${across(one.recall)},${up(one.precision)}`).join(" "),
        class: "ft-res-curve",
      }),
    );
    const circle = svg("circle", { r: 6, class: "ft-res-dot" });
    root.append(circle);
    dot = { root: circle, across, up };
    place.replaceChildren(root);
    slider.value = String(figures.thresholds.findIndex((one) => one >= (chosen[row.name] ?? 0.5)));
    move();
  };
  slider.addEventListener("input", move);
  select.addEventListener("change", pick);
  pick();
  const best = () => {
    slider.value = String(figures.thresholds.indexOf(row.best_threshold));
    move();
  };
  const query = (of) => `of=${of}&label=${row.k}&at=${at}`;
  return part(
    WORDS.threshold,
    h("p", { class: "ft-quiet" }, WORDS.thresholdHelp),
    h(
      "div",
      { class: "ft-res-tools" },
      h("label", {}, h("span", {}, WORDS.label), select),
      h("label", { class: "ft-res-wide" }, h("span", {}, WORDS.threshold), slider),
    ),
    words,
    place,
    h(
      "div",
      { class: "ft-res-buttons" },
      button(WORDS.bestThreshold, best),
      button(WORDS.useThreshold, () => choose(row.name, at)),
      button(WORDS.missed, () => show(`${WORDS.missed}: ${row.name}`, query("missed"))),
      button(WORDS.false, () => show(`${WORDS.false}: ${row.name}`, query("false"))),
    ),
  );
}
