// The confusion matrix: a table of buttons while its cells can be told apart, beyond that a picture that can be pressed.

import { h } from "../base/dom.js";
import { count, percent } from "../base/format.js";
import { readPalette } from "../base/palette.js";
import { say, WORDS } from "../words/results.js";
import { part } from "./figures.js";

const MOST_BUTTONS = 24; // classes
const MOST_PAIRS = 12;

/**
 * @param {{ names: string[], confusion: { order: number[], cells: [number, number, number][] } }} figures
 * @param {(truth: number, said: number, n: number) => void} onCell
 */
export function matrix({ names, confusion: { order, cells } }, onCell) {
  const found = new Map(cells.map(([truth, said, n]) => [truth * names.length + said, n]));
  const totals = new Map();
  for (const [truth, , n] of cells) totals.set(truth, (totals.get(truth) ?? 0) + n);
  const at = (truth, said) => found.get(truth * names.length + said) ?? 0;
  const grid = h("div", { class: "ft-res-matrix", tabIndex: 0, role: "region", "aria-label": WORDS.confusion });
  let isShares = false;
  const draw = () =>
    grid.replaceChildren(
      names.length <= MOST_BUTTONS
        ? buttons({ names, order, at, totals, isShares, onCell })
        : heat(grid, { names, order, cells, totals, onCell }),
    );
  const choices = [WORDS.counts, WORDS.shares].map((label, i) =>
    h(
      "button",
      { type: "button", class: "ft-res-choice", "aria-pressed": String(i === 0), on: { click: () => choose(i) } },
      label,
    ),
  );
  const choose = (i) => {
    isShares = i === 1;
    for (const [k, button] of choices.entries()) button.setAttribute("aria-pressed", String(k === i));
    draw();
  };
  draw();
  return part(
    WORDS.confusion,
    h("p", { class: "ft-quiet" }, WORDS.confusionHelp),
    names.length <= MOST_BUTTONS ? h("div", { class: "ft-res-choices" }, ...choices) : null,
    grid,
    names.length > 2 ? pairs(names, cells, onCell) : null,
  );
}

function buttons({ names, order, at, totals, isShares, onCell }) {
  const strongest = Math.max(1, ...totals.values());
  const row = (truth) =>
    h(
      "tr",
      {},
      h("th", { scope: "row", title: names[truth] }, names[truth]),
      ...order.map((said) => {
        const n = at(truth, said);
        const share = n / Math.max(1, totals.get(truth) ?? 0);
        const strength = isShares ? share : n / strongest;
        const words = say.cell(n, names[truth], names[said]);
        const look = `--ft-strength:${(100 * Math.sqrt(strength)).toFixed(0)}%`;
        return h(
          "td",
          {},
          h(
            "button",
            {
              type: "button",
              class: `ft-res-cell${truth === said ? " ft-res-right" : ""}${strength > 0.45 ? " ft-res-strong" : ""}`,
              style: look,
              title: words,
              "aria-label": words,
              disabled: n === 0,
              on: { click: () => onCell(truth, said, n) },
            },
            n === 0 ? "" : isShares ? percent(share) : count(n),
          ),
        );
      }),
    );
  const head = h(
    "tr",
    {},
    h("td"),
    ...order.map((said) => h("th", { scope: "col", title: names[said] }, h("span", {}, names[said]))),
  );
  return h("table", {}, h("thead", {}, head), h("tbody", {}, ...order.map(row)));
}

/** One pixel or more a cell; keyboard and screen reader have the list of pairs. */
function heat(element, { names, order, cells, totals, onCell }) {
  const size = names.length;
  const canvas = h("canvas", {
    class: "ft-res-heat",
    width: size,
    height: size,
    role: "img",
    "aria-label": WORDS.confusion,
  });
  const place = new Map(order.map((k, i) => [k, i]));
  const palette = readPalette(element.isConnected ? element : document.body);
  const context = canvas.getContext("2d");
  for (const [truth, said, n] of cells) {
    context.globalAlpha = 0.25 + 0.75 * Math.sqrt(n / totals.get(truth));
    context.fillStyle = truth === said ? palette.train : palette.validation;
    context.fillRect(place.get(said), place.get(truth), 1, 1);
  }
  const near = (event) => {
    const box = canvas.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * size;
    const y = ((event.clientY - box.top) / box.height) * size;
    const far = ([truth, said]) => Math.hypot(place.get(said) + 0.5 - x, place.get(truth) + 0.5 - y);
    return cells.reduce((best, cell) => (far(cell) < far(best) ? cell : best));
  };
  canvas.addEventListener("click", (event) => onCell(...near(event)));
  canvas.addEventListener("pointermove", (event) => {
    const [truth, said, n] = near(event);
    canvas.title = say.cell(n, names[truth], names[said]);
  });
  return canvas;
}

function pairs(names, cells, onCell) {
  const wrong = cells.filter(([truth, said]) => truth !== said).sort((a, b) => b[2] - a[2]);
  const items = wrong
    .slice(0, MOST_PAIRS)
    .map(([truth, said, n]) =>
      h(
        "li",
        {},
        h(
          "button",
          { type: "button", class: "ft-res-link", on: { click: () => onCell(truth, said, n) } },
          say.pair(n, names[truth], names[said]),
        ),
      ),
    );
  return h(
    "div",
    {},
    h("h4", {}, WORDS.pairs),
    items.length ? h("ul", { class: "ft-res-pairs" }, ...items) : h("p", { class: "ft-quiet" }, WORDS.noPairs),
  );
}
