// Labels that are probably wrong: kept, changed or left out by keyboard, many at once; the next run follows the decisions.

import { h, setText, toggle } from "../base/dom.js";
import { addressOf, ask, post } from "../base/poller.js";
import { say, WORDS } from "../words/results.js";
import { part } from "./figures.js";

const BEAT_MS = 1500;
const PAGE = 60;
const KEYS = { k: "keep", r: "relabel", x: "leave_out" };

export class Suspects {
  constructor() {
    /** @type {Map<string, { choice: string, label: string }>} What was decided, by the name of the file. */
    this.decisions = new Map();
    /** @type {any} What `suspects` found. */
    this.found = null;
    /** @type {any} */
    this.run = null;
    this.shown = PAGE;
    this.saving = Promise.resolve();
    const button = (label, click, more = "") =>
      h("button", { type: "button", class: `ft-res-button ${more}`, on: { click } }, label);
    this.start = button(WORDS.look, () => this.look());
    this.status = h("p", { class: "ft-quiet", role: "status" });
    this.tells = h("p", { class: "ft-res-tells" });
    this.list = h("ul", { class: "ft-res-suspects", on: { keydown: (event) => this.key(event) } });
    this.more = button(WORDS.more, () => this.grow());
    this.label = h("select", { "aria-label": WORDS.relabelAs });
    this.actions = h(
      "div",
      { class: "ft-res-tools" },
      button(WORDS.all, () => this.chooseAll()),
      button(WORDS.keep, () => this.decide("keep")),
      button(WORDS.leaveOut, () => this.decide("leave_out")),
      button(WORDS.relabel, () => this.decide("relabel")),
      this.label,
    );
    this.counts = h("p", { role: "status" });
    this.again = button(WORDS.trainAgain, () => this.trainAgain(), "ft-res-primary");
    this.element = part(
      WORDS.suspects,
      h("p", { class: "ft-quiet" }, WORDS.suspectsHelp),
      h("div", { class: "ft-res-line" }, this.start, this.status),
      this.tells,
      this.actions,
      this.list,
      this.more,
      h("div", { class: "ft-res-line" }, this.again, this.counts),
    );
  }

  /** Take another run; returns the element. */
  take(run, names) {
    if (run !== this.run) {
      this.run = run;
      this.shown = PAGE;
      this.label.replaceChildren(
        h("option", { value: "" }, WORDS.asItSeems),
        ...names.map((name) => h("option", { value: name }, name)),
      );
      this.read();
    }
    return this.element;
  }

  get base() {
    return `api/runs/${encodeURIComponent(this.run)}`;
  }

  async read() {
    clearTimeout(this.timer);
    const { run } = this;
    const answer = await ask(addressOf(`${this.base}/suspects`)).catch(() => null);
    if (!answer || run !== this.run) return;
    const { job } = answer;
    const isMine = job.kind === "suspects" && job.run === run;
    const isBusy = isMine && job.status === "running";
    this.start.disabled = isBusy;
    if (isBusy) {
      setText(this.status, say.progress(job) || WORDS.loading);
      this.timer = setTimeout(() => this.element.isConnected && this.read(), BEAT_MS);
    } else if (isMine && job.status === "failed") setText(this.status, Object.values(job.errors).join(" "));
    else setText(this.status, answer.found ? say.suspected(answer.found) : "");
    this.found = answer.found;
    this.table = answer.table;
    this.decisions = new Map(Object.entries(answer.decisions));
    this.draw();
  }

  async look() {
    setText(this.status, WORDS.loading);
    try {
      await post(addressOf(`${this.base}/suspects`));
    } catch (error) {
      setText(this.status, error.code ? error.message : WORDS.noAnswer);
      return;
    }
    await this.read();
  }

  draw() {
    const rows = this.found?.suspects ?? [];
    for (const part of [this.actions, this.list, this.again.parentElement]) toggle(part, rows.length > 0);
    setText(
      this.tells,
      Object.entries(this.found?.tells ?? {})
        .map(([key, share]) => say.tells(key, share))
        .join(" "),
    );
    this.list.replaceChildren(...rows.slice(0, this.shown).map((row, at) => this.item(row, at)));
    toggle(this.more, rows.length > this.shown);
    this.count();
  }

  item(row, at) {
    const base = `${this.base}/results/${row.split}-best`;
    const image = h("img", {
      src: String(addressOf(`${base}/picture/${row.index}?side=small`)),
      alt: "",
      loading: "lazy",
    });
    const box = h("input", { type: "checkbox", "aria-label": `${say.suspect(row)}. ${row.file}`, "data-at": at });
    const item = h(
      "li",
      {},
      h("label", {}, h("span", { class: "ft-res-box" }, image), h("span", {}, box, say.suspect(row))),
      h("span", { class: "ft-res-decision" }),
    );
    this.mark(item, row);
    return item;
  }

  mark(item, row) {
    const decision = this.decisions.get(row.name);
    item.dataset.choice = decision?.choice ?? "";
    setText(item.lastElementChild, decision ? say.decision(decision) : "");
  }

  get boxes() {
    return /** @type {HTMLInputElement[]} */ ([...this.list.querySelectorAll("input")]);
  }

  chooseAll() {
    const { boxes } = this;
    const isAll = boxes.every((box) => box.checked);
    for (const box of boxes) box.checked = !isAll;
  }

  /** k keeps, r relabels, x leaves out: what is chosen, else the one with the focus; arrows go on. */
  key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const { boxes } = this;
    const at = boxes.indexOf(event.target);
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step && at >= 0) boxes[at + step]?.focus();
    else if (KEYS[event.key]) {
      this.decide(KEYS[event.key], at);
      boxes[at + 1]?.focus();
    } else return;
    event.preventDefault();
  }

  async decide(choice, focused = -1) {
    const chosen = this.boxes.filter((box) => box.checked);
    const boxes = chosen.length ? chosen : focused >= 0 ? [this.boxes[focused]] : [];
    for (const box of boxes) {
      const row = this.found.suspects[Number(box.dataset.at)];
      const label = this.label.value || row.seems;
      if (choice === "relabel" && !label) continue; // what only stands out seems to be nothing else
      this.decisions.set(row.name, { choice, label: choice === "relabel" ? label : "" });
      this.mark(box.closest("li"), row);
      box.checked = false;
    }
    this.count();
    this.saving = this.saving.then(() => this.save()); // one after the other: the table is written whole each time
    await this.saving;
  }

  async save() {
    const decisions = [...this.decisions].map(([file, decision]) => ({ file, ...decision }));
    await post(addressOf(`${this.base}/decisions`), { decisions }).catch((error) =>
      setText(this.counts, error.code ? error.message : WORDS.noAnswer),
    );
  }

  count() {
    const all = [...this.decisions.values()];
    const number = (choice) => all.filter((one) => one.choice === choice).length;
    setText(this.counts, say.decided(number("leave_out"), number("relabel"), number("keep")));
    this.again.disabled = number("leave_out") + number("relabel") === 0;
  }

  grow() {
    this.shown += PAGE;
    this.draw();
  }

  async trainAgain() {
    await this.saving;
    const step = { action: "start", label: WORDS.trainAgain, settings: { "data.decisions": this.table } };
    document.dispatchEvent(new CustomEvent("ft-next", { detail: { run: this.run, step } }));
    document.getElementById("ft-tab-train-button")?.click();
  }
}
