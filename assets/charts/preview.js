// A chart that is drawn once, not followed: the planned rate, the curve of a loss. Looks as the live charts do.
//
//   const chart = preview(element, {
//     title: "Planned learning rate",          heading; "" for none
//     kind: "rate",                            of the values: number, rate, fraction, memory, speed, count, seconds
//     axis: "step",                            of x: step, epoch, time, number
//     lines: [{ label: "head", color: "head", x: [...], y: [...] }],
//     epochs: [16, 32], marks: [{ place: 16, label: "warm-up" }],   quiet lines, and marks with words
//     range: [0, 2.5], pick: (place) => {},               values shown; hears of a click
//     zoom: [10, 20],                                     part shown at first
//     zoomed: (range) => {}, hovered: (place) => {},      charts that move together: whoever hears tells all of them
//     note: "160 steps",  height: 160,  log: false,  bounds: [0, null],  unit: "step",
//   });
//   chart.update({...});  chart.destroy();
//
// `color` is a meaning (train, validation, head, backbone, process, allocated, reserved, plan, ...) or "#rrggbb"; left
// out, lines are coloured as parameter groups. `dash` is "planned", "validation", "forecast" or an SVG dash array.

import { duration, rate, value as show, tick } from "../base/format.js";
import { groupColors, onThemeChange, readPalette } from "../base/palette.js";
import { loadPlotly } from "../base/plotly.js";
import { Frame } from "./frame.js";

/** @type {Record<string, [drawn: string, inLegend: string]>} */
const DASHES = {
  planned: ["2px,3px", "2 2.5"],
  validation: ["6px,4px", "5 3"],
  forecast: ["8px,3px,2px,3px", "7 2 2 2"],
};

const STILL = 4; // px that a press may move and still be a click
const DOUBLE = 250; // ms in which a second click makes a double one

/** @type {Required<Pick<PreviewSpec, "kind" | "axis" | "bounds" | "lines">>} */
const PLAIN = { kind: "number", axis: "number", bounds: [null, null], lines: [] };

class Preview {
  /**
   * @param {HTMLElement & { ftPreview?: Preview }} host
   * @param {PreviewSpec} spec
   */
  constructor(host, spec) {
    /** @type {Set<string>} Ids of lines. */
    this.hidden = new Set();
    /** @type {[number, number] | null} */
    this.zoom = null;
    this.isRead = false;
    this.frame = new Frame({
      id: spec.id ?? "preview",
      title: spec.title ?? "",
      kind: spec.kind ?? "number",
      height: spec.height ?? 160,
      listen: {
        /** @param {number | null} place */
        hover: (place) => this.hover(place),
        zoom: (/** @type {{ x: [number, number] | null }} */ { x }) =>
          x && (this.spec.zoomed ? this.spec.zoomed(x) : this.setZoom(x)),
        reset: () => (this.spec.zoomed ? this.spec.zoomed(null) : this.setZoom(null)),
        /**
         * @param {string} name
         * @param {boolean} isShown
         */
        toggle: (name, isShown) => {
          this.hidden[isShown ? "delete" : "add"](name);
          this.draw();
        },
      },
    });
    /** @type {PreviewSpec & typeof PLAIN} */
    this.spec = { ...PLAIN, ...spec };
    host.classList.add("ftl-host");
    host.replaceChildren(this.frame.element);
    this.endTheme = onThemeChange(() => this.draw());
    this.sizes = new ResizeObserver(() => this.draw());
    this.sizes.observe(this.frame.plot.element);
    this.followClicks();
    this.update(spec);
  }

  /** @param {PreviewSpec} spec */
  update(spec) {
    this.spec = { ...PLAIN, ...spec };
    this.zoom = this.spec.zoom ?? null;
    this.version = (this.version ?? 0) + 1; // another drawing: nothing of the old one is measured
    this.frame.kind = this.spec.kind;
    this.frame.setTitle(this.spec.title ?? "");
    this.frame.setNote(this.spec.note ?? "");
    this.frame.plot.forgetRange();
    this.draw();
  }

  /** A press that is no drag, and no first half of a double click; Plotly keeps the clicks for itself. */
  followClicks() {
    const { plot } = this.frame;
    /** @type {number | undefined} */
    let timer;
    plot.element.addEventListener("pointerdown", (/** @type {PointerEvent} */ down) => {
      clearTimeout(timer);
      if (down.button !== 0 || down.detail > 1) return;
      const ends = new AbortController();
      let isDrag = false;
      /** @param {PointerEvent} event */
      const move = (event) => {
        isDrag ||= Math.hypot(event.clientX - down.clientX, event.clientY - down.clientY) > STILL;
      };
      /** @param {PointerEvent} event */
      const up = (event) => {
        ends.abort();
        move(event);
        const place = plot.placeUnder(event);
        if (!isDrag && place !== null) timer = setTimeout(() => this.spec.pick?.(place), DOUBLE);
      };
      window.addEventListener("pointermove", move, { signal: ends.signal });
      window.addEventListener("pointerup", up, { signal: ends.signal });
      window.addEventListener("pointercancel", () => ends.abort(), { signal: ends.signal });
    });
    plot.element.addEventListener("dblclick", () => clearTimeout(timer), { capture: true });
    plot.element.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key === "Enter" && this.frame.cursor !== null) this.spec.pick?.(this.frame.cursor);
    });
  }

  /** @param {[number, number] | null} range */
  setZoom(range) {
    this.zoom = range;
    this.frame.plot.forgetRange();
    this.draw();
  }

  /** @returns {[number, number]} */
  get range() {
    if (this.zoom) return this.zoom;
    const xs = this.spec.lines.flatMap(({ x }) => (x.length ? [x[0], x[x.length - 1]] : [])).filter(Number.isFinite);
    if (!xs.length) return [0, 1];
    const [low, high] = [Math.min(...xs), Math.max(...xs)];
    return [low - (high - low) * 0.006, high + ((high - low) * 0.015 || 1)];
  }

  async draw() {
    const library = await loadPlotly().catch(() => null);
    const { frame, spec } = this;
    if (!library || !frame.element.isConnected || !frame.plot.size.width) return;
    const palette = readPalette(frame.element);
    const groups = groupColors(
      spec.lines.map((line) => line.label),
      palette,
    );
    const colors = spec.lines.map(
      (line) => palette[/** @type {keyof Palette} */ (line.color)] ?? line.color ?? groups[line.label],
    );
    const lines = spec.lines.map((line, i) => ({
      id: `line${i}.${this.version}`,
      legend: line.label,
      x: [...line.x],
      y: [...line.y],
      color: colors[i],
      isReading: true,
      dash: DASHES[line.dash ?? ""]?.[0] ?? line.dash,
      width: line.width ?? 2,
      marker: line.marker,
      opacity: line.opacity,
      ...(line.lo && line.hi ? { lo: [...line.lo], hi: [...line.hi], fill: line.fill } : {}),
    }));
    frame.plot.element.classList.toggle("ftc-pick", Boolean(spec.pick));
    const isDrawn = await frame.plot.draw(library, lines, {
      range: this.range,
      epochs: spec.epochs ?? [],
      axis: spec.axis,
      kind: spec.kind,
      bounds: spec.bounds,
      log: Boolean(spec.log),
      clip: false,
      zoomY: spec.range ?? null,
      palette,
      hidden: this.hidden,
    });
    if (!isDrawn) return;
    this.colors = colors;
    this.showLegend();
    frame.plot.overlay.setMarks(
      (spec.marks ?? []).map((mark) => ({ ...mark, share: frame.plot.shareOfX(mark.place) })),
      true,
    );
    frame.plot.overlay.setUnit(spec.unit ?? "");
    frame.showZoomed(this.zoom !== null);
    frame.describe(spec.note ?? "");
  }

  /** Names; values only while the pointer reads them, since no place of a plan is more telling than others. */
  showLegend() {
    this.frame.setLegend(
      this.spec.lines.map((line, i) => ({
        id: line.label,
        label: line.label,
        color: this.colors?.[i],
        dash: DASHES[line.dash ?? ""]?.[1] ?? line.dash,
        isHidden: this.hidden.has(line.label),
        hasValue: this.isRead,
        width: line.width,
      })),
    );
  }

  /** @param {number | null} place */
  hover(place) {
    if (this.spec.hovered) this.spec.hovered(place);
    else this.read(place);
  }

  /**
   * Show the values at a place; null: none.
   *
   * @param {number | null} place
   */
  read(place) {
    if (this.isRead !== (place !== null)) {
      this.isRead = place !== null;
      this.showLegend();
    }
    const { unit = "" } = this.spec;
    const text =
      place === null
        ? ""
        : this.spec.axis === "log10"
          ? rate(10 ** place)
          : this.spec.axis === "time"
            ? duration(place)
            : `${unit} ${this.spec.axis === "step" ? show("count", place) : tick(Number(place.toPrecision(3)))}`.trim();
    this.frame.hover(place, text);
  }

  destroy() {
    this.endTheme();
    this.sizes.disconnect();
    this.frame.destroy();
  }
}

/**
 * Draw a chart into `host`; returns {update, destroy}. Drawing again into the same host updates what is there.
 *
 * @param {HTMLElement & { ftPreview?: Preview }} host
 * @param {PreviewSpec} spec
 */
export function preview(host, spec) {
  if (host.ftPreview) host.ftPreview.update(spec);
  else host.ftPreview = new Preview(host, spec);
  return host.ftPreview;
}
