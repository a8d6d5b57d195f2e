// What lies over a chart: the line under the pointer with a dot on each curve, marks, the best point. Plain elements
// placed in percent of the plotting area, so that Plotly has nothing to redraw while the pointer moves.

import { h, setText, toggle } from "../base/dom.js";
import { say } from "../words/live.js";
import { MARGIN } from "./axes.js";

export class Overlay {
  constructor() {
    this.marks = h("div", { class: "ftc-marks" });
    this.line = h("div", { class: "ftc-cross", hidden: true });
    this.pill = h("div", { class: "ftc-pill", hidden: true });
    /** @type {HTMLElement[]} */
    this.dots = [];
    this.dotHost = h("div");
    this.points = h("div");
    this.unit = h("span", { class: "ftc-unit" });
    this.wait = h("p", { class: "ftc-wait", hidden: true });
    this.above = h("span", { class: "ftc-hidden ftc-hidden-above", hidden: true });
    this.below = h("span", { class: "ftc-hidden ftc-hidden-below", hidden: true });
    this.element = h(
      "div",
      { class: "ftc-over", "aria-hidden": "true" },
      this.marks,
      this.points,
      this.line,
      this.dotHost,
      this.pill,
      this.above,
      this.below,
      this.unit,
      this.wait,
    );
    const { l, r, t, b } = MARGIN;
    Object.assign(this.element.style, { left: `${l}px`, right: `${r}px`, top: `${t}px`, bottom: `${b}px` });
  }

  /**
   * The line at `share` (0 to 1) of the width with its text, and dots [{left, top, color}]; null takes them away.
   *
   * @param {number | null} share
   * @param {string} text
   * @param {OverlayDot[]} dots
   */
  cross(share, text, dots) {
    const isShown = share !== null && share >= 0 && share <= 1;
    toggle(this.line, isShown);
    toggle(this.pill, isShown && Boolean(text));
    const shown = isShown ? dots.filter((dot) => dot.top >= -0.02 && dot.top <= 1.02) : [];
    while (this.dots.length < shown.length) {
      const dot = h("span", { class: "ftc-dot" });
      this.dots.push(dot);
      this.dotHost.append(dot);
    }
    this.dots.forEach((element, i) => {
      toggle(element, i < shown.length);
      if (i < shown.length) {
        const { left, top, color } = shown[i];
        Object.assign(element.style, { left: percent(left), top: percent(top), backgroundColor: color });
      }
    });
    if (!isShown) return;
    this.line.style.left = percent(share);
    setText(this.pill, text);
    const half = this.pill.offsetWidth / 2 / Math.max(1, this.element.offsetWidth);
    this.pill.style.left = percent(Math.min(Math.max(share, half - 0.01), 1 - half + 0.01));
  }

  /**
   * Vertical marks [{share, label, text, is_ghost}] of things that happened, or of what another setting would have done
   * (ghosts), with their labels or without.
   *
   * @param {OverlayMark[]} marks
   * @param {boolean} hasLabels
   */
  setMarks(marks, hasLabels) {
    const visible = marks.filter((mark) => mark.share >= 0 && mark.share <= 1);
    const rows = rowsOf(visible, this.element.clientWidth);
    this.marks.replaceChildren(
      ...visible.map((mark, i) => {
        const words = mark.text ? `${mark.label}: ${mark.text}` : mark.label;
        const element = h("div", {
          class: `ftc-mark${mark.is_ghost ? " ftc-ghost" : ""}${mark.isBest ? " ftc-best" : ""}`,
          title: mark.is_ghost ? say.ghost(words) : words,
        });
        element.style.left = percent(mark.share);
        const flag = h(
          "span",
          { class: `ftc-flag${isLeft(mark) ? " ftc-flag-left" : ""}`, hidden: !hasLabels || Boolean(mark.isBest) },
          mark.label,
        );
        flag.style.top = `${rows[i] * FLAG_HEIGHT}px`;
        element.append(flag);
        return element;
      }),
    );
  }

  /**
   * Rings around points [{left, top, color}].
   *
   * @param {OverlayDot[]} points
   */
  setPoints(points) {
    const visible = points.filter((p) => p.left >= 0 && p.left <= 1 && p.top >= 0 && p.top <= 1);
    this.points.replaceChildren(
      ...visible.map((point) => {
        const ring = h("span", { class: "ftc-ring" });
        Object.assign(ring.style, { left: percent(point.left), top: percent(point.top), borderColor: point.color });
        return ring;
      }),
    );
  }

  /**
   * What the horizontal axis counts, in the corner below the numbers of the vertical one.
   *
   * @param {string} text
   */
  setUnit(text) {
    setText(this.unit, text);
  }

  /**
   * Text in the middle while there is nothing to draw.
   *
   * @param {string} text
   */
  setWaiting(text) {
    toggle(this.wait, Boolean(text));
    if (text) setText(this.wait, text);
  }

  /**
   * How many points lie beyond the axes, in words.
   *
   * @param {string} above
   * @param {string} below
   */
  setHidden(above, below) {
    toggle(this.above, Boolean(above));
    toggle(this.below, Boolean(below));
    if (above) setText(this.above, above);
    if (below) setText(this.below, below);
  }
}

const FLAG_HEIGHT = 18; // px
const LETTER = 7; // px, more than a letter takes, so that flags never touch
const FLAG_ROWS = 5;

/** @param {OverlayMark} mark */
const isLeft = (mark) => mark.share > 0.75;

/**
 * The row of each mark's flag, so that none is written over another.
 *
 * @param {OverlayMark[]} marks
 * @param {number} width
 */
function rowsOf(marks, width) {
  /** @type {{ row: number, from: number, to: number }[]} */
  const taken = [];
  return marks.map((mark) => {
    const long = mark.label.length * LETTER + 12;
    const from = mark.share * width - (isLeft(mark) ? long : 0);
    /** @param {number} row */
    const isFree = (row) => taken.every((other) => other.row !== row || other.to < from || from + long < other.from);
    const row = Array.from({ length: FLAG_ROWS }, (_, i) => i).find(isFree) ?? FLAG_ROWS - 1;
    if (!mark.isBest) taken.push({ row, from, to: from + long });
    return row;
  });
}

/** @param {number} share */
const percent = (share) => `${(share * 100).toFixed(3)}%`;
