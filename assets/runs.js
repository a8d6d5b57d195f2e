// All runs as a table: find one, open it.

import { h, setText, statusShape, svg } from "./dom.js";
import { ago, duration, value as show } from "./format.js";
import { STATUS, metricOf } from "./text.js";
import { RUN_COLUMNS, WORDS, say } from "./words.js";

const EVERY = 3000; // ms between looks while the table is on view

export function mountRuns(element) {
  new RunsTable(element.querySelector(".ft-runs"));
}

class RunsTable {
  constructor(root) {
    this.root = root;
    this.runs = [];
    this.sort = { key: "created", up: false };
    this.search = h("input", { type: "search", class: "ft-runs-search", placeholder: WORDS.runsSearch, "aria-label": WORDS.runsSearch, on: { input: () => this.draw() } });
    this.note = h("span", { class: "ft-quiet", role: "status" }, WORDS.loading);
    this.heads = RUN_COLUMNS.map((column) =>
      h("th", { scope: "col", class: `ft-run-${column.key}` }, h("button", { type: "button", on: { click: () => this.sortBy(column.key) } }, column.label)));
    this.body = h("tbody");
    this.table = h("table", {}, h("thead", {}, h("tr", {}, ...this.heads)), this.body);
    this.empty = h("div", { class: "ft-empty", hidden: true }, h("h2", {}, WORDS.runsEmptyTitle), h("p", {}, WORDS.runsEmpty));
    root.append(h("div", { class: "ft-runs-bar" }, this.search, this.note), h("div", { class: "ft-runs-scroll" }, this.table), this.empty);
    new IntersectionObserver(([entry]) => this.watch(entry.isIntersecting)).observe(root);
    document.addEventListener("visibilitychange", () => this.isSeen && !document.hidden && this.fetch());
  }

  watch(isSeen) {
    this.isSeen = isSeen;
    clearTimeout(this.timer);
    if (isSeen) this.fetch();
  }

  async fetch() {
    clearTimeout(this.timer);
    if (!this.isSeen || document.hidden) return;
    try {
      const answer = await fetch("api/runs", { cache: "no-store" });
      if (!answer.ok) throw new Error(answer.statusText);
      this.runs = (await answer.json()).runs;
      this.draw();
    } catch {
      setText(this.note, WORDS.runsFailed);
    }
    this.timer = setTimeout(() => this.fetch(), EVERY);
  }

  sortBy(key) {
    this.sort = { key, up: this.sort.key === key ? !this.sort.up : ["title", "status", "data", "model"].includes(key) };
    this.draw();
  }

  draw() {
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const text = (run) => `${run.title} ${run.id} ${run.status} ${run.data} ${run.model} ${run.tags.join(" ")}`.toLowerCase();
    const found = this.runs.filter((run) => words.every((word) => text(run).includes(word)));
    const { key, up } = this.sort;
    found.sort((a, b) => (up ? 1 : -1) * compare(a[key], b[key]));
    const focused = this.body.contains(document.activeElement) ? document.activeElement.dataset.run : null;
    this.body.replaceChildren(...found.map((run) => row(run)));
    if (focused) this.body.querySelector(`[data-run="${CSS.escape(focused)}"]`)?.focus();
    this.heads.forEach((head, i) => {
      const isSorted = RUN_COLUMNS[i].key === key;
      if (isSorted) head.setAttribute("aria-sort", up ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
    this.empty.hidden = this.runs.length > 0;
    this.table.hidden = this.runs.length === 0;
    this.search.hidden = this.runs.length === 0;
    setText(this.note, this.runs.length === 0 ? "" : found.length ? say.runs(found.length) : WORDS.runsNoMatch);
  }
}

function compare(a, b) {
  if (a === null || b === null) return (a !== null) - (b !== null);
  return typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b;
}

function row(run) {
  const open = h("button", { type: "button", class: "ft-link", "data-run": run.id, title: run.id, on: { click: () => openRun(run.id) } }, run.title);
  const metric = run.best_key ? metricOf(run.best_key) : null;
  const best = metric ? `${show(metric.kind, run.best_value)}` : "";
  const cells = {
    title: open,
    status: h("span", { class: `ft-status ft-status-${run.status}`, title: run.problem || run.text }, statusShape(run.status), STATUS[run.status] ?? run.status),
    data: run.data,
    model: run.model,
    best_value: h("span", { title: metric ? `${metric.label}, epoch ${run.best_epoch}` : "" }, best),
    spark: spark(run),
    seconds: run.seconds ? duration(run.seconds) : "",
    created: run.created ? h("time", { datetime: new Date(run.created * 1000).toISOString(), title: new Date(run.created * 1000).toLocaleString() }, ago(Date.now() / 1000 - run.created)) : "",
  };
  const line = h("tr", { on: { click: (event) => !event.target.closest("button") && openRun(run.id) } });
  for (const { key } of RUN_COLUMNS) line.append(h("td", { class: `ft-run-${key}` }, cells[key]));
  return line;
}

export function spark(run) {
  const values = run.spark;
  if (values.length < 2) return "";
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const points = values.map((v, i) => `${((i / (values.length - 1)) * 76 + 2).toFixed(1)},${(18 - ((v - low) / (high - low || 1)) * 16).toFixed(1)}`).join(" ");
  return svg("svg", { viewBox: "0 0 80 20", class: "ft-spark", role: "img", "aria-label": `${metricOf(run.spark_key).label}: ${values[0]} to ${values.at(-1)}` },
    svg("polyline", { points, fill: "none" }));
}

/** Show a run on the first tab. */
export function openRun(id) {
  window.FTLive.show(id);
  [...document.querySelectorAll('#ft-tabs [role="tab"]')][0]?.click();
  scrollTo({ top: 0 });
}
