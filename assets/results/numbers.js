// Numbers: predicted against true, or what is left of the difference; a press on a point shows its picture.

import { h } from "../base/dom.js";
import { rangeOf, scatterPlot } from "../charts/scatter.js";
import { WORDS } from "../words/results.js";
import { part } from "./figures.js";

/**
 * @param {any} row Of figures.numbers.
 * @param {(index: number) => void} onPoint
 */
export function scatter(row, onPoint) {
  const { index, true: truth, said } = row.points;
  const place = h("div");
  let isResidual = false;
  const draw = () =>
    place.replaceChildren(
      plot(row.name, truth, isResidual ? said.map((v, i) => v - truth[i]) : said, index, isResidual, onPoint),
    );
  const choices = [WORDS.scatter, WORDS.residuals].map((label, i) =>
    h(
      "button",
      {
        type: "button",
        class: "ft-res-choice",
        "aria-pressed": String(i === 0),
        on: {
          click: () => {
            isResidual = i === 1;
            for (const [k, button] of choices.entries()) button.setAttribute("aria-pressed", String(k === i));
            draw();
          },
        },
      },
      label,
    ),
  );
  draw();
  return part(row.name, h("div", { class: "ft-res-choices" }, ...choices), place);
}

function plot(name, xs, ys, index, isResidual, onPoint) {
  const root = scatterPlot({
    label: `${name}: ${isResidual ? WORDS.residuals : WORDS.scatter}`,
    across: WORDS.truth,
    xs,
    ys,
    x: rangeOf(xs),
    y: rangeOf(isResidual ? [...ys, 0] : [...ys, ...xs]),
    ideal: isResidual ? "zero" : "diagonal",
    index,
  });
  root.addEventListener("click", (event) => {
    const at = /** @type {SVGElement} */ (event.target).dataset?.index;
    if (at !== undefined) onPoint(Number(at));
  });
  return root;
}
