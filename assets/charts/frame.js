// The frame around a drawing: heading, note, tools, legend, the drawing, and reading it by pointer or keyboard.
// Used by the live charts and by the previews, so that both look and behave the same.

import { h, setText, toggle } from "../base/dom.js";
import { value as show } from "../base/format.js";
import { say, TEXT } from "../words/live.js";
import { Legend } from "./legend.js";
import { Plot } from "./plot.js";

export class Frame {
  /**
   * @param {{ id: string, title: string, kind: string, height: number, tools?: HTMLElement[], listen: any }} options `kind`
   *   of its values; `listen` hears hover(place), zoom, reset, toggle(legend id, isShown).
   */
  constructor({ id, title, kind, height, tools = [], listen }) {
    this.title = title;
    this.kind = kind;
    this.listen = listen;
    this.note = h("span", { class: "ftc-note" });
    this.resetButton = h(
      "button",
      {
        type: "button",
        class: "ftc-tool ftc-reset",
        title: TEXT.reset,
        hidden: true,
        on: { click: () => listen.reset?.() },
      },
      TEXT.resetShort,
    );
    this.heading = h("h3", { class: "ftc-title" }, title);
    this.legend = new Legend(title, (name, isShown) => listen.toggle?.(name, isShown));
    this.plot = new Plot({
      height,
      listen: {
        ...listen /** @param {KeyboardEvent} event */,
        key: (event) => this.key(event) /**
         * @param {number} above
         * @param {number} below
         */,
        hidden: (above, below) => this.showHidden(above, below),
      },
    });
    this.element = h(
      "figure",
      { class: "ftc", "data-chart": id },
      h(
        "div",
        { class: "ftc-head" },
        this.heading,
        this.note,
        h("div", { class: "ftc-tools" }, this.resetButton, ...tools),
      ),
      this.legend.element,
      this.plot.element,
    );
    /** @type {LegendEntry[]} */
    this.entries = [];
    /** @type {number | null} */
    this.cursor = null;
    this.describe("");
  }

  /** @param {string} title */
  setTitle(title) {
    this.title = title;
    setText(this.heading, title);
  }

  /** @param {string} summary */
  describe(summary) {
    this.plot.element.setAttribute("aria-label", say.chart(this.title, summary));
  }

  /** @param {LegendEntry[]} entries */
  setLegend(entries) {
    this.entries = entries;
    this.legend.set(entries);
    this.read(null);
  }

  // ------------------------------------------------------------------ reading
  /**
   * Put values at `place` (null: the newest) into the legend; returns what was read, for the dots.
   *
   * @param {number | null} place
   */
  read(place) {
    const texts = new Map();
    const dots = [];
    for (const line of this.plot.lines) {
      if (!line.isReading) continue;
      const { x, y } = this.plot.values(line);
      const point = place === null ? { x: x.at(-1), y: lastFinite(y) } : this.plot.pointAt(line, place);
      if (!point || point.y === undefined) continue;
      texts.set(line.legend, point.y === null ? "NaN" : show(line.kind ?? this.kind, point.y));
      if (place !== null && line.hasDot !== false && point.y !== null && !this.plot.view.hidden.has(line.legend)) {
        dots.push({ left: this.plot.shareOfX(point.x), top: this.plot.shareOfY(point.y), color: line.color });
      }
    }
    this.legend.read(texts);
    return { dots, texts };
  }

  /**
   * The line under the pointer, here or on a chart beside; `text` says where that is.
   *
   * @param {number | null} place
   * @param {string} text
   */
  hover(place, text) {
    if (!this.plot.isDrawn) return;
    const { dots } = this.read(place);
    this.plot.overlay.cross(place === null ? null : this.plot.shareOfX(place), text, dots);
  }

  /**
   * Values at a place in words, for a screen reader.
   *
   * @param {number | null} place
   */
  words(place) {
    const { texts } = this.read(place);
    return this.entries.filter((e) => texts.has(e.id)).map((e) => `${e.label} ${texts.get(e.id)}`);
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const { view } = this.plot;
    if (!view) return;
    const [from, to] = view.range;
    const span = to - from;
    const at = this.cursor !== null && this.cursor >= from && this.cursor <= to ? this.cursor : from + span / 2;
    /** @type {Record<string, number>} */
    const moves = { ArrowLeft: at - span / 60, ArrowRight: at + span / 60, Home: from, End: to };
    /** @type {Record<string, number>} */
    const zooms = { "+": 0.5, "=": 0.5, "-": 2 };
    if (event.key in moves) {
      this.cursor = Math.min(to, Math.max(from, moves[event.key]));
      this.listen.hover?.(this.cursor, { isKey: true });
    } else if (event.key in zooms) {
      const size = span * zooms[event.key];
      this.listen.zoom?.({ x: [at - ((at - from) / span) * size, at + ((to - at) / span) * size], y: null });
    } else if (event.key === "0" || event.key === "Escape") {
      this.listen.reset?.();
    } else return;
    event.preventDefault();
  }

  // ------------------------------------------------------------------ state
  /** @param {boolean} isZoomed */
  showZoomed(isZoomed) {
    toggle(this.resetButton, isZoomed);
  }

  /**
   * @param {number} above
   * @param {number} below
   */
  showHidden(above, below) {
    this.plot.overlay.setHidden(above ? say.hiddenAbove(above) : "", below ? say.hiddenBelow(below) : "");
  }

  /** @param {string} text */
  setNote(text) {
    setText(this.note, text);
    this.note.title = text;
  }

  destroy() {
    this.plot.destroy();
    this.element.remove();
  }
}

/** @param {(number | null)[]} ys */
function lastFinite(ys) {
  for (let i = ys.length - 1; i >= 0; i--) if (ys[i] !== null && Number.isFinite(ys[i])) return ys[i];
  return undefined;
}
