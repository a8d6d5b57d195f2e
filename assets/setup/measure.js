// Choosing by measuring: precisions compared in their section, the largest batch found in the run's. A button, progress,
// a result, and one click that puts it into the form.

import { h, setText, toggle } from "../base/dom.js";
import { mebibytes, speed } from "../base/format.js";
import { say, WORDS } from "../words/memory.js";
import { current, events, load } from "./form.js";
import { JobPart } from "./job.js";
import { shown } from "./memory.js";

export function mountPrecisions(element) {
  new Precisions(element.querySelector(".ft-measure"));
}

export function mountBatch(element) {
  new Batch(element.querySelector(".ft-measure"));
}

/** A measurement: what both have in common. */
class Measure extends JobPart {
  /**
   * @param {HTMLElement} root
   * @param {{ kind: string, start: string, hint: string, extra?: HTMLElement[] }} options `extra` stands before the button.
   */
  constructor(root, { kind, start, hint, extra = [] }) {
    const result = h("div", { class: "ft-measure-result" });
    root.classList.add("ft-finder");
    super(root, { kind, words: WORDS, label: start, hint, above: extra, below: [result] });
    this.result = result;
    events.addEventListener("state", () => this.show());
  }

  /** @returns {object | null} What is asked for beside the settings; null if that cannot be read. */
  body() {
    return {};
  }

  /** @returns {HTMLElement[]} What a result looks like. */
  parts(_result) {
    return [];
  }

  begin() {
    const { argv } = current() ?? {};
    if (!argv) return this.job.fail(WORDS.invalid);
    const body = this.body();
    if (!body) return this.job.fail(WORDS.notCount);
    this.used = false;
    return this.job.start({ argv, ...body });
  }

  show() {
    const { status, done, total, says, argv, result } = this.state;
    const isOld = status === "done" && keyOf(argv) !== keyOf(current()?.argv ?? []);
    this.showJob({
      running: total ? say.progress(done, total, says) : says || WORDS.preparing,
      done: this.used ? say.set : isOld ? WORDS.changed : "",
    });
    setText(this.start, status === "done" ? WORDS.again : this.label);
    toggle(this.result, status === "done" && Boolean(result));
    const key = JSON.stringify(result ?? null);
    if (result && key !== this.shown) {
      this.shown = key;
      this.result.replaceChildren(...this.parts(result));
    }
  }

  /** Put settings into the form, as if they were chosen there. */
  use(settings) {
    const { argv } = current() ?? {};
    if (!argv) return;
    const kept = argv.filter((item) => !Object.keys(settings).some((path) => item.startsWith(`${path}=`)));
    this.used = true;
    load([...kept, ...Object.entries(settings).map(([path, value]) => `${path}=${value}`)]);
    this.show();
  }
}

class Precisions extends Measure {
  constructor(root) {
    const about = h("p", { class: "ft-find-words ft-support" });
    super(root, { kind: "precisions", start: WORDS.compare, hint: WORDS.compareHint, extra: [about] });
    const tell = () => setText(about, shown.plan?.precision_support ? say.support(shown.plan) : "");
    events.addEventListener("plan", tell);
    tell();
    this.mount();
  }

  parts({ rows, suggestion, fastest, words }) {
    const most = Math.max(...rows.map((row) => row.images_per_second ?? 0));
    const peak = Math.max(...rows.map((row) => row.peak_mib ?? 0));
    const bar = (value, limit, name) =>
      h(
        "span",
        { class: "ft-bar-track" },
        h("i", { "data-bar": name, style: `width:${(100 * (value ?? 0)) / (limit || 1)}%` }),
      );
    const cells = rows.flatMap((row) => [
      h("span", { class: row.variant === fastest ? "ft-mem-chosen" : "" }, row.variant),
      ...(row.problem
        ? [h("span", { class: "ft-measure-problem" }, row.problem)]
        : [
            bar(row.images_per_second, most, "speed"),
            h("span", {}, speed(row.images_per_second)),
            bar(row.peak_mib, peak, "memory"),
            h("span", {}, mebibytes(row.peak_mib)),
          ]),
    ]);
    return [
      h(
        "div",
        {
          class: "ft-measure-rows",
          role: "group",
          "aria-label": rows.map((row) => `${row.variant}: ${say.row(row)}`).join("; "),
        },
        h("span", {}),
        h("span", { class: "ft-quiet ft-measure-head" }, WORDS.speed),
        h("span", { class: "ft-quiet ft-measure-head" }, WORDS.memory),
        ...cells,
      ),
      h("p", { class: "ft-measure-words" }, words),
      suggestion
        ? h(
            "button",
            { type: "button", class: "ft-find", "data-use": fastest, on: { click: () => this.use(suggestion) } },
            say.use(fastest),
          )
        : null,
    ].filter(Boolean);
  }
}

class Batch extends Measure {
  constructor(root) {
    const wanted = h("input", {
      type: "text",
      inputMode: "numeric",
      class: "ft-measure-entry",
      id: "ft-batch-wanted",
      title: WORDS.wantedHint,
      "aria-label": WORDS.wanted,
    });
    super(root, {
      kind: "batch",
      start: WORDS.find,
      hint: WORDS.findHint,
      extra: [
        h(
          "label",
          { class: "ft-measure-wanted", title: WORDS.wantedHint, htmlFor: "ft-batch-wanted" },
          WORDS.wanted,
          wanted,
        ),
      ],
    });
    this.wanted = wanted;
    this.mount();
  }

  body() {
    const text = this.wanted.value.trim();
    if (!text) return {};
    return /^[1-9]\d{0,6}$/.test(text) ? { global_batch: Number(text) } : null;
  }

  parts({ words, suggestion }) {
    return [
      h("p", { class: "ft-measure-words" }, words),
      suggestion
        ? h(
            "button",
            { type: "button", class: "ft-find", "data-use": "batch", on: { click: () => this.use(suggestion) } },
            say.useBatch(suggestion["train.batch_size"], suggestion["train.accumulate"]),
          )
        : null,
    ].filter(Boolean);
  }
}

/** What a measurement depends on: not what it is to find, nor the schedule. */
const keyOf = (argv) =>
  JSON.stringify(argv.filter((item) => !/^(schedule\.|optim\.lr=|train\.|precision\.)/.test(item)));
