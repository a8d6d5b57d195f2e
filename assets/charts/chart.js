// A live chart: what of the run's curves it shows, drawn once, then extended point by point.

import { h } from "../base/dom.js";
import { Smoother, smoothingSteps, wilson } from "../base/numbers.js";
import { TEXT } from "../words/live.js";
import { ChartTable } from "./chart_table.js";
import { csvOf, pictureOf } from "./export.js";
import { Frame } from "./frame.js";

export const HEIGHT = 216;

export class Chart {
  /**
   * @param {ChartBoard} board
   * @param {ChartSpec} spec
   */
  constructor(board, spec) {
    this.board = board;
    this.spec = spec;
    this.isVisible = true;
    this.isDirty = true;
    /** @type {Promise<unknown>} */
    this.drawing = Promise.resolve();
    /** @type {ChartContent} None before the first drawing. */
    this.content = /** @type {any} */ (null);
    this.frame = new Frame({
      id: spec.id,
      title: spec.title,
      kind: spec.kind,
      height: HEIGHT,
      tools: this.tools(),
      /** @type {ChartListener} */
      listen: {
        hover: (place, how) => board.hover(place, this, how),
        zoom: ({ x, y }) => board.zoom(x, y, spec.id),
        reset: () => board.resetZoom(spec.id),
        /**
         * @param {string} name
         * @param {boolean} isShown
         */
        toggle: (name, isShown) => board.settings.mark("hide", name, !isShown),
      },
    });
    this.element = this.frame.element;
    this.table = new ChartTable(this);
    this.element.append(this.table.element);
    this.watchSize();
  }

  tools() {
    /**
     * @param {string} label
     * @param {string} title
     * @param {() => void} click
     */
    const tool = (label, title, click) =>
      h("button", { type: "button", class: "ftc-tool", title, on: { click } }, label);
    this.logButton = tool(TEXT.log, TEXT.logHint, () =>
      this.board.settings.mark("log", this.spec.id, !this.board.settings.has("log", this.spec.id)),
    );
    this.tableButton = tool(TEXT.table, TEXT.tableHint, () =>
      this.board.settings.mark("table", this.spec.id, !this.board.settings.has("table", this.spec.id)),
    );
    const tools = [
      this.tableButton,
      tool(TEXT.csv, TEXT.csvHint, () => csvOf(this)),
      tool(TEXT.png, TEXT.pngHint, () => pictureOf(this)),
    ];
    return this.spec.canLog ? [this.logButton, ...tools] : tools;
  }

  /** Draw when there is a size to draw at; a chart that is out of sight waits. */
  watchSize() {
    let width = 0;
    /** @type {ResizeObserver} */
    this.sizes = new ResizeObserver(() => {
      const now = this.frame.plot.size.width;
      if (now && now !== width) {
        width = now;
        this.draw();
      }
    });
    this.sizes.observe(this.frame.plot.element);
    /** @type {IntersectionObserver} */
    this.sights = new IntersectionObserver(
      ([entry]) => {
        this.isVisible = entry.isIntersecting;
        if (this.isVisible && this.isDirty) this.draw();
      },
      { rootMargin: "200px" },
    );
    this.sights.observe(this.element);
  }

  // ------------------------------------------------------------------ drawing
  /** Draw everything anew: at a reset, another axis, smoothing, theme, size. */
  draw() {
    this.isDirty = true;
    if (!this.board.plotly || !this.isVisible) return;
    this.queue(() => this.redraw());
  }

  /**
   * Do things one after the other; one that fails is reported and drawn anew with the next.
   *
   * @param {() => unknown} task
   */
  queue(task) {
    this.drawing = this.drawing.then(task).catch((error) => {
      this.isDirty = true;
      reportError(error);
    });
  }

  async redraw() {
    if (!this.isDirty || !this.element.isConnected) return;
    this.isDirty = false;
    this.content = this.spec.content(this.board);
    const lines = this.content.lines.map((line) => this.prepare(line));
    if (!(await this.frame.plot.draw(/** @type {Plotly} */ (this.board.plotly), lines, this.view()))) {
      this.isDirty = true; // hidden: drawn when it is seen
      return;
    }
    this.decorate();
    this.frame.plot.overlay.setWaiting(this.frame.plot.isEmpty ? this.waiting : "");
  }

  /** Why there is nothing to draw: a run that has ended waits for nothing. */
  get waiting() {
    const { state } = this.board;
    return (state.status && !this.board.isActive ? null : this.content.waiting) ?? TEXT.noPoints;
  }

  /**
   * Points of a line so far; with what is needed to append to them.
   *
   * @param {LineSpec} line
   */
  prepare(line) {
    if (!line.key) return /** @type {Line} */ (line);
    const { curves } = this.board;
    /** @type {Line} */
    const prepared = { ...line, done: 0, x: [], y: [] };
    const curve = curves.get(line.key);
    if (line.smooth)
      prepared.smoother = new Smoother(smoothingSteps(this.board.settings.values.smooth, this.board.scaleOfSteps));
    if (line.interval || (curve?.lo && line.hasBand)) Object.assign(prepared, { lo: [], hi: [] });
    const points = this.points(prepared, this.board.curveFor(line.key));
    Object.assign(prepared, points);
    prepared.done = curve?.x.length ?? 0;
    return prepared;
  }

  /**
   * Points `from` on of the curve behind a line.
   *
   * @param {LineSpec & Partial<Line>} line
   * @param {Curve | undefined} curve
   */
  points(line, curve, from = 0) {
    if (!curve) return { x: [], y: [] };
    const x = this.board.curves.places(this.board.settings.values.axis, curve, from);
    let y = curve.y.slice(from);
    const { smoother, interval } = line;
    if (smoother) y = y.map((value, i) => smoother.push(curve.x[from + i], value));
    if (!line.lo) return { x, y };
    if (!interval) return { x, y, lo: curve.lo?.slice(from), hi: curve.hi?.slice(from) };
    const bands = y.map((value) => wilson(/** @type {number} */ (value), interval));
    return { x, y, lo: bands.map((band) => band[0]), hi: bands.map((band) => band[1]) };
  }

  /**
   * Add what is new in the curves `keys`.
   *
   * @param {Set<string>} keys
   */
  append(keys) {
    if (!this.isVisible || !this.board.plotly) {
      this.isDirty = true;
      return;
    }
    if (this.isDirty || this.content?.lines.some((line) => line.isRebuilt)) {
      this.draw();
      return;
    }
    this.queue(async () => {
      if (this.isDirty) return;
      const additions = [];
      for (const line of this.frame.plot.lines) {
        const curve = line.key && keys.has(line.key) ? this.board.curves.get(line.key) : null;
        if (!curve || curve.x.length <= (line.done ?? 0)) continue;
        additions.push({ line, ...this.points(line, curve, line.done) });
        line.done = curve.x.length;
      }
      if (!additions.length) return;
      if (this.frame.plot.isOutgrown) {
        this.isDirty = true;
        await this.redraw();
        return;
      }
      await this.frame.plot.extend(additions);
      this.frame.plot.overlay.setWaiting("");
      this.decorate();
    });
  }

  view() {
    const { board, spec } = this;
    const { values } = board.settings;
    return {
      range: board.range,
      epochs: board.epochGrid(),
      axis: values.axis,
      kind: this.content.kind ?? spec.kind,
      bounds: this.content.bounds,
      log: Boolean(spec.canLog) && values.log.includes(spec.id),
      clip: values.clip,
      zoomY: values.zoomY[spec.id] ?? null,
      palette: board.palette,
      hidden: new Set(values.hide),
    };
  }

  /** Everything over and around the drawing. */
  decorate() {
    const { board, frame, content, spec } = this;
    const { values } = board.settings;
    frame.setTitle(content.title);
    frame.kind = content.kind ?? spec.kind;
    frame.setLegend(content.entries.map((entry) => ({ ...entry, isHidden: values.hide.includes(entry.id) })));
    frame.setNote(content.note?.() ?? "");
    frame.showZoomed(Boolean(values.zoom || values.zoomY[spec.id]));
    this.tableButton.setAttribute("aria-pressed", String(values.table.includes(spec.id)));
    this.table.show(values.table.includes(spec.id));
    this.logButton.setAttribute("aria-pressed", String(values.log.includes(spec.id)));
    const { plot } = frame;
    plot.overlay.setMarks(
      board.marks().map((mark) => ({ ...mark, share: plot.shareOfX(mark.place) })),
      spec.id === "loss",
    );
    plot.overlay.setUnit(plot.isEmpty ? "" : board.axisLabel);
    const best = content.best?.();
    plot.overlay.setPoints(
      best ? [{ left: plot.shareOfX(best.x), top: plot.shareOfY(best.y), color: best.color }] : [],
    );
    frame.describe(content.summary?.() ?? "");
  }

  destroy() {
    this.sizes.disconnect();
    this.sights.disconnect();
    this.frame.destroy();
  }
}
