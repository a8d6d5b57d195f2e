// What to do next with the run: the sentence and the buttons that the app names (fine_tuner/runs/view/next_steps.py).

import { h, setText, toggle } from "../base/dom.js";
import { TEXT } from "../words/live.js";

const RESULTS_TAB = "ft-tab-results-button";

export class NextSteps {
  /**
   * `ask(action, body)` resolves to what went wrong, "" if nothing; `weightsAddress(run)`: where the weights are. What
   * other parts of the page do is an event `ft-next` of the document: `{ run, step }`.
   *
   * @param {{ ask: (action: string, body?: object) => Promise<string>, actions: string[], weightsAddress: (run: string) => URL }} options
   */
  constructor({ ask, actions, weightsAddress }) {
    this.ask = ask;
    this.actions = actions;
    this.weightsAddress = weightsAddress;
    this.shown = "";
    this.text = h("p", { class: "ftl-next-text" });
    this.buttons = h("div", { class: "ftl-next-buttons" });
    this.problem = h("p", { class: "ftl-problem", role: "alert", hidden: true });
    this.element = h(
      "section",
      { class: "ftl-next", "aria-label": TEXT.next, hidden: true },
      this.text,
      this.buttons,
      this.problem,
    );
  }

  /** @param {Pick<RunAbout, "id" | "next">} about */
  show({ id: run, next } = { id: "" }) {
    const steps = (next?.steps ?? []).filter((step) => this.canDo(step));
    toggle(this.element, steps.length > 0 || Boolean(next?.text));
    const key = JSON.stringify([run, next]);
    if (key === this.shown) return; // a button that is being pressed stays the same button
    this.shown = key;
    toggle(this.problem, false);
    setText(this.text, (next?.text ?? "").replaceAll(" %", "\u00a0%")); // a number stays with its unit
    toggle(this.text, Boolean(next?.text));
    this.buttons.replaceChildren(...steps.map((step, at) => this.button(run, step, at === 0)));
  }

  /** @param {NextStep} step */
  canDo({ action }) {
    if (action === "wrong") return Boolean(document.getElementById(RESULTS_TAB));
    return !["stop", "resume", "extend"].includes(action) || this.actions.includes(action);
  }

  /**
   * @param {string} run
   * @param {NextStep} step
   * @param {boolean} isFirst
   */
  button(run, step, isFirst) {
    const shape = { class: `ftl-button${isFirst ? " ftl-first" : ""}`, "data-next": step.action };
    if (step.action === "download")
      return h(
        "a",
        { ...shape, href: String(this.weightsAddress(run)), download: "", title: TEXT.weightsHint },
        step.label,
      );
    return h("button", { ...shape, type: "button", on: { click: () => this.press(run, step) } }, step.label);
  }

  /**
   * @param {string} run
   * @param {NextStep} step
   */
  async press(run, step) {
    if (!["stop", "resume", "extend"].includes(step.action)) {
      document.dispatchEvent(new CustomEvent("ft-next", { detail: { run, step } }));
      return;
    }
    for (const button of this.buttons.children) button.disabled = true;
    const problem = await this.ask(step.action, step.action === "extend" ? { epochs: step.epochs } : undefined);
    for (const button of this.buttons.children) button.disabled = false;
    setText(this.problem, problem);
    toggle(this.problem, Boolean(problem));
  }
}
