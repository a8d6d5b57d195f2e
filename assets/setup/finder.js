// The learning-rate finder in the optimizer's section: a button, a sweep under way, its curve, a click that sets a rate.

import { h, setText, toggle } from "../base/dom.js";
import { ask } from "../base/poller.js";
import { preview } from "../charts/preview.js";
import { say, WORDS } from "../words/rates.js";
import { current, events } from "./form.js";

const BEAT = 300; // ms between questions while a sweep is under way
const FIELD = "#ft-optim-lr input";
const DIGITS = 2; // a rate is known to no more than that

export function mountFinder(element) {
  new FinderPart(element.querySelector(".ft-finder"));
}

class FinderPart {
  constructor(root) {
    this.root = root;
    this.argv = null; // what was swept
    this.state = { status: "idle", points: [] };
    this.start = h(
      "button",
      { type: "button", class: "ft-find", title: WORDS.findHint, on: { click: () => this.begin() } },
      WORDS.find,
    );
    this.cancel = h("button", { type: "button", class: "ft-find", on: { click: () => this.end() } }, WORDS.cancel);
    this.words = h("p", { class: "ft-find-words", role: "status" });
    this.problem = h("p", { class: "ft-find-problem", role: "alert" });
    this.bar = h("progress", { class: "ft-find-bar", max: 1, value: 0, "aria-label": WORDS.find });
    this.chart = h("div", { class: "ft-find-chart" });
    this.uses = h("div", { class: "ft-find-uses", role: "group", "aria-label": WORDS.find });
    root.append(
      h("div", { class: "ft-find-line" }, this.start, this.cancel, this.words),
      this.bar,
      this.problem,
      this.chart,
      this.uses,
    );
    events.addEventListener("state", () => this.show());
    this.show();
    this.look();
  }

  // ------------------------------------------------------------------ asking
  async begin() {
    const { argv } = /** @type {FormState} */ (current());
    if (!argv) return this.fail(WORDS.invalid);
    this.argv = JSON.stringify(argv);
    this.chosen = null;
    this.take({ status: "running", done: 0, steps: 0, points: [] });
    return this.post("api/finder", { argv });
  }

  end() {
    return this.post("api/finder/cancel", {});
  }

  async post(address, body) {
    try {
      const headers = { "Content-Type": "application/json" };
      this.take(await ask(address, { method: "POST", headers, body: JSON.stringify(body) }));
    } catch (error) {
      this.fail(error.code ? error.message : WORDS.noAnswer);
      return;
    }
    this.look();
  }

  /** Follow a sweep until it ends. */
  async look() {
    clearTimeout(this.timer);
    if (!this.root.isConnected) return;
    try {
      const state = await ask("api/finder");
      if (state.status !== this.state.status || state.number !== this.state.number || state.status === "running")
        this.take(state);
    } catch (error) {
      if (this.state.status === "running") this.fail(error.code ? error.message : WORDS.noAnswer);
      return;
    }
    if (this.state.status === "running") this.timer = setTimeout(() => this.look(), BEAT);
  }

  fail(message) {
    this.take({ status: "failed", errors: { "": message }, points: [] });
  }

  // ------------------------------------------------------------------ showing
  take(state) {
    this.state = state;
    this.show();
  }

  show() {
    const { status, done, steps, says, errors = {}, result, points = [] } = this.state;
    const isRunning = status === "running";
    this.root.dataset.status = status;
    toggle(this.start, !isRunning);
    toggle(this.cancel, isRunning);
    toggle(this.bar, isRunning);
    setText(this.start, status === "done" ? WORDS.again : WORDS.find);
    if (steps && done) this.bar.value = done / steps;
    else this.bar.removeAttribute("value");
    const isOld = status === "done" && this.argv && sweepKey(JSON.parse(this.argv)) !== sweepKey(current()?.argv ?? []);
    const words = {
      running: done ? say.progress(done, steps) : says || WORDS.preparing,
      cancelled: WORDS.cancelled,
      done: isOld ? WORDS.changed : "",
    };
    setText(this.words, words[status] ?? "");
    const problems = Object.entries(errors).map(([path, text]) => (path ? `${path}: ${text}` : text));
    setText(this.problem, status === "failed" ? [WORDS.failed, ...problems].join(" ") : "");
    const curve = result ?? { lrs: points.map((p) => p[0]), losses: points.map((p) => p[1]), smoothed: [] };
    const hasCurve = (isRunning && points.length > 1) || Boolean(result);
    toggle(this.chart, hasCurve);
    if (hasCurve) this.drawCurve(curve);
    this.showUses(result);
  }

  drawCurve({ lrs, losses, smoothed, steepest, valley, diverged_at: diverged }) {
    const x = lrs.map(Math.log10);
    const marks = [
      [steepest, WORDS.steepest],
      [valley, WORDS.valley],
    ].filter(([lr]) => lr);
    if (this.chosen && !marks.some(([lr]) => near(lr, this.chosen))) marks.push([this.chosen, WORDS.chosen]);
    const raw = { label: WORDS.raw, color: "train", x, y: losses, width: 1, opacity: smoothed.length ? 0.4 : 0.8 };
    const bold = { label: WORDS.smoothed, color: "train", x, y: smoothed, width: 2.25 };
    preview(this.chart, {
      id: "finder",
      title: WORDS.title,
      kind: "number",
      axis: "log10",
      height: 176,
      unit: "rate",
      lines: smoothed.length ? [raw, bold] : [raw],
      range: heights(losses, smoothed.length ? smoothed : losses),
      marks: marks.map(([lr, label]) => ({ place: Math.log10(lr), label })),
      note: diverged ? say.diverged(diverged) : "",
      pick: smoothed.length ? (place) => this.use(10 ** place) : null,
    });
  }

  showUses(result) {
    toggle(this.uses, Boolean(result));
    if (!result) return;
    const key = JSON.stringify([result.steepest, result.valley, this.chosen]);
    if (key === this.shownUses) return;
    this.shownUses = key;
    const found = [
      [WORDS.valley, result.valley],
      [WORDS.steepest, result.steepest],
    ].filter(([, lr]) => lr);
    const text = this.chosen ? say.wasSet(this.chosen) : found.length ? WORDS.pick : WORDS.none;
    this.uses.replaceChildren(
      ...found.map(([name, lr]) =>
        h(
          "button",
          { type: "button", class: "ft-find", "data-use": name, on: { click: () => this.use(lr) } },
          say.use(name, lr),
        ),
      ),
      h("p", { class: "ft-find-words", role: "status" }, text),
    );
  }

  /** Put a rate into the form, as if it were typed. */
  use(lr) {
    const text = String(Number(lr.toPrecision(DIGITS)));
    const input = document.querySelector(FIELD);
    if (!input) return;
    Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value")?.set?.call(input, text);
    input.dispatchEvent(new InputEvent("input", { bubbles: true }));
    input.dispatchEvent(new FocusEvent("focusout", { bubbles: true }));
    this.chosen = Number(text);
    this.show();
  }
}

/** What a sweep depends on: not the rate that it is to find, nor the schedule. */
const sweepKey = (argv) => JSON.stringify(argv.filter((item) => !/^(schedule\.|optim\.lr=|train\.epochs=)/.test(item)));
const near = (a, b) => Math.abs(Math.log(a / b)) < 0.06;

/** The losses worth showing: what diverges would flatten everything else. */
function heights(losses, smoothed) {
  const [all, mean] = [losses, smoothed].map((values) => values.filter(Number.isFinite));
  if (mean.length < 2) return null;
  const [least, first] = [Math.min(...mean), mean[0]];
  const span = Math.max(first - least, 0.1 * Math.abs(first), 1e-6);
  return [Math.max(Math.min(...all), least - 1.5 * span) - 0.1 * span, first + 0.9 * span];
}
