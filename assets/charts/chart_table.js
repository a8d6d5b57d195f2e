// The points of a chart as a table below it: newest first, for whoever reads rather than looks.

import { h, setText } from "../base/dom.js";
import { count, duration, NONE, value as show } from "../base/format.js";
import { metricOf, say, TEXT } from "../words/live.js";
import { tableOf } from "./export.js";

const ROWS = 100;

export class ChartTable {
  /** @param {import("./chart.js").Chart} chart */
  constructor(chart) {
    this.chart = chart;
    this.note = h("p", { class: "ftl-quiet" });
    this.body = h("tbody");
    this.head = h("tr");
    this.element = h(
      "div",
      { class: "ftc-table ftl-scroll", tabIndex: 0, role: "region", hidden: true },
      this.note,
      h("table", {}, h("thead", {}, this.head), this.body),
    );
    this.signature = "";
  }

  /**
   * Show the newest points, if `isOpen`.
   *
   * @param {boolean} isOpen
   */
  show(isOpen) {
    this.element.hidden = !isOpen;
    if (!isOpen) return;
    this.element.setAttribute("aria-label", say.tableOf(this.chart.frame.title));
    const [header, ...rows] = tableOf(this.chart);
    const signature = `${header} ${rows.length} ${this.chart.board.run} ${rows.at(-1)}`;
    if (signature === this.signature) return;
    this.signature = signature;
    setText(this.note, rows.length > ROWS ? say.newestRows(ROWS, rows.length) : rows.length ? "" : TEXT.noPoints);
    const kinds = header.map((name) => (name.includes("/") ? metricOf(name.split(" ")[0]).kind : name));
    this.head.replaceChildren(...header.map((name) => h("th", { scope: "col" }, columnTitle(name))));
    this.body.replaceChildren(
      ...rows
        .slice(-ROWS)
        .reverse()
        .map((row) =>
          h("tr", {}, ...row.map((cell, i) => h(i ? "td" : "th", i ? {} : { scope: "row" }, cellText(kinds[i], cell)))),
        ),
    );
  }
}

/** @type {Record<string, string>} */
const COLUMNS = { step: TEXT.step, epoch: TEXT.epoch, seconds: TEXT.took };

/** @param {string} name */
function columnTitle(name) {
  if (name in COLUMNS) return COLUMNS[name];
  const [key, ...part] = name.split(" ");
  const split = key.startsWith("val/") ? `${TEXT.validation} ` : "";
  return [split + metricOf(key).label, ...part].join(" ");
}

/**
 * @param {string} kind
 * @param {any} cell
 */
function cellText(kind, cell) {
  if (cell === null) return NONE;
  if (kind === "step") return count(cell);
  if (kind === "epoch") return String(Number(cell.toFixed(2)));
  return kind === "seconds" ? duration(cell) : show(kind, cell);
}
