// What a loss does: value and gradient against the right answer's probability, the error, the overlap; beside them,
// faint, what was shown before: another loss, or the same one with other parameters. Drawn for the settings in the form; of the user's own code by its last check.

import { Asker } from "../base/asker.js";
import { h, setText, toggle } from "../base/dom.js";
import { preview } from "../charts/preview.js";
import { current, events } from "../setup/form.js";
import { LOSS_WORDS as WORDS } from "../words/loss.js";
import { WORDS as SETUP } from "../words/setup.js";

const DELAY = 250; // ms of quiet before a question is asked
const HEIGHT = 130; // px
const FAINT = "#8b919a";
const SETTINGS = /^(task|loss\.|second_loss\.)/; // what a curve depends on

/** @type {{ key: string, value: LossCurve } | null} */
let shown = null; // { key, value } now on view: kept here, since folding the section takes the part off the page
/** @type {LossCurve | null} */
let before = null; // what was shown before, of the same task: another loss, or this one with other parameters

export const redrawCurve = () => events.dispatchEvent(new Event("loss-checked"));

/**
 * @param {any} element
 * @param {{ reason?: string }} props Why the user would want it.
 */
export function mountLossCurve(element, props) {
  const root = element.querySelector(".ft-loss-curve");
  const part = new CurvePart(root, String(props.reason ?? ""));
  const listen = () => (root.isConnected ? part.changed() : stop());
  const again = () => (root.isConnected ? part.changed(true) : stop());
  const stop = () => {
    events.removeEventListener("state", listen);
    events.removeEventListener("loss-checked", again);
  };
  events.addEventListener("state", listen);
  events.addEventListener("loss-checked", again);
  if (current()) part.changed();
}

class CurvePart {
  /**
   * @param {HTMLElement} root
   * @param {string} reason
   */
  constructor(root, reason) {
    this.asker = new Asker("api/loss/curve", SETUP.noAnswer);
    this.title = h("h3", {}, WORDS.title);
    this.status = h("p", { class: "ft-quiet", role: "status" });
    this.formula = h("p", { class: "ft-loss-formula" });
    this.source = h("p", { class: "ft-quiet ft-loss-source" });
    this.charts = h("div", { class: "ft-loss-charts" });
    root.replaceChildren(
      this.title,
      this.formula,
      this.source,
      this.status,
      this.charts,
      h("p", { class: "ft-quiet" }, reason),
    );
    if (shown) this.draw();
  }

  changed(isForced = false) {
    clearTimeout(this.timer);
    const { argv, code, task } = /** @type {FormState} */ (current());
    if (!argv) {
      this.fade();
      return setText(this.status, code ? WORDS.checkFirst : WORDS.incomplete);
    }
    const key = JSON.stringify([task, argv.filter((word) => SETTINGS.test(word))]);
    if (key === shown?.key && !isForced) return this.draw();
    this.fade();
    setText(this.status, shown ? WORDS.updating : WORDS.loading);
    this.timer = setTimeout(() => this.ask(argv, key), DELAY);
    return undefined;
  }

  /** What is shown is of other settings, until the answer is here. */
  fade() {
    for (const part of [this.charts, this.formula, this.source]) part.classList.add("ft-stale");
  }

  /**
   * @param {string[]} argv
   * @param {string} key
   */
  async ask(argv, key) {
    const answer = await this.asker.ask({ argv });
    if (answer === null) return;
    if (answer.value === null) {
      setText(this.status, `${WORDS.failed} ${Object.values(answer.errors).join(" ")}`);
      shown = null; // what stood here is of another loss
      this.charts.replaceChildren();
      for (const part of [this.formula, this.source]) toggle(part, false);
      return;
    }
    const { value } = answer;
    if (shown?.value.task !== value.task) before = null;
    else if (shown && key !== shown.key && shown.value.panels.length) before = shown.value;
    shown = { key, value };
    this.draw();
  }

  draw() {
    if (!shown) return;
    const { value } = shown;
    for (const part of [this.charts, this.formula, this.source]) part.classList.remove("ft-stale");
    setText(this.status, value.panels.length ? "" : WORDS.checkFirst);
    setText(this.formula, value.formula);
    this.source.replaceChildren(...withLinks(value.source));
    toggle(this.source, Boolean(value.source));
    toggle(this.formula, Boolean(value.formula));
    const hosts = value.panels.map(
      (panel, i) => this.charts.children[i] ?? h("div", { class: "ft-loss-chart", "data-panel": panel.key }),
    );
    this.charts.replaceChildren(...hosts);
    value.panels.forEach((panel, i) => {
      preview(hosts[i], chartOf(panel, value.name, before));
    });
  }
}

/**
 * Both curves of one panel, over those of the loss chosen before.
 * @param {LossPanel} panel
 * @param {string} name
 * @param {LossCurve | null} other
 * @returns {PreviewSpec}
 */
function chartOf(panel, name, other) {
  const old = other?.panels.find((p) => p.key === panel.key);
  /** @type {NonNullable<PreviewSpec["lines"]>} */
  const lines = [
    { label: panel.value_label, color: "train", x: panel.x, y: panel.value },
    { label: panel.gradient_label, color: "norm", x: panel.x, y: panel.gradient, dash: "4px,2px" },
  ];
  if (other && old && (other.name !== name || JSON.stringify(old) !== JSON.stringify(panel))) {
    const called = other.name === name ? WORDS.before : words(other.name); // the same loss with other parameters, or another
    lines.unshift(
      { label: `${called}, ${panel.value_label.toLowerCase()}`, color: FAINT, width: 1.2, x: old.x, y: old.value },
      { label: `${called}, gradient`, color: FAINT, width: 1.2, x: old.x, y: old.gradient, dash: "4px,2px" },
    );
  }
  return { id: `loss-${panel.key}`, title: panel.x_label, kind: "number", axis: "number", height: HEIGHT, lines };
}

/** @param {string} name */
const words = (name) => name.replaceAll("_", " ");

/**
 * Text with its addresses as links.
 * @param {string} text
 */
function withLinks(text) {
  return text
    .split(/(https:\/\/[^\s,;]+)/)
    .map((part) =>
      part.startsWith("https://")
        ? h("a", { href: part, target: "_blank", rel: "noopener noreferrer" }, part.replace(/^https:\/\//, ""))
        : part,
    );
}
