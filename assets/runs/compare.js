// Runs side by side: their curves over each other, the settings in which they differ, the best that each reached.

import { h, setText, swatch } from "../base/dom.js";
import { duration, NONE, value as show } from "../base/format.js";
import { Smoother, smoothingSteps } from "../base/numbers.js";
import { addressOf, ask } from "../base/poller.js";
import { fromQuery } from "../base/settings.js";
import { Curves } from "../charts/curves.js";
import { preview } from "../charts/preview.js";
import { ACTIVE, CHART_TITLES, metricOf, metricTitle, STATUS, TEXT } from "../words/live.js";
import { say, WORDS } from "../words/runs.js";

// Okabe-Ito by their names in palette.js, so that they follow the theme, in an order in which neighbours differ in
// lightness too; each with a dash of its own
const LOOKS = [
  ["train", ""],
  ["validation", "6px,4px"],
  ["head", "2px,3px"],
  ["backbone", "9px,3px,2px,3px"],
  ["process", ""],
  ["reserved", "6px,4px"],
  ["device", "2px,3px"],
  ["text", "9px,3px,2px,3px"],
];
/** @param {number} i */
const sample = (i) => swatch({ color: `var(--ftl-${LOOKS[i][0]})`, dash: LOOKS[i][1] });
/** @typedef {{ curves: Curves, cursor: string, state: RunState | null }} Held What the page holds of a run. */

const FIRST = ["train/loss", "val/loss"];
const LAST = /^(train\/lr|memory\/|train\/(images_per_second|grad_norm))/;
const EVERY = 3000;

/** Ids in the address: `?compare=a,b`. */
export const comparedIds = () => (new URLSearchParams(location.search).get("compare") ?? "").split(",").filter(Boolean);

export class Comparison {
  /**
   * `closed()` hears that the user is done.
   *
   * @param {{ closed: () => void }} options
   */
  constructor({ closed }) {
    this.closed = closed;
    /** @type {string[]} */
    this.ids = [];
    /** @type {Held[]} */
    this.held = [];
    /** @type {Compared} None before the first answer. */
    this.about = /** @type {any} */ (null);
    this.turn = 0;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    /** @type {ChartSettings["axis"]} */
    this.axis = "step";
    /** @type {[number, number] | null} */
    this.zoom = null;
    this.title = h("h2", {});
    this.axes = /** @type {[ChartSettings["axis"], string][]} */ (Object.entries(TEXT.axes)).map(([axis, label]) =>
      h(
        "button",
        { type: "button", class: "ftl-choice", "data-axis": axis, on: { click: () => this.setAxis(axis) } },
        label,
      ),
    );
    const close = h(
      "button",
      { type: "button", class: "ft-runs-button", on: { click: () => this.close() } },
      WORDS.close,
    );
    this.legend = h("ul", { class: "ft-compare-runs" });
    this.message = h("p", { class: "ft-quiet", role: "status" });
    this.grid = h("div", { class: "ft-compare-grid" });
    this.moreGrid = h("div", { class: "ft-compare-grid" });
    this.more = h(
      "details",
      { class: "ft-compare-more", on: { toggle: () => this.more.open && this.draw() } },
      h("summary", {}, WORDS.more),
      this.moreGrid,
    );
    this.tables = h("div", { class: "ft-compare-tables" });
    this.element = h(
      "section",
      { class: "ft-compare ftl", hidden: true, "aria-label": WORDS.compare },
      h(
        "div",
        { class: "ft-compare-bar" },
        this.title,
        h("div", { class: "ftl-choices", role: "group", "aria-label": WORDS.axis }, ...this.axes),
        close,
      ),
      this.legend,
      this.message,
      this.grid,
      this.tables,
      this.more,
    );
    this.hosts = new Map();
  }

  /** @param {string[]} ids */
  show(ids) {
    this.ids = [...new Set(ids)];
    this.held = this.ids.map(() => ({ curves: new Curves(), cursor: "", state: null }));
    this.zoom = null;
    this.hosts.clear();
    for (const grid of [this.grid, this.moreGrid]) grid.replaceChildren();
    this.tables.replaceChildren();
    this.element.hidden = false;
    setText(this.title, say.comparing(this.ids.length));
    setText(this.message, WORDS.comparing);
    this.writeAddress();
    this.element.scrollIntoView({ block: "start" });
    this.turn += 1;
    return this.load(this.turn);
  }

  close() {
    this.turn += 1;
    clearTimeout(this.timer);
    this.ids = [];
    this.element.hidden = true;
    this.writeAddress();
    this.closed();
  }

  writeAddress() {
    const query = new URLSearchParams(location.search);
    if (this.ids.length) query.set("compare", this.ids.join(","));
    else query.delete("compare");
    const text = query.toString().replaceAll("%2C", ",").replaceAll("%7E", "~").replaceAll("%3A", ":");
    history.replaceState(history.state, "", location.pathname + (text ? `?${text}` : "") + location.hash);
  }

  // ------------------------------------------------------------------ asking
  /** @param {number} turn */
  async load(turn) {
    const query = new URLSearchParams(this.ids.map((id) => ["run", id]));
    try {
      const about = await ask(`api/compare?${query}`);
      if (turn !== this.turn) return;
      this.about = about;
      this.showLegend();
      this.showTables();
      await this.follow(turn);
    } catch (error) {
      if (turn === this.turn) setText(this.message, say.didNot(WORDS.compare, error.message));
    }
  }

  /**
   * Fetch what is new of each run; again while one is at work and the page is looked at.
   *
   * @param {number} turn
   */
  async follow(turn) {
    if (!document.hidden && this.element.offsetParent) {
      const isReading = (await Promise.all(this.ids.map((id, i) => this.fetch(id, this.held[i])))).includes(true);
      if (turn !== this.turn) return;
      setText(this.message, isReading ? WORDS.reading : "");
      this.draw();
    }
    const isOver = this.held.every(({ state }) => state && !ACTIVE.has(state.status));
    if (!isOver) this.timer = setTimeout(() => this.follow(turn).catch(() => this.follow(turn)), EVERY);
  }

  /**
   * @param {string} id
   * @param {Held} held
   */
  async fetch(id, held) {
    const answer = await ask(`api/live?run=${encodeURIComponent(id)}&since=${encodeURIComponent(held.cursor)}`);
    if (answer.reading !== undefined) return true;
    if (held.curves.isTooCoarse(answer)) held.cursor = "";
    else {
      held.curves.take(answer);
      Object.assign(held, { cursor: answer.cursor, state: answer.state });
    }
    return false;
  }

  // ------------------------------------------------------------------ showing
  /** Names that tell the runs apart. */
  names() {
    const titles = this.about.runs.map((run) => run.title);
    return this.about.runs.map(
      (run, i) =>
        (titles.indexOf(run.title) === titles.lastIndexOf(run.title)
          ? run.title
          : `${run.title} (${run.id.slice(-4)})`) || `run ${i + 1}`,
    );
  }

  showLegend() {
    const names = this.names();
    this.legend.replaceChildren(
      ...this.about.runs.map((run, i) =>
        h(
          "li",
          {},
          sample(i),
          h("strong", {}, names[i]),
          h(
            "span",
            { class: "ft-quiet" },
            [STATUS[run.status], run.model, duration(run.seconds)].filter(Boolean).join(" \u00b7 "),
          ),
        ),
      ),
    );
  }

  keys() {
    const all = [...new Set(this.held.flatMap(({ curves }) => curves.keys("")))];
    const metrics = this.about.metrics.map((row) => row.key).filter((key) => !FIRST.includes(key));
    const rest = all
      .filter((key) => !FIRST.includes(key) && !metrics.includes(key))
      .sort((a, b) => Number(LAST.test(a)) - Number(LAST.test(b)));
    return [...FIRST, ...metrics, ...rest].filter((key) => all.includes(key));
  }

  /** @param {ChartSettings["axis"]} axis */
  setAxis(axis) {
    this.axis = axis;
    this.zoom = null;
    this.draw();
  }

  draw() {
    for (const button of this.axes) button.setAttribute("aria-pressed", String(button.dataset.axis === this.axis));
    const keys = this.keys();
    if (!keys.length) setText(this.message, WORDS.noCurves);
    for (const key of keys) {
      const isMain = key.startsWith("val/") || FIRST.includes(key);
      if (!isMain && !this.more.open) continue;
      if (!this.hosts.has(key)) {
        const host = h("div", { class: "ft-compare-chart" });
        this.hosts.set(key, host);
        (isMain ? this.grid : this.moreGrid).append(host);
      }
      preview(this.hosts.get(key), this.spec(key));
    }
  }

  /** @param {string} key */
  spec(key) {
    const metric = metricOf(key);
    const names = this.names();
    const isStep = key.startsWith("train/") && !key.startsWith("train/lr");
    const { smooth } = fromQuery(location.search);
    const lines = this.held.map(({ curves }, i) => {
      const curve = curves.get(key);
      if (!curve) return null;
      const smoother = new Smoother(isStep ? smoothingSteps(smooth, curves.total || curves.lastStep) : 0);
      return {
        label: names[i],
        color: LOOKS[i][0],
        dash: LOOKS[i][1] || undefined,
        marker: !isStep && curve.x.length < 40,
        width: 1.75,
        x: curves.places(this.axis, curve),
        y: curve.y.map((y, at) => smoother.push(curve.x[at], y)),
      };
    });
    const title = titleOf(key);
    return {
      id: key,
      title: title.charAt(0).toUpperCase() + title.slice(1),
      kind: metric.kind,
      bounds: metric.bounds,
      axis: this.axis,
      unit: TEXT.axisUnits[this.axis],
      height: 190,
      lines: lines.filter((line) => line !== null),
      note: isStep && smooth > 0 ? WORDS.smoothed : "",
      zoom: this.zoom,
      /** @param {[number, number] | null} range */
      zoomed: (range) => {
        this.zoom = range;
        for (const host of this.hosts.values()) host.ftPreview?.setZoom(range);
      },
      /** @param {number | null} place */
      hovered: (place) => {
        for (const host of this.hosts.values()) host.ftPreview?.read(place);
      },
    };
  }

  /** The pictures on which one of two runs is right and the other wrong. */
  differing() {
    const { runs, paired } = this.about;
    const names = this.names();
    return [1, 0].flatMap((place) => {
      const rows = (paired?.pictures ?? []).filter(({ right }) => right === place);
      if (!rows.length) return [];
      const all = (place ? paired?.only_other : paired?.only_one) ?? rows.length;
      const items = rows.map(({ index, true: truth, said }) =>
        h(
          "li",
          {},
          h("figure", {}, pictureOf(runs[0].id, index[0]), h("figcaption", {}, say.taken(truth, said[1 - place]))),
        ),
      );
      const heading = h("h3", {}, say.onlyRight(names[place], all, rows.length));
      return [h("section", { class: "ft-compare-differ" }, heading, h("ul", {}, ...items))];
    });
  }

  showTables() {
    const { runs, settings, metrics, repeats, paired } = this.about;
    const names = this.names();
    const heads = names.map((name, i) => h("th", { scope: "col" }, sample(i), name));
    /**
     * @param {string} title
     * @param {HTMLElement[]} rows
     */
    const table = (title, rows) =>
      h(
        "section",
        {},
        h("h3", {}, title),
        h(
          "div",
          { class: "ftl-scroll", tabIndex: 0, role: "region", "aria-label": title },
          h(
            "table",
            {},
            h("thead", {}, h("tr", {}, h("td"), ...heads.map((head) => head.cloneNode(true)))),
            h("tbody", {}, ...rows),
          ),
        ),
      );
    /**
     * @param {string} label
     * @param {string} hint
     * @param {HTMLElement[]} cells
     */
    const row = (label, hint, cells) => h("tr", {}, h("th", { scope: "row", title: hint }, label), ...cells);
    const differing = settings.map(({ path, label, values }) =>
      row(
        label,
        path,
        values.map((value) => h("td", {}, plain(value))),
      ),
    );
    const reached = metrics.map(({ key, label, kind, best, epochs, higher_is_better: higher }) => {
      const finite = best.filter((value) => value !== null);
      const top = higher ? Math.max(...finite) : Math.min(...finite);
      return row(
        label,
        key,
        best.map((value, i) =>
          h(
            "td",
            {},
            ...(value === null ? [NONE] : bestCell(kind, value, epochs[i] ?? 0, value === top && runs.length > 1)),
          ),
        ),
      );
    });
    const took = row(
      TEXT.took,
      "",
      runs.map((run) => h("td", {}, duration(run.seconds))),
    );
    const said = [
      ...(paired ? [paired.sentence] : []),
      ...repeats.map(({ key, label, mean, sd, count }) =>
        say.repeats(label, show(metricOf(key).kind, mean), show(metricOf(key).kind, sd), count),
      ),
    ];
    this.tables.replaceChildren(
      ...said.map((sentence) => h("p", { class: "ft-compare-said" }, sentence)),
      ...this.differing(),
      table(WORDS.best, [...reached, took]),
      differing.length ? table(WORDS.differ, differing) : h("p", { class: "ft-quiet" }, WORDS.same),
    );
  }
}

/**
 * A picture of a run's results; what cannot be shown says so in its place.
 *
 * @param {string} run
 * @param {number} index
 */
function pictureOf(run, index) {
  const address = addressOf(`api/runs/${encodeURIComponent(run)}/results/val-best/picture/${index}?side=small`);
  const image = h("img", { src: String(address), alt: "", loading: "lazy", decoding: "async" });
  image.addEventListener("error", () => image.replaceWith(h("span", { class: "ft-quiet" }, WORDS.gone)));
  return image;
}

/**
 * A heading: `Validation accuracy`, `Learning rate: head`.
 *
 * @param {string} key
 */
function titleOf(key) {
  const { label } = metricOf(key);
  if (key.startsWith("val/")) return `${TEXT.validation} ${label}`;
  if (key.startsWith("train/lr/")) return `${TEXT.learning}: ${label}`;
  if (key.startsWith("memory/")) return `${CHART_TITLES.memory}: ${label}`;
  return key === "train/loss" ? TEXT.trainLoss : metricTitle(key);
}

/**
 * @param {string} kind
 * @param {number} value
 * @param {number} epoch
 * @param {boolean} isBest
 */
function bestCell(kind, value, epoch, isBest) {
  const text = show(kind, value);
  const where = h("span", { class: "ft-quiet" }, ` epoch ${epoch}`);
  return isBest ? [h("strong", { title: WORDS.bestMark }, `\u2605 ${text}`), where] : [text, where];
}

/** @param {unknown} value */
function plain(value) {
  if (value === null || value === undefined || value === "") return NONE;
  return Array.isArray(value) ? value.join(", ") : typeof value === "boolean" ? (value ? "yes" : "no") : String(value);
}
