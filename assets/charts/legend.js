// The row above a chart: for each curve a sample of its line, its name and its value, now or under the pointer.

import { h, setText, swatch } from "../base/dom.js";
import { NONE } from "../base/format.js";

export class Legend {
  /**
   * `onToggle(id, isShown)` is called when the user hides or shows a curve.
   *
   * @param {string} label
   * @param {(id: string, isShown: boolean) => void} onToggle
   */
  constructor(label, onToggle) {
    this.element = h("div", { class: "ftc-legend", role: "group", "aria-label": label });
    this.onToggle = onToggle;
    this.items = new Map();
    this.signature = "";
  }

  /**
   * Show `entries` [{id, label, color, dash, marker, isHidden}]; rebuilt only where something differs.
   *
   * @param {LegendEntry[]} entries
   */
  set(entries) {
    const signature = JSON.stringify(entries.map((e) => [e.id, e.label, e.color, e.dash, e.marker]));
    if (signature !== this.signature) {
      this.signature = signature;
      this.items = new Map(entries.map((entry) => [entry.id, this.build(entry)]));
      this.element.replaceChildren(...[...this.items.values()].map((item) => item.button));
    }
    for (const entry of entries) {
      const item = this.items.get(entry.id);
      item.hasValue = entry.hasValue !== false;
      item.button.setAttribute("aria-pressed", String(!entry.isHidden));
    }
  }

  /** @param {LegendEntry} entry */
  build(entry) {
    const value = h("span", { class: "ftc-value" });
    const button = h(
      "button",
      { type: "button", class: "ftc-item", "data-line": entry.id },
      swatch({ ...entry, color: entry.color ?? "" }),
      h("span", { class: "ftc-name" }, entry.label),
      value,
    );
    button.addEventListener("click", () => this.onToggle(entry.id, button.getAttribute("aria-pressed") !== "true"));
    return { button, value };
  }

  /**
   * Put values: id -> text.
   *
   * @param {Map<string, string>} texts
   */
  read(texts) {
    for (const [id, { value, hasValue }] of this.items) setText(value, hasValue ? (texts.get(id) ?? NONE) : "");
  }
}
