// The controls above the charts: smoothing, horizontal axis, outliers.

import { h, setText } from "../base/dom.js";
import { smoothingSteps } from "../base/numbers.js";
import { say, TEXT } from "../words/live.js";

let made = 0;

export class Toolbar {
  /** @param {ChartBoard} board */
  constructor(board) {
    this.board = board;
    made += 1;
    const { settings } = board;
    this.slider = h("input", {
      type: "range",
      min: 0,
      max: 100,
      step: 1,
      id: `ftl-smooth-${made}`,
      class: "ftl-slider",
      on: { input: () => settings.set({ smooth: Number(this.slider.value) }) },
    });
    this.steps = h("output", { class: "ftl-steps", htmlFor: this.slider.id });
    this.axes = /** @type {[ChartSettings["axis"], string][]} */ (Object.entries(TEXT.axes)).map(([axis, label]) =>
      h(
        "button",
        { type: "button", class: "ftl-choice", "data-axis": axis, on: { click: () => settings.set({ axis }) } },
        label,
      ),
    );
    this.clip = h("input", { type: "checkbox", on: { change: () => settings.set({ clip: this.clip.checked }) } });
    this.element = h(
      "div",
      { class: "ftl-toolbar" },
      h(
        "div",
        { class: "ftl-control" },
        h("label", { htmlFor: this.slider.id }, TEXT.smoothing),
        this.slider,
        this.steps,
      ),
      h("div", { class: "ftl-choices", role: "group", "aria-label": TEXT.axis }, ...this.axes),
      h("label", { class: "ftl-control", title: TEXT.clipHint }, this.clip, TEXT.clip),
    );
  }

  /** Show the settings as they are. */
  show() {
    const { board } = this;
    const { smooth, axis, clip } = board.settings.values;
    if (Number(this.slider.value) !== smooth) this.slider.value = String(smooth);
    const text = board.curves.isEmpty ? "" : say.smoothing(smoothingSteps(smooth, board.scaleOfSteps));
    setText(this.steps, text);
    this.slider.setAttribute("aria-valuetext", text);
    for (const button of this.axes) button.setAttribute("aria-pressed", String(button.dataset.axis === axis));
    this.clip.checked = clip;
  }
}
