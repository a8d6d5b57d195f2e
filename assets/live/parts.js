// Below the charts: what was said during the run, and its numbers as a table.

import { h, setText } from "../base/dom.js";
import { count, duration, NONE, percent, value as show } from "../base/format.js";
import { upperBound } from "../base/numbers.js";
import { inLabels } from "../words/labels.js";
import { metricOf, metricTitle, say, TEXT } from "../words/live.js";

const ROWS = 200; // newest epochs in the table; the CSV of a chart has all
/** @type {Record<string, string>} */
const LEVELS = { info: "Info", warning: "Warning", error: "Error", mark: "Mark" };
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });

export class Events {
  constructor() {
    this.list = h("ol", { class: "ftl-events", reversed: true });
    this.none = h("p", { class: "ftl-quiet" }, TEXT.noEvents);
    this.count = h("span", { class: "ftl-count" });
    this.element = h(
      "details",
      { class: "ftl-part", "data-part": "events" },
      h("summary", {}, TEXT.events, this.count),
      this.none,
      this.list,
    );
  }

  /**
   * Messages and marks, newest first; last what was noticed before the first step.
   *
   * @param {Message[]} messages
   * @param {Mark[]} marks
   * @param {string[]} notices
   */
  show(messages = [], marks = [], notices = []) {
    /** @type {{ time?: number, level: string, text: string, step?: number }[]} */
    const rows = [
      ...messages.map(({ time, level, text, step }) => ({ time, level, text, step })),
      ...marks.map(({ label, text, step, time, is_ghost: isGhost }) => {
        const words = text ? `${label}: ${text}` : label;
        return { time, level: "mark", text: isGhost ? say.ghost(words) : words, step };
      }),
      ...notices.map((text) => ({ level: "info", text })),
    ];
    rows.sort((a, b) => (b.step ?? -1) - (a.step ?? -1) || (b.time ?? 0) - (a.time ?? 0));
    this.none.hidden = rows.length > 0;
    setText(this.count, rows.length ? count(rows.length) : "");
    this.list.replaceChildren(
      ...rows.map(({ time, level, text, step }) =>
        h(
          "li",
          { "data-level": level },
          h("span", { class: "ftl-level" }, LEVELS[level] ?? level),
          h("span", { class: "ftl-text" }, inLabels(text)),
          h(
            "span",
            { class: "ftl-when" },
            [step !== null && step !== undefined ? `step ${count(step)}` : "", time ? clock.format(time * 1000) : ""]
              .filter(Boolean)
              .join(" \u00b7 "),
          ),
        ),
      ),
    );
  }
}

/** Where the time went: a bar of shares, each named with its percent, and what follows from it. */
export class TimeSpent {
  constructor() {
    this.text = h("p", { class: "ftl-quiet" });
    this.bar = h("div", { class: "ftl-time-bar", "aria-hidden": "true" });
    this.list = h("ul", { class: "ftl-time-list" });
    this.element = h(
      "details",
      { class: "ftl-part", "data-part": "time", hidden: true },
      h("summary", {}, TEXT.time),
      this.bar,
      this.list,
      this.text,
    );
  }

  /** @param {TimeShares | null} time */
  show(time = null) {
    this.element.hidden = !time;
    if (!time) return;
    setText(this.text, inLabels(time.text));
    this.bar.replaceChildren(
      ...time.shares.map(({ part, share }) => h("span", { "data-time": part, style: `flex-grow: ${share}` })),
    );
    this.list.replaceChildren(
      ...time.shares.map(({ part, label, share, seconds }) =>
        h("li", { "data-time": part, title: duration(seconds) }, `${label} ${percent(share)}`),
      ),
    );
  }
}

/** One row per epoch: the mean training loss, what validation said, the rates at its end, the most memory, the time. */
export class Table {
  /** @param {import("../charts/curves.js").Curves} curves */
  constructor(curves) {
    this.curves = curves;
    this.body = h("div", { class: "ftl-scroll", tabIndex: 0, role: "region", "aria-label": TEXT.table });
    this.element = h(
      "details",
      { class: "ftl-part", "data-part": "table", on: { toggle: () => this.show() } },
      h("summary", {}, TEXT.table),
      this.body,
    );
    this.signature = "";
  }

  show() {
    if (!this.element.open) return;
    const rows = this.rows();
    const signature = JSON.stringify(rows);
    if (signature === this.signature) return;
    this.signature = signature;
    if (rows.length < 2) {
      this.body.replaceChildren(h("p", { class: "ftl-quiet" }, TEXT.noRows));
      return;
    }
    const [header, ...lines] = rows;
    this.body.replaceChildren(
      h(
        "table",
        {},
        h("thead", {}, h("tr", {}, ...header.map((name) => h("th", { scope: "col" }, name)))),
        h(
          "tbody",
          {},
          ...lines.map(([first, ...rest]) =>
            h("tr", {}, h("th", { scope: "row" }, first), ...rest.map((cell) => h("td", {}, cell))),
          ),
        ),
      ),
    );
  }

  rows() {
    const { curves } = this;
    if (!curves.perEpoch) return [];
    const epochs = Math.floor(curves.lastStep / curves.perEpoch);
    const columns = tableKeys(curves).map((key) => ({ key, ...columnOf(key) }));
    const header = [TEXT.epoch, TEXT.step, ...columns.map(({ title }) => title), TEXT.took];
    const rows = [];
    for (let epoch = epochs; epoch >= Math.max(1, epochs - ROWS + 1); epoch--) {
      const [from, to] = [(epoch - 1) * curves.perEpoch, epoch * curves.perEpoch];
      const cells = columns.map(({ key, kind, of }) => {
        const value = of(part(curves.get(key), from, to));
        return value === undefined || value === null ? NONE : show(kind, value);
      });
      rows.push([count(epoch), count(to), ...cells, duration(curves.placeOfStep("time", to))]);
    }
    return [header, ...rows];
  }
}

/**
 * The curves worth a column, what matters most first; of many parameter groups only the first and the last.
 *
 * @param {import("../charts/curves.js").Curves} curves
 */
function tableKeys(curves) {
  const rates = curves.keys("train/lr");
  const ends = rates.length > 3 ? [rates[0], rates[rates.length - 1]] : rates;
  const first = ["train/loss", "val/loss"].filter((key) => curves.get(key));
  const chosen = [
    ...first,
    ...curves.keys("val/"),
    ...ends,
    "train/images_per_second",
    ...curves.keys("memory/"),
    ...curves.keys("train/"),
  ];
  /** @param {string} key */
  const isLeft = (key) => key.startsWith("train/lr") && !ends.includes(key);
  return [...new Set(chosen)].filter((key) => curves.get(key) && !isLeft(key));
}

/**
 * Values of the points of `curve` in (from, to].
 *
 * @param {Curve | undefined} curve
 * @param {number} from
 * @param {number} to
 */
function part(curve, from, to) {
  if (!curve) return [];
  return curve.y.slice(upperBound(curve.x, from), upperBound(curve.x, to)).filter((y) => y !== null);
}

/** @param {number[]} ys */
const last = (ys) => ys.at(-1);
/** @param {number[]} ys */
const most = (ys) => (ys.length ? ys.reduce((a, b) => Math.max(a, b)) : undefined);
/** @param {number[]} ys */
const mean = (ys) => (ys.length ? ys.reduce((sum, y) => sum + y, 0) / ys.length : undefined);

/** @param {string} key */
function columnOf(key) {
  const { kind, label } = metricOf(key);
  if (key.startsWith("train/lr")) return { kind, of: last, title: `Rate ${label}` };
  if (key.startsWith("memory/")) return { kind, of: most, title: `Memory ${label}` };
  if (key === "train/loss") return { kind, of: mean, title: "Train loss" };
  if (key === "val/loss") return { kind, of: last, title: "Validation loss" };
  return { kind, of: key.startsWith("val/") ? last : mean, title: metricTitle(key) };
}
