// Numbers: predicted against true, or what is left of the difference; a press on a point shows its picture.

import { h, svg } from "../base/dom.js";
import { number } from "../base/format.js";
import { WORDS } from "../words/results.js";
import { part } from "./figures.js";

const [WIDTH, HEIGHT, LEFT, BELOW] = [420, 300, 58, 40];

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
  const range = (values) => {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const more = (high - low || 1) * 0.05;
    return [low - more, high + more];
  };
  const [x0, x1] = range(xs);
  const [y0, y1] = isResidual ? range([...ys, 0]) : range([...ys, ...xs]);
  const across = (v) => LEFT + ((v - x0) / (x1 - x0)) * (WIDTH - LEFT - 10);
  const up = (v) => 8 + (1 - (v - y0) / (y1 - y0)) * (HEIGHT - BELOW - 8);
  const label = `${name}: ${isResidual ? WORDS.residuals : WORDS.scatter}`;
  const root = svg("svg", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    class: "ft-res-plot ft-res-plot-wide",
    role: "img",
    "aria-label": label,
  });
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    const [x, y] = [x0 + share * (x1 - x0), y0 + share * (y1 - y0)];
    root.append(
      svg("line", { x1: across(x), x2: across(x), y1: up(y0), y2: up(y1), class: "ft-res-grid" }),
      svg("line", { x1: across(x0), x2: across(x1), y1: up(y), y2: up(y), class: "ft-res-grid" }),
      svg("text", { x: across(x), y: up(y0) + 14, "text-anchor": "middle" }, number(x)),
      svg("text", { x: across(x0) - 6, y: up(y) + 4, "text-anchor": "end" }, number(y)),
    );
  }
  const [from, to] = isResidual ? [0, 0] : [Math.max(x0, y0), Math.min(x1, y1)];
  root.append(
    isResidual
      ? svg("line", { x1: across(x0), x2: across(x1), y1: up(0), y2: up(0), class: "ft-res-ideal" })
      : svg("line", { x1: across(from), y1: up(from), x2: across(to), y2: up(to), class: "ft-res-ideal" }),
    svg("text", { x: across((x0 + x1) / 2), y: HEIGHT - 6, "text-anchor": "middle" }, WORDS.truth),
    ...xs.map((x, i) =>
      svg("circle", { cx: across(x), cy: up(ys[i]), r: 3.2, class: "ft-res-point", "data-index": index[i] }),
    ),
  );
  root.addEventListener("click", (event) => {
    const at = /** @type {SVGElement} */ (event.target).dataset?.index;
    if (at !== undefined) onPoint(Number(at));
  });
  return root;
}
