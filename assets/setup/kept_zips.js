// The zips that the browser brought: where they lie, how large they are, and a way to remove each.

import { h, setText } from "../base/dom.js";
import { say, WORDS } from "../words/data.js";
import { set } from "./form.js";

export class KeptZips {
  constructor() {
    this.list = h("ul", { class: "ft-zips" });
    this.where = h("p", { class: "ft-find-words" });
    this.element = h("details", {}, h("summary", {}, WORDS.kept), this.where, this.list);
    this.element.addEventListener("toggle", () => this.element.open && this.ask("api/data/uploads"));
  }

  /** @param {string} address @param {RequestInit} [options] */
  async ask(address, options) {
    const answer = await fetch(address, options).catch(() => null);
    const said = await answer?.json().catch(() => null);
    if (answer?.ok) this.show(said);
    else setText(this.where, said?.detail ?? WORDS.noAnswer);
  }

  /** @param {{folder: string, days: number, uploads: {path: string, bytes: number}[]}} kept */
  show({ folder, days, uploads }) {
    setText(this.where, say.kept(folder, days, uploads));
    this.list.replaceChildren(...uploads.map((upload) => this.row(upload)));
  }

  /** @param {{path: string, bytes: number}} upload */
  row({ path, bytes }) {
    const name = path.slice(path.lastIndexOf("/") + 1);
    const remove = () =>
      this.ask("api/data/uploads/remove", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ path }),
      });
    /** @param {string} words @param {string} label @param {() => void} click */
    const button = (words, label, click) =>
      h("button", { type: "button", class: "ft-find", "aria-label": label, on: { click } }, words);
    return h(
      "li",
      { class: "ft-find-line" },
      h("span", {}, say.zip(name, bytes)),
      button(WORDS.use, `${WORDS.use}: ${name}`, () => set({ "data.path": path })),
      button(WORDS.remove, `${WORDS.remove}: ${name}`, remove),
    );
  }
}
