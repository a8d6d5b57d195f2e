// The charts of one run, together: one horizontal axis, one zoom, one pointer, one set of settings.

import { h, setText } from "../base/dom.js";
import { count, duration, tick } from "../base/format.js";
import { growingEnd, upperBound } from "../base/numbers.js";
import { onThemeChange, readPalette } from "../base/palette.js";
import { epochEnds } from "../base/ticks.js";
import { Chart } from "../charts/chart.js";
import { MAIN, moreSpecs } from "../charts/specs.js";
import { Toolbar } from "../charts/toolbar.js";
import { ACTIVE, learnMetrics, say, TEXT } from "../words/live.js";

/** @param {number} x */
const short = (x) => Number(x.toPrecision(6)); // as the address has it, so that a reload shows the same

export class Board {
  /**
   * `fetchDetail(keys, x0, x1)` brings finer points of a part of the run.
   *
   * @param {{ curves: import("../charts/curves.js").Curves, settings: import("../base/settings.js").Settings, fetchDetail: (keys: string[], x0: number, x1: number) => Promise<Portion[]> }} options
   */
  constructor({ curves, settings, fetchDetail }) {
    /** @type {import("../charts/curves.js").Curves} */
    this.curves = curves;
    /** @type {import("../base/settings.js").Settings} */
    this.settings = settings;
    this.fetchDetail = fetchDetail;
    /** @type {string | null} */
    this.run = null;
    this.title = "";
    /** @type {Partial<RunState>} */
    this.state = {};
    /** @type {RunFacts} */
    this.facts = {};
    /** @type {Partial<RunAbout>} */
    this.about = {};
    /** @type {Plotly | null} */
    this.plotly = null;
    /** @type {Palette} None before the theme is read. */
    this.palette = /** @type {any} */ (null);
    /** @type {[number, number]} */
    this.range = [0, 1];
    /** @type {Map<string, Portion>} Finer points of a part of a curve. */
    this.details = new Map();
    /** @type {{ place: number, chart: Chart } | null} */
    this.hovered = null;
    /** @type {number | null} */
    this.hoverFrame = null;
    /** @type {Map<string, Chart>} */
    this.charts = new Map();
    this.grid = h("div", { class: "ftl-grid" });
    this.moreGrid = h("div", { class: "ftl-grid" });
    this.more = h("details", { class: "ftl-part", "data-part": "more" }, h("summary", {}, TEXT.more), this.moreGrid);
    this.toolbar = new Toolbar(this);
    this.reading = h("p", { class: "ftl-sr", "aria-live": "polite" });
    this.element = h(
      "section",
      { class: "ftl-charts", "aria-label": TEXT.charts },
      this.toolbar.element,
      this.grid,
      this.reading,
    );
    this.more.addEventListener("toggle", () => this.syncMore());
    settings.listeners.add((changes) => this.applySettings(changes));
    this.endTheme = onThemeChange(() => this.theme());
    for (const spec of MAIN) this.addChart(spec, this.grid);
  }

  /**
   * @param {ChartSpec} spec
   * @param {HTMLElement} grid
   */
  addChart(spec, grid) {
    const chart = new Chart(this, spec);
    this.charts.set(spec.id, chart);
    grid.append(chart.element);
  }

  /** Charts under More exist while it is open; new curves bring new ones. */
  syncMore() {
    if (!this.more.open) return;
    const specs = moreSpecs(this);
    const wanted = new Set(specs.map((spec) => spec.id));
    for (const [id, chart] of this.charts) {
      if (this.moreGrid.contains(chart.element) && !wanted.has(id)) {
        chart.destroy();
        this.charts.delete(id);
      }
    }
    for (const spec of specs) if (!this.charts.has(spec.id)) this.addChart(spec, this.moreGrid);
  }

  /** @param {Plotly} plotly */
  usePlotly(plotly) {
    this.plotly = plotly;
    this.theme();
  }

  theme() {
    this.palette = readPalette(this.element);
    this.drawAll();
  }

  // ------------------------------------------------------------------ data
  /**
   * Another run: nothing of the old one is true any more.
   *
   * @param {string | null} run
   */
  setRun(run) {
    this.run = run;
    this.facts = {};
    this.about = {};
    /** @type {Partial<RunState>} */
    this.state = {};
    this.details = new Map();
    this.hovered = null;
    this.curves.clear();
    for (const chart of this.charts.values()) chart.frame.plot.forgetRange();
    this.drawAll();
  }

  /** @param {RunAbout} about */
  setAbout(about) {
    this.about = about;
    this.facts = about.facts ?? {};
    learnMetrics(this.facts.metrics);
    this.title = about.title ?? this.run;
    this.drawAll();
  }

  /**
   * New points: of `keys`, or everything if null.
   *
   * @param {Partial<RunState>} state
   * @param {Set<string> | null} keys
   */
  update(state, keys) {
    const best = String(this.state.best);
    this.state = state;
    if (keys === null) {
      this.details.clear();
      this.askDetail();
      this.syncMore();
    }
    const hasMoved = this.measure();
    if (keys === null || hasMoved) this.drawAll();
    else {
      for (const chart of this.charts.values()) {
        if (keys.size) chart.append(keys);
        if (best !== String(state.best) && chart.content) chart.queue(() => chart.decorate());
      }
    }
    this.toolbar.show();
    if (this.hovered) this.settled().then(() => this.cross());
  }

  /** Resolves when everything told so far is drawn. */
  settled() {
    return Promise.all([...this.charts.values()].map((chart) => chart.drawing));
  }

  drawAll() {
    this.measure();
    for (const chart of this.charts.values()) chart.draw();
    this.toolbar.show();
  }

  get validates() {
    return (this.facts.val_images ?? 1) > 0;
  }

  get isActive() {
    return ACTIVE.has(this.state.status ?? "");
  }

  /** Steps that smoothing is measured in: does not grow while the run does. */
  get scaleOfSteps() {
    return this.curves.total || 2 ** Math.ceil(Math.log2(Math.max(8, this.curves.lastStep)));
  }

  /**
   * Points of a curve, finer where the zoom asked for them; a curve without `lo` and `hi` holds every step already.
   *
   * @param {string} key
   */
  curveFor(key) {
    const curve = this.curves.get(key);
    const detail = this.details.get(key);
    if (!curve?.lo || !detail?.x.length) return curve;
    const [before, after] = [upperBound(curve.x, detail.x[0] - 1), upperBound(curve.x, detail.x[detail.x.length - 1])];
    /**
     * @param {any[]} all
     * @param {any[]} part
     */
    const splice = (all, part) => [...all.slice(0, before), ...part, ...all.slice(after)];
    return {
      ...curve,
      x: splice(curve.x, detail.x),
      t: splice(curve.t, detail.t),
      y: splice(curve.y, detail.y[0]),
      lo: splice(/** @type {any[]} */ (curve.lo), detail.lo?.[0] ?? detail.y[0]),
      hi: splice(/** @type {any[]} */ (curve.hi), detail.hi?.[0] ?? detail.y[0]),
    };
  }

  // ------------------------------------------------------------------ the common axis
  /** Set the range of the horizontal axis; true if it is another one. */
  measure() {
    const { curves, settings } = this;
    const { axis } = settings.values;
    const zoom = settings.values.zoom && this.partOfRun(settings.values.zoom); // an address may say anything
    const before = String(this.range);
    if (zoom) {
      this.range = [curves.placeOfStep(axis, zoom[0]), curves.placeOfStep(axis, zoom[1])];
    } else {
      const end = this.end(axis);
      this.range = [-0.006 * end, 1.015 * end];
    }
    return before !== String(this.range);
  }

  /** @param {string} axis */
  end(axis) {
    const { curves } = this;
    if (axis === "time") {
      const reached = Math.max(curves.clock.t.at(-1) ?? 0, 1);
      return this.isActive ? 15 * 2 ** Math.ceil(Math.log2(Math.max(reached / 15, 1))) : reached;
    }
    const reached = curves.lastStep;
    const steps = this.isActive || !reached ? growingEnd(reached, curves.total || reached * 1.3) : reached;
    return curves.place(axis, steps);
  }

  get axisLabel() {
    return TEXT.axisUnits[this.settings.values.axis];
  }

  /** Places of the ends of epochs, as quiet lines; none when they would be a hatching. */
  epochGrid() {
    const { perEpoch } = this.curves;
    if (!perEpoch) return [];
    const { axis } = this.settings.values;
    const [from, to] = this.range.map((place) => this.curves.stepAt(axis, place));
    const last = Math.min(to, this.curves.total || to);
    const ends = epochEnds(Math.max(from, perEpoch), last, perEpoch);
    return ends.map((step) => this.curves.placeOfStep(axis, step));
  }

  marks() {
    const { axis } = this.settings.values;
    const { best } = this.state;
    const marks = [...(this.about.marks ?? [])];
    if (best && this.curves.perEpoch)
      marks.push({
        label: TEXT.best.toLowerCase(),
        text: `${best[3]}, ${say.inEpoch(best[2])}`,
        step: best[2] * this.curves.perEpoch,
        isBest: true,
      });
    return marks.map((mark) => ({ ...mark, place: this.curves.placeOfStep(axis, mark.step) }));
  }

  // ------------------------------------------------------------------ the user
  /** @param {Partial<ChartSettings>} changes */
  applySettings(changes) {
    if ("zoom" in changes || "zoomY" in changes) this.askDetail();
    if (Object.keys(changes).every((name) => name === "run" || name === "open")) return;
    if ("axis" in changes) for (const chart of this.charts.values()) chart.frame.plot.forgetRange();
    this.drawAll();
  }

  /**
   * The user's zoom, in places; of the vertical axis only for the chart `id`.
   *
   * @param {number[] | null} x
   * @param {number[] | null} y
   * @param {string} id
   */
  zoom(x, y, id) {
    const { axis, zoomY, zoom } = this.settings.values;
    const others = Object.fromEntries(Object.entries(zoomY).filter(([other]) => other !== id));
    /** @type {Partial<ChartSettings>} */
    const changes = { zoomY: y ? { ...others, [id]: [short(y[0]), short(y[1])] } : others };
    if (x) {
      const [from, to] = x.map((place) => short(this.curves.stepAt(axis, place)));
      changes.zoom = this.partOfRun([from, to]);
    } else changes.zoom = zoom;
    this.settings.set(changes);
  }

  /**
   * The part of the run between two steps; null if it is the whole or nothing of it.
   *
   * @param {[number, number]} range
   * @returns {[number, number] | null}
   */
  partOfRun([from, to]) {
    const last = Math.max(this.curves.total, this.curves.lastStep, 1);
    const [first, end] = [Math.max(from, -0.006 * last), Math.min(to, 1.015 * last)];
    const isAll = first <= 0 && end >= last;
    return isAll || !(end - first > last * 1e-5) ? null : [first, end];
  }

  resetZoom() {
    this.settings.set({ zoom: null, zoomY: {} });
  }

  /** Finer points for the part that is shown, where the curves are thinned. */
  askDetail() {
    clearTimeout(this.detailTimer);
    const { zoom } = this.settings.values;
    const keys = [...this.curves.byKey].filter(([, curve]) => curve.level > 0).map(([key]) => key);
    if (!zoom || !keys.length) {
      this.details.clear();
      return;
    }
    this.detailTimer = setTimeout(async () => {
      const run = this.run;
      const found = await this.fetchDetail(keys, ...zoom).catch(() => null);
      if (!found || run !== this.run || zoom !== this.settings.values.zoom) return;
      this.details = new Map(found.map((entry) => [entry.keys[0], entry]));
      this.drawAll();
    }, 250);
  }

  // ------------------------------------------------------------------ the pointer
  /**
   * @param {number | null} place
   * @param {Chart} chart
   */
  hover(place, chart, { isKey = false } = {}) {
    this.hovered = place === null ? null : { place, chart };
    if (isKey && place !== null) setText(this.reading, say.reading(this.position(place), chart.frame.words(place)));
    this.hoverFrame ??= requestAnimationFrame(() => {
      this.hoverFrame = null;
      this.cross();
    });
  }

  /**
   * Read all charts at a step, as if the pointer were there; null: no longer.
   *
   * @param {number | null} step
   */
  pointAt(step) {
    const [chart] = this.charts.values();
    this.hover(step === null ? null : this.curves.placeOfStep(this.settings.values.axis, step), chart);
  }

  cross() {
    const { place, chart } = this.hovered ?? { place: null };
    const text = place === null ? "" : this.position(place);
    for (const other of this.charts.values()) other.frame.hover(place, other === chart ? text : "");
  }

  /**
   * A place in words: `step 48, epoch 3`.
   *
   * @param {number} place
   */
  position(place) {
    const { axis } = this.settings.values;
    const step = Math.max(0, Math.round(this.curves.stepAt(axis, place)));
    const epoch = this.curves.perEpoch ? Math.max(1, Math.ceil(step / this.curves.perEpoch)) : null;
    const where =
      axis === "time" ? duration(place) : axis === "epoch" ? `epoch ${tick(Number(place.toPrecision(3)))}` : null;
    return [where, `step ${count(step)}`, axis !== "epoch" && epoch ? say.inEpoch(epoch) : null]
      .filter(Boolean)
      .join(" \u00b7 ");
  }

  destroy() {
    this.endTheme();
    for (const chart of this.charts.values()) chart.destroy();
  }
}
