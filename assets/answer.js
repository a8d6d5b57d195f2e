// What a trained network says of a picture: bars with numbers, or what to do first; and where its weights are.

import { h } from "./dom.js";
import { number, percent } from "./format.js";
import { WORDS } from "./words.js";

const SHOWN = 8;

export function mountAnswer(element, props, trigger, watch) {
  const root = element.querySelector(".ft-answer");
  const show = () => {
    let answer = {};
    try {
      answer = JSON.parse(props.value) ?? {};
    } catch { /* nothing yet */ }
    draw(root, answer);
  };
  watch("value", show);
  show();
}

function draw(root, { message, error, prediction, weights, about }) {
  const parts = [];
  if (prediction) parts.push(...verdict(prediction));
  if (error) parts.push(h("p", { class: "ft-error", role: "alert" }, error));
  if (message) parts.push(h("p", { class: "ft-quiet" }, message));
  if (about?.epoch) parts.push(h("p", { class: "ft-quiet" }, `${about.network}, ${WORDS.epoch} ${about.epoch}`));
  if (weights) parts.push(h("p", {}, h("a", { class: "ft-download", href: weights, download: "" }, WORDS.download), h("span", { class: "ft-quiet" }, ` ${WORDS.downloadHint}`)));
  root.replaceChildren(...parts);
}

function verdict({ label, labels, probabilities, shares, numbers }) {
  const heading = (text) => h("h2", {}, text);
  if (numbers) {
    return [h("dl", { class: "ft-facts" }, ...Object.entries(numbers).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, number(value, 4))]))];
  }
  const bars = Object.entries(probabilities ?? shares ?? {}).slice(0, SHOWN);
  const title = label ?? (labels ? labels.join(", ") || WORDS.noLabel : bars[0]?.[0] ?? "");
  return [heading(title), h("ol", { class: "ft-bars" }, ...bars.map(([name, p]) => bar(name, p)))];
}

function bar(name, fraction) {
  return h("li", {},
    h("span", { class: "ft-bar-name", title: name }, name),
    h("span", { class: "ft-bar-track", "aria-hidden": "true" }, h("i", { style: `width:${(fraction * 100).toFixed(2)}%` })),
    h("span", { class: "ft-bar-value" }, percent(fraction)));
}
