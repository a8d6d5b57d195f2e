// One drawing: a Plotly div with axes of our own, an overlay for the pointer, and zoom told to whoever listens.
//
// Knows curves only as lines of points; what they mean is said by chart.js and preview.js.

import { h } from "../base/dom.js";
import { extent, outlierBounds, upperBound } from "../base/numbers.js";
import { fade } from "../base/palette.js";
import { drawable } from "../base/ticks.js";
import { horizontal, MARGIN, steadyRange, vertical } from "./axes.js";
import { Overlay } from "./overlay.js";

const CONFIG = { displayModeBar: false, displaylogo: false, doubleClick: false, showTips: false, responsive: false };
const BLANK = { xaxis: { visible: false }, yaxis: { visible: false } }; // numbers on the axes of nothing mean nothing
const COARSE = matchMedia("(pointer: coarse)");

export class Plot {
  /**
   * `listen.zoom({x, y})`, `listen.reset()`, `listen.hover(place|null)`, `listen.key(event)`.
   *
   * @param {{ height: number, listen: ChartListener }} options
   */
  constructor({ height, listen }) {
    this.canvas = h("div", { class: "ftc-canvas" });
    this.overlay = new Overlay();
    this.element = h("div", { class: "ftc-plot", tabIndex: 0, role: "img" }, this.canvas, this.overlay.element);
    this.element.style.height = `${height}px`;
    this.listen = listen;
    /** @type {Line[]} */
    this.lines = [];
    /** @type {ChartView} None before the first drawing. */
    this.view = /** @type {any} */ (null);
    /** @type {[number, number] | null} */
    this.yRange = null;
    this.isForgotten = false;
    this.isOlder = false;
    /** @type {Plotly} None before the first drawing. */
    this.plotly = /** @type {any} */ (null);
    this.followPointer();
  }

  /** The next drawing chooses its vertical range anew; what is drawn now keeps its own. */
  forgetRange() {
    this.isForgotten = true;
  }

  get isDrawn() {
    return Boolean(this.canvas.data);
  }

  /** Whether there is nothing to draw. */
  get isEmpty() {
    return this.lines.every((line) => !line.x.length);
  }

  /** Whether more points ask for another look: a line instead of a dot, smaller markers or none. */
  get isOutgrown() {
    return this.lines.some(
      (line) => line.isSparse || (line.markerSize && this.markerSize(this.values(line).x) !== line.markerSize),
    );
  }

  /**
   * Markers are for points that the eye can tell apart.
   *
   * @param {number[]} x
   */
  markerSize(x) {
    const count = upperBound(x, this.view.range[1]) - upperBound(x, this.view.range[0]);
    return count > 80 ? 0 : count > 30 ? 4 : 6;
  }

  get size() {
    return { width: this.canvas.clientWidth, height: this.canvas.clientHeight };
  }

  // ------------------------------------------------------------------ drawing
  /**
   * Draw everything anew; false if there is no room to draw in. `view`: range, axis, epochs, kind, bounds, log, clip,
   * zoomY, palette, hidden (a Set).
   *
   * @param {Plotly} plotly
   * @param {Line[]} lines
   * @param {ChartView} view
   */
  async draw(plotly, lines, view) {
    if (!this.size.width || !this.size.height) return false;
    if (this.isForgotten || (this.view && (this.view.log !== view.log || this.view.kind !== view.kind)))
      this.yRange = null;
    this.isForgotten = false;
    this.plotly = plotly;
    this.lines = lines;
    const { range, zoomY, log } = view;
    this.view = { ...view, range: drawable(range), zoomY: zoomY && drawable(zoomY, log) };
    const isFirst = !this.isDrawn;
    this.isOlder = true; // what the canvas holds until `react` is done are the points of an earlier drawing
    const [traces, layout] = [this.traces(), this.layout()];
    this.isOlder = false;
    await plotly.react(this.canvas, traces, layout, CONFIG);
    if (isFirst) this.followZoom();
    this.placeHidden();
    return true;
  }

  /**
   * Add points to lines: [{line, x, y, lo, hi}]; the axes move only if they must.
   *
   * @param {Addition[]} additions
   */
  async extend(additions) {
    if (!this.isDrawn || !additions.length) return;
    /** @type {[number[], number[][], (number | null)[][]]} */
    const [indices, xs, ys] = [[], [], []];
    /**
     * @param {number} index
     * @param {number[]} x
     * @param {(number | null)[]} y
     */
    const put = (index, x, y) => {
      indices.push(index);
      xs.push(x);
      ys.push(y);
    };
    for (const { line, x, y, lo, hi } of additions) {
      if (line.bandAt !== undefined && lo && hi) {
        put(line.bandAt, x, lo);
        put(line.bandAt + 1, x, hi);
      }
      put(line.at ?? 0, x, y);
    }
    await this.plotly.extendTraces(this.canvas, { x: xs, y: ys }, indices);
    await this.rescale();
  }

  async rescale() {
    const before = this.yRange;
    const range = this.chooseRange();
    if (range === before) {
      this.placeHidden();
      return;
    }
    await this.plotly.relayout(this.canvas, { yaxis: this.layout().yaxis });
    this.placeHidden();
  }

  traces() {
    const bands = [];
    const mains = [];
    for (const line of this.lines) {
      const visible = !this.view.hidden.has(line.legend);
      line.isSparse = line.x.length < 2 && !line.marker;
      line.markerSize = line.isSparse ? 6 : line.marker ? this.markerSize(line.x) : 0;
      if (line.lo) {
        const edge = { x: line.x, mode: "lines", line: { width: 0 }, hoverinfo: "skip", connectgaps: true, visible };
        line.bandAt = bands.length;
        bands.push(
          { ...edge, y: line.lo },
          { ...edge, x: [...line.x], y: line.hi, fill: "tonexty", fillcolor: fade(line.color, line.fill ?? 0.16) },
        );
      }
      mains.push({
        x: [...line.x],
        y: line.y,
        name: line.id,
        visible,
        hoverinfo: "skip",
        opacity: line.opacity ?? 1,
        mode: line.markerSize ? "lines+markers" : "lines",
        line: { color: line.color, width: line.width ?? 2, dash: line.dash ?? "solid", shape: line.shape ?? "linear" },
        marker: { color: line.color, size: line.markerSize, symbol: line.symbol ?? "circle" },
      });
    }
    this.lines.forEach((line, i) => {
      line.at = bands.length + i;
    });
    return [...bands, ...mains];
  }

  layout() {
    const { view, size } = this;
    const { palette } = view;
    return {
      ...size,
      margin: { ...MARGIN, pad: 0 },
      autosize: false,
      showlegend: false,
      hovermode: false,
      dragmode: COARSE.matches ? false : "zoom",
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: palette.font, size: 11, color: palette.text },
      selectionrevision: 1,
      xaxis: horizontal(view.range, view.axis, size.width, palette, view.epochs),
      yaxis: vertical(this.chooseRange(), view, size.height, palette),
      ...(this.isEmpty ? BLANK : {}),
    };
  }

  // ------------------------------------------------------------------ vertical range
  /**
   * Values of line `i` as drawn.
   *
   * @param {Line} line
   */
  values(line) {
    const data = this.canvas.data;
    const has = !this.isOlder && data?.[line.at ?? 0]?.name === line.id;
    /**
     * @param {number | undefined} index
     * @param {any} ys
     * @param {string} name
     */
    const part = (index, ys, name) => (has && index !== undefined ? data[index][name] : ys);
    return {
      x: part(line.at, line.x, "x"),
      y: part(line.at, line.y, "y"),
      lo: part(line.bandAt, line.lo, "y"),
      hi: part(line.bandAt === undefined ? undefined : line.bandAt + 1, line.hi, "y"),
    };
  }

  chooseRange() {
    const { view } = this;
    if (view.zoomY) {
      this.yRange = view.zoomY;
      return this.yRange;
    }
    const above = view.log ? 0 : -Infinity;
    /** @type {[number, number]} */
    let found = [Infinity, -Infinity];
    for (const line of this.lines) {
      if (view.hidden.has(line.legend)) continue;
      const { x, y, lo, hi } = this.values(line);
      const [from, to] = [Math.max(0, upperBound(x, view.range[0]) - 1), upperBound(x, view.range[1]) + 1];
      const limits = view.clip && line.isClipped ? outlierBounds(y.slice(from, to)) : null;
      const own = extent(lo && !limits ? [y, lo, hi] : [y], from, to, undefined, above);
      if (limits && own[1] >= own[0]) {
        own[0] = Math.max(own[0], limits[0]);
        own[1] = Math.min(own[1], limits[1]);
      }
      found = [Math.min(found[0], own[0]), Math.max(found[1], own[1])];
    }
    this.yRange = steadyRange(this.yRange, found, view);
    return this.yRange;
  }

  /**
   * How many recorded points lie beyond the vertical range.
   *
   * @returns {[above: number, below: number]}
   */
  countHidden() {
    let [above, below] = [0, 0];
    const [low, high] = this.yRange ?? [-Infinity, Infinity];
    for (const line of this.lines) {
      if (!line.isClipped || this.view.hidden.has(line.legend)) continue;
      const { x, y, lo = y, hi = y } = this.values(line);
      for (let i = upperBound(x, this.view.range[0]); i < x.length && x[i] <= this.view.range[1]; i++) {
        if (y[i] === null) continue;
        if (hi[i] > high) above++;
        if (lo[i] < low) below++;
      }
    }
    return [above, below];
  }

  placeHidden() {
    if (!this.yRange || !this.lines.length) return;
    this.listen.hidden?.(...this.countHidden());
  }

  // ------------------------------------------------------------------ places
  /** @param {number} place */
  shareOfX(place) {
    const [from, to] = this.view.range;
    return (place - from) / (to - from);
  }

  /**
   * Distance from the top as a share of the height.
   *
   * @param {number} y
   */
  shareOfY(y) {
    const scale = this.view.log ? Math.log10 : (/** @type {number} */ v) => v;
    const [low, high] = (this.yRange ?? [0, 1]).map(scale);
    return (high - scale(y)) / (high - low);
  }

  /**
   * The point of a line at or before `place` (or the first one): {x, y}, null if it has none.
   *
   * @param {Line} line
   * @param {number} place
   */
  pointAt(line, place) {
    const { x, y } = this.values(line);
    if (!x.length) return null;
    let i = upperBound(x, place) - 1;
    if (i + 1 < x.length && (i < 0 || x[i + 1] - place < place - x[i])) i = line.marker && i >= 0 ? i : i + 1;
    return i < 0 ? null : { x: x[i], y: y[i] };
  }

  // ------------------------------------------------------------------ the user
  /** @param {PointerEvent | MouseEvent} event */
  placeUnder(event) {
    const box = this.overlay.element.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    if (share < -0.02 || share > 1.02 || !this.view) return null;
    const [from, to] = this.view.range;
    return from + Math.min(1, Math.max(0, share)) * (to - from);
  }

  followPointer() {
    this.element.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
      if (event.buttons && event.pointerType === "mouse") this.listen.hover?.(null);
      else this.listen.hover?.(this.placeUnder(event));
    });
    this.element.addEventListener("pointerleave", () => this.listen.hover?.(null));
    this.element.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.listen.key?.(event));
    this.element.addEventListener("blur", () => this.listen.hover?.(null));
  }

  /** Plotly tells the user's own zoom by single ends of a range, and ours by whole ranges. */
  followZoom() {
    this.canvas.on("plotly_doubleclick", () => this.listen.reset?.());
    this.canvas.on("plotly_relayout", (/** @type {Record<string, unknown>} */ event) => {
      /** @type {(axis: string) => [number, number] | null} */
      const range = (axis) =>
        `${axis}.range[0]` in event ? [Number(event[`${axis}.range[0]`]), Number(event[`${axis}.range[1]`])] : null;
      const x = range("xaxis");
      let y = range("yaxis");
      if (y && this.view.log) y = [10 ** y[0], 10 ** y[1]];
      if (x || y) this.listen.zoom?.({ x, y });
    });
  }

  destroy() {
    if (this.isDrawn) this.plotly.purge(this.canvas);
    this.element.remove();
  }
}
