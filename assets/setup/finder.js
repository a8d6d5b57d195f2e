// The learning-rate finder in the optimizer's section: a button, a sweep under way, its curve, a click that sets a rate.

import { h, setText, toggle } from "../base/dom.js";
import { preview } from "../charts/preview.js";
import { say, WORDS } from "../words/rates.js";
import { current, events } from "./form.js";
import { JobPart } from "./job.js";

const FIELD = "#ft-optim-lr input";
const DIGITS = 2; // a rate is known to no more than that

export function mountFinder(element) {
  new FinderPart(element.querySelector(".ft-finder"));
}

class FinderPart extends JobPart {
  constructor(root) {
    const chart = h("div", { class: "ft-find-chart" });
    const uses = h("div", { class: "ft-find-uses", role: "group", "aria-label": WORDS.find });
    super(root, { kind: "finder", words: WORDS, label: WORDS.find, hint: WORDS.findHint, below: [chart, uses] });
    this.chart = chart;
    this.uses = uses;
    events.addEventListener("state", () => this.show());
    this.mount();
  }

  begin() {
    const { argv } = /** @type {FormState} */ (current());
    if (!argv) return this.job.fail(WORDS.invalid);
    this.chosen = null;
    return this.job.start({ argv });
  }

  show() {
    const { status, done, total, argv, result, points = [] } = this.state;
    const isRunning = status === "running";
    const isOld = status === "done" && sweepKey(argv) !== sweepKey(current()?.argv ?? []);
    this.showJob({
      running: done ? say.progress(done, total) : WORDS.preparing,
      done: isOld ? WORDS.changed : "",
    });
    setText(this.start, status === "done" ? WORDS.again : WORDS.find);
    const finite = points.filter(([, loss]) => loss !== null);
    const curve = result ?? { lrs: finite.map(([lr]) => lr), losses: finite.map(([, loss]) => loss), smoothed: [] };
    const isTrue = Boolean(result) && !isOld; // of another network, other data: no curve of these
    const hasCurve = (isRunning && finite.length > 1) || isTrue;
    toggle(this.chart, hasCurve);
    if (hasCurve) this.drawCurve(curve);
    this.showUses(isTrue ? result : null);
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
/** @returns {[number, number] | null} */
function heights(losses, smoothed) {
  const [all, mean] = [losses, smoothed].map((values) => values.filter(Number.isFinite));
  if (mean.length < 2) return null;
  const [least, first] = [Math.min(...mean), mean[0]];
  const span = Math.max(first - least, 0.1 * Math.abs(first), 1e-6);
  return [Math.max(Math.min(...all), least - 1.5 * span) - 0.1 * span, first + 0.9 * span];
}
