// Changes of a run at work: its rate halved, doubled or set anew, its length. The worker makes them before its next step.

import { h, setText, toggle } from "./dom.js";
import { WORDS } from "./rate_words.js";

export class ChangeBar {
  /** `send(wish)` resolves to what went wrong, "" if nothing. */
  constructor({ send }) {
    this.send = send;
    this.isSending = false;
    this.marks = 0;
    const button = (label, wish) => h("button", { type: "button", class: "ftl-button", on: { click: () => this.change(wish()) } }, label);
    this.rate = h("input", { class: "ftl-entry", type: "text", inputMode: "decimal", autocomplete: "off", placeholder: "3e-4", "aria-label": WORDS.newRate });
    this.epochs = h("input", { class: "ftl-entry", type: "text", inputMode: "numeric", autocomplete: "off", "aria-label": WORDS.epochs });
    const field = (name, label, input, wish) =>
      h("form", { class: "ftl-field", "data-field": name, on: { submit: (event) => { event.preventDefault(); this.change(wish()); } } },
        h("label", {}, h("span", {}, label), input), h("button", { type: "submit", class: "ftl-button" }, WORDS.set));
    this.message = h("p", { class: "ftl-changed", role: "status" });
    this.element = h("section", { class: "ftl-change", "aria-label": WORDS.change, hidden: true },
      h("h3", { class: "ftl-change-title" }, WORDS.change),
      h("div", { class: "ftl-change-line" },
        button(WORDS.half, () => ({ lr_factor: 0.5 })), button(WORDS.double, () => ({ lr_factor: 2 })),
        field("lr", WORDS.newRate, this.rate, () => this.newRate()), field("epochs", WORDS.epochs, this.epochs, () => this.newEpochs()),
        this.message),
    );
  }

  newRate() {
    const value = Number(this.rate.value);
    return value > 0 && Number.isFinite(value) ? { "optim.lr": value } : WORDS.notRate;
  }

  newEpochs() {
    const value = Number(this.epochs.value);
    return this.epochs.value.trim() && Number.isInteger(value) && value > 0 ? { "train.epochs": value } : WORDS.notEpochs;
  }

  async change(wish) {
    if (this.isSending) return;
    if (typeof wish === "string") return this.tell(wish, true);
    this.isSending = true;
    this.lock(true);
    const problem = await this.send(wish);
    this.isSending = false;
    this.lock(false);
    this.tell(problem || WORDS.waiting, Boolean(problem));
    if (!problem) this.rate.value = "";
    return undefined;
  }

  tell(text, isWrong) {
    setText(this.message, text);
    this.message.toggleAttribute("data-wrong", isWrong);
  }

  lock(isLocked) {
    for (const button of this.element.querySelectorAll("button")) button.disabled = isLocked;
  }

  /** Follow the run: only one at work can be changed, one change at a time. */
  show({ status, phase, epochs, marks = 0, messages = 0, requests = [] } = {}) {
    toggle(this.element, status === "running" && phase !== "starting" && Boolean(epochs));
    const said = marks + messages;
    if (said !== this.said) {
      this.said = said; // it was made, or a warning in Events says why not
      if (this.message.textContent === WORDS.waiting) this.tell("", false);
    }
    if (this.total !== epochs) {
      this.total = epochs;
      if (document.activeElement !== this.epochs) this.epochs.value = epochs ?? "";
    }
    this.lock(this.isSending || requests.includes("set"));
  }
}
