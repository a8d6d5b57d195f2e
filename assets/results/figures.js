// Numbers with their intervals, tables of them, and small drawings that several results share.

import { h, svg } from "../base/dom.js";
import { count, NONE, number, percent } from "../base/format.js";
import { WORDS } from "../words/results.js";

const FIRST_ROWS = 60;

/** `value` as a person reads it; `kind` is fraction or number. */
export const text = (kind, value) =>
  value === null || value === undefined ? NONE : kind === "fraction" ? percent(value) : number(value, 4);

/**
 * Value and interval: `[0.875, 0.81, 0.92]`.
 *
 * @param {string} kind
 * @param {(number | null)[]} figure
 */
export function withInterval(kind, [value, low, high]) {
  const ends = low === null || high === null ? "" : `${text(kind, low)} to ${text(kind, high)}`;
  return [
    h("span", { class: "ft-res-value" }, text(kind, value)),
    ends ? h("small", { class: "ft-res-ends" }, ends) : null,
  ].filter(Boolean);
}

/** The figures of the top line. */
export function headline(lines) {
  return h(
    "dl",
    { class: "ft-res-head" },
    ...lines.map((line) =>
      h("div", { title: line.interval }, h("dt", {}, line.label), h("dd", {}, ...withInterval(line.kind, line.value))),
    ),
  );
}

/**
 * A table of rows, sorted by a press on a column's title; long ones show their first rows.
 *
 * @param {any[]} rows
 * @param {{ key: string, label: string, kind: string, interval: string }[]} columns As the figures tell them.
 * @param {{ caption: string, onRow?: (row: any, at: number) => void }} options
 */
export function table(rows, columns, { caption, onRow }) {
  const body = h("tbody");
  let [by, falls, isWhole] = ["", true, rows.length <= FIRST_ROWS];
  const numbered = rows.map((row, at) => ({ ...row, at }));
  const all = h("button", { type: "button", class: "ft-res-button", on: { click: () => fill(true) } }, WORDS.showAll);
  const heads = columns.map(({ key, label, interval }) =>
    h(
      "th",
      { scope: "col", "aria-sort": "none", title: interval },
      h("button", { type: "button", on: { click: () => sort(key) } }, label),
    ),
  );
  const sort = (key) => {
    falls = by === key ? !falls : key !== "name";
    by = key;
    for (const [i, head] of heads.entries())
      head.setAttribute("aria-sort", columns[i].key !== by ? "none" : falls ? "descending" : "ascending");
    const of = (row) => (Array.isArray(row[key]) ? (row[key][0] ?? Number.NEGATIVE_INFINITY) : row[key]);
    numbered.sort((a, b) => (of(a) < of(b) ? -1 : of(a) > of(b) ? 1 : a.at - b.at) * (falls ? -1 : 1));
    fill(isWhole);
  };
  const fill = (whole) => {
    isWhole = whole;
    all.hidden = whole;
    body.replaceChildren(...(whole ? numbered : numbered.slice(0, FIRST_ROWS)).map((row) => line(row, columns, onRow)));
  };
  fill(isWhole);
  return h(
    "div",
    { class: "ft-res-scroll", tabIndex: 0, role: "region", "aria-label": caption },
    h("table", { class: "ft-res-table" }, h("thead", {}, h("tr", {}, ...heads)), body),
    all,
  );
}

function line(row, columns, onRow) {
  const cells = columns.map(({ key, kind }) => {
    const value = row[key];
    if (kind === "name") {
      const name = onRow
        ? h("button", { type: "button", class: "ft-res-link", on: { click: () => onRow(row, row.at) } }, value)
        : value;
      return h("th", { scope: "row" }, name);
    }
    if (Array.isArray(value)) return h("td", {}, ...withInterval(kind, value));
    return h("td", {}, typeof value === "number" && Number.isInteger(value) ? count(value) : text(kind, value));
  });
  return h("tr", {}, ...cells);
}

/** A part of the results with its title. */
export const part = (title, ...children) => h("section", { class: "ft-res-part" }, h("h3", {}, title), ...children);

/** An empty drawing from 0 to 1 both ways, with axes and their names; `across` and `up` give positions in it. */
export function unitPlot(label, x, y) {
  const [left, top, size] = [46, 8, 240];
  const across = (value) => left + value * size;
  const up = (value) => top + (1 - value) * size;
  const root = svg("svg", {
    viewBox: `0 0 ${left + size + 14} ${top + size + 40}`,
    class: "ft-res-plot",
    role: "img",
    "aria-label": label,
  });
  for (const at of [0, 0.25, 0.5, 0.75, 1]) {
    root.append(
      svg("line", { x1: across(at), x2: across(at), y1: up(0), y2: up(1), class: "ft-res-grid" }),
      svg("line", { x1: across(0), x2: across(1), y1: up(at), y2: up(at), class: "ft-res-grid" }),
      svg("text", { x: across(at), y: up(0) + 14, "text-anchor": "middle" }, `${100 * at}`),
      svg("text", { x: across(0) - 6, y: up(at) + 4, "text-anchor": "end" }, `${100 * at}`),
    );
  }
  root.append(
    svg("text", { x: across(0.5), y: up(0) + 32, "text-anchor": "middle" }, `${x}, %`),
    svg("text", { transform: `translate(12 ${up(0.5)}) rotate(-90)`, "text-anchor": "middle" }, `${y}, %`),
  );
  return { root, across, up };
}
