// The memory forecast in the plan: what a run takes at its fullest moment, in parts, beside the memory there is.

import { h, setText, toggle } from "../base/dom.js";
import { mebibytes } from "../base/format.js";
import { MEMORY_PARTS, say, WORDS } from "../words/memory.js";

/** @type {{ plan: any }} */
export const shown = { plan: null }; // the plan that the page shows, for parts that are mounted after it

export class MemoryCard {
  constructor() {
    this.words = h("p", { class: "ft-mem-words", role: "status" });
    this.gauge = h("div", { class: "ft-mem-gauge" });
    this.bars = h("div", { class: "ft-mem-bars" });
    this.legend = h("ul", { class: "ft-mem-legend" });
    this.compared = h("p", { class: "ft-plan-line ft-quiet" });
    this.element = h(
      "section",
      { class: "ft-card ft-card-memory" },
      h("h3", {}, WORDS.title),
      this.words,
      this.gauge,
      this.bars,
      this.legend,
      this.compared,
    );
    toggle(this.element, false);
  }

  /** @param {MemoryForecast | null | undefined} memory */
  show(memory) {
    toggle(this.element, Boolean(memory?.parts));
    if (!memory?.parts) return;
    this.element.dataset.fits = String(memory.fits);
    setText(this.words, memory.words);
    setText(this.compared, memory.compared);
    this.showGauge(memory);
    const rows = memory.other ? [memory, memory.other] : [memory];
    const scale = Math.max(...rows.map((row) => row.total_mib));
    this.bars.replaceChildren(...rows.flatMap((row, i) => this.bar(row, scale, i === 0)));
    this.legend.replaceChildren(
      ...partsOf(memory).map(([key, label, mib]) =>
        h("li", {}, h("i", { "data-part": key }), h("span", {}, label), h("b", {}, mebibytes(mib))),
      ),
    );
  }

  /**
   * The whole beside the memory there is.
   * @param {MemoryForecast} memory
   */
  showGauge(memory) {
    const share = Math.min(1, memory.total_mib / memory.limit_mib);
    const fill = h("i", { style: `width:${Math.max(0.5, 100 * share)}%` });
    this.gauge.replaceChildren(
      h("div", { class: "ft-mem-track", role: "img", "aria-label": say.beside(memory) }, fill),
      h("span", { class: "ft-quiet" }, say.beside(memory)),
    );
  }

  /**
   * @param {MemoryParts} row
   * @param {number} scale MiB of the widest bar.
   * @param {boolean} isChosen Whether the run computes in it.
   */
  bar(row, scale, isChosen) {
    const pieces = partsOf(row).map(([key, label, mib]) =>
      h("i", { "data-part": key, style: `width:${(100 * mib) / scale}%`, title: `${label} ${mebibytes(mib)}` }),
    );
    const label = partsOf(row)
      .map(([, name, mib]) => `${name} ${mebibytes(mib)}`)
      .join(", ");
    return [
      h("span", { class: isChosen ? "ft-mem-chosen" : "ft-quiet" }, row.dtype),
      h("div", { class: "ft-mem-stack", role: "img", "aria-label": `${row.dtype}: ${label}` }, ...pieces),
      h("span", { class: isChosen ? "" : "ft-quiet" }, mebibytes(row.total_mib)),
    ];
  }
}

/**
 * [key, label, MiB] of what takes anything worth drawing, in the order in which it is stacked.
 * @param {MemoryParts} row
 * @returns {[string, string, number][]}
 */
function partsOf(row) {
  /** @type {Record<string, number>} */
  const sizes = { base: row.base_mib, ...row.parts };
  return MEMORY_PARTS.filter(([key]) => sizes[key] >= 0.05).map(([key, label]) => [key, label, sizes[key]]);
}
