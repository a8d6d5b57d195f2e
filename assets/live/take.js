// A run as a file: its settings, a command, a script. The weights have a link of their own in the same list.

import { download, h, setText, toggle } from "../base/dom.js";
import { TAKE } from "../words/take.js";

const PATIENCE_MS = 120_000; // the first one waits until torch is loaded

export class ExportMenu {
  /**
   * `address(run, format)` is where the file is made; `weights` the link to the weights, which becomes the first item.
   *
   * @param {{ address: (run: string, format: string) => URL, weights: HTMLElement }} options
   */
  constructor({ address, weights }) {
    this.address = address;
    /** @type {string | null} */
    this.run = null;
    this.problem = h("p", { class: "ftl-export-problem", role: "alert", hidden: true });
    this.items = TAKE.formats.map(([format, label, hint]) =>
      h(
        "button",
        {
          type: "button",
          class: "ftl-export-item",
          title: hint,
          "data-format": format,
          on: { click: () => this.take(format) },
        },
        label,
      ),
    );
    weights.className = "ftl-export-item";
    this.list = h("div", { class: "ftl-export-list" }, weights, ...this.items, this.problem);
    this.element = h(
      "details",
      { class: "ftl-export", hidden: true },
      h("summary", { class: "ftl-button" }, TAKE.title),
      this.list,
    );
    document.addEventListener("pointerdown", ({ target }) => this.element.contains(target) || this.close());
    this.element.addEventListener(
      "keydown",
      (/** @type {KeyboardEvent} */ event) => event.key === "Escape" && this.close(),
    );
  }

  close() {
    this.element.open = false;
  }

  /**
   * Of which run; none before its settings can be said to be those that trained.
   *
   * @param {string | null} run
   * @param {boolean} isOffered
   */
  show(run, isOffered) {
    if (run !== this.run) toggle(this.problem, false);
    this.run = run;
    toggle(this.element, Boolean(run) && isOffered);
  }

  /** @param {string} format */
  async take(format) {
    const { run } = this;
    const label = TAKE.formats.find(([name]) => name === format)?.[1] ?? format;
    const item = this.items.find((one) => one.dataset.format === format);
    toggle(this.problem, false);
    item.disabled = true;
    setText(item, TAKE.making);
    try {
      const response = await fetch(this.address(run ?? "", format), {
        cache: "no-store",
        signal: AbortSignal.timeout(PATIENCE_MS),
      });
      if (!response.ok) throw new Error((await response.json().catch(() => ({}))).detail ?? response.statusText);
      const name =
        /filename="([^"]+)"/.exec(response.headers.get("content-disposition") ?? "")?.[1] ?? `${run}.${format}`;
      download(name, await response.blob(), "text/plain");
      this.close();
    } catch (error) {
      setText(this.problem, error.name === "TimeoutError" ? TAKE.tooLong : error.message);
      toggle(this.problem, true);
    } finally {
      item.disabled = false;
      setText(item, label);
    }
  }
}
