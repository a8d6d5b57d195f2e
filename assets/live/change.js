// Changes of a run at work: its rate halved, doubled or set anew, its length; validating and saving now. The worker does
// them before its next step. Of a run that has ended: more epochs, or its settings as a start.

import { h, setText, toggle } from "../base/dom.js";
import { say, WORDS } from "../words/rates.js";

const ENDED = new Set(["completed", "stopped", "paused", "failed", "lost"]);

/**
 * The change that `text` asks of a setting, or what is wrong with it.
 *
 * @param {LiveSetting} setting
 * @param {string} text
 */
function wishOf({ path, example, at_most: most, is_whole: isWhole }, text) {
  const value = Number(text);
  const isRight = value > 0 && value <= most && (!isWhole || Number.isInteger(value));
  return isRight ? { [path]: value } : isWhole ? say.notWhole(most) : say.notRate(example, most);
}

export class ChangeBar {
  /**
   * `send(wish, action)` resolves to what went wrong, "" if nothing; `clone()` fills the set-up with the run's settings;
   * `changes`: what can change, by path (fine_tuner/config/live_changes.py).
   *
   * @param {{ send: (wish: object, action?: string) => Promise<string>, clone: () => void, actions: string[], changes: Record<string, LiveSetting> }} options
   */
  constructor({ send, clone, actions, changes }) {
    this.factor = changes.lr_factor;
    this.lr = changes["optim.lr"];
    this.length = changes["train.epochs"];
    this.send = send;
    this.actions = actions;
    this.isSending = false;
    this.said = "";
    /** @type {number | undefined} */
    this.total = undefined;
    /**
     * @param {string} label
     * @param {() => void} click
     */
    const button = (label, click, title = "") =>
      h("button", { type: "button", class: "ftl-button", title, on: { click } }, label);
    this.rate = h("input", {
      class: "ftl-entry",
      type: "text",
      inputMode: "decimal",
      autocomplete: "off",
      placeholder: say.example(this.lr.example),
      title: this.lr.effect,
      "aria-label": this.lr.label,
    });
    this.epochs = h("input", {
      class: "ftl-entry",
      type: "text",
      inputMode: "numeric",
      autocomplete: "off",
      title: this.length.effect,
      "aria-label": this.length.label,
    });
    /**
     * @param {string} name
     * @param {string} label
     * @param {HTMLElement} input
     * @param {() => void} act
     */
    const field = (name, label, input, act) => {
      const set = h("button", { type: "submit", class: "ftl-button" }, WORDS.set);
      const form = h(
        "form",
        {
          class: "ftl-field",
          "data-field": name,
          on: {
            submit: (/** @type {Event} */ event) => {
              event.preventDefault();
              act();
            },
          },
        },
        h("label", {}, h("span", {}, label), input),
        set,
      );
      return [form, set];
    };
    this.message = h("p", { class: "ftl-changed", role: "status" });
    const [rateForm] = field("lr", this.lr.label, this.rate, () => this.change(wishOf(this.lr, this.rate.value)));
    const [epochsForm, setEpochs] = field("epochs", this.length.label, this.epochs, () => this.setEpochs());
    this.epochsButton = setEpochs;
    /**
     * @param {string} action
     * @param {string} label
     * @param {string} hint
     */
    const at = (action, label, hint) =>
      actions.includes(action) ? button(label, () => this.change({}, action), hint) : null;
    this.whileRunning = [
      button(WORDS.half, () => this.change({ [this.factor.path]: 0.5 }), this.factor.effect),
      button(WORDS.double, () => this.change({ [this.factor.path]: 2 }), this.factor.effect),
      rateForm,
    ];
    this.now = [
      at("evaluate", WORDS.validate, WORDS.validateHint),
      at("checkpoint", WORDS.save, WORDS.saveHint),
    ].filter(Boolean);
    this.epochsForm = epochsForm;
    this.clone = actions.includes("clone") ? button(WORDS.clone, clone, WORDS.cloneHint) : null;
    this.heading = h("h3", { class: "ftl-change-title" }, WORDS.change);
    this.element = h(
      "section",
      { class: "ftl-change", "aria-label": WORDS.change, hidden: true },
      this.heading,
      h("div", { class: "ftl-change-line" }, ...this.whileRunning, epochsForm, ...this.now, this.clone, this.message),
    );
  }

  /** More or fewer epochs of a run at work; more of one that has ended. */
  setEpochs() {
    const wish = wishOf(this.length, this.epochs.value);
    if (this.isRunning || typeof wish === "string") return this.change(wish);
    return this.change({ epochs: wish[this.length.path] }, "extend");
  }

  /** @param {Record<string, number> | string} wish */
  async change(wish, action = "set") {
    if (this.isSending) return;
    if (typeof wish === "string") return this.tell(wish, true);
    this.isSending = true;
    this.lock(true);
    const problem = await this.send(wish, action);
    this.isSending = false;
    this.lock(false);
    this.tell(problem || (action === "set" ? WORDS.waiting : action === "extend" ? "" : WORDS.asked), Boolean(problem));
    if (!problem) this.rate.value = "";
    return undefined;
  }

  /**
   * @param {string} text
   * @param {boolean} isWrong
   */
  tell(text, isWrong) {
    setText(this.message, text);
    this.message.toggleAttribute("data-wrong", isWrong);
  }

  /** @param {boolean} isLocked */
  lock(isLocked) {
    for (const button of this.element.querySelectorAll("button")) button.disabled = isLocked;
  }

  /**
   * Follow the run: at work it can be changed, one change at a time; once it has ended it can go on or be cloned.
   *
   * @param {Partial<RunState>} state
   * @param {Partial<RunAbout>} about
   */
  show({ status, phase, epochs, marks = 0, messages = 0, requests = [], best }, about = {}) {
    this.isRunning = status === "running" && phase !== "starting" && Boolean(epochs);
    const isOver = ENDED.has(status ?? "");
    const canExtend = isOver && Boolean(about.can_resume && epochs) && this.actions.includes("extend");
    toggle(this.element, this.isRunning || canExtend || (isOver && Boolean(this.clone)));
    setText(this.heading, this.isRunning ? WORDS.change : WORDS.onward);
    this.element.setAttribute("aria-label", this.heading.textContent);
    for (const part of [...this.whileRunning, ...this.now]) toggle(part, this.isRunning);
    toggle(this.epochsForm, this.isRunning || canExtend);
    if (this.clone) toggle(this.clone, isOver);
    setText(this.epochsButton, this.isRunning ? WORDS.set : WORDS.extend);
    this.epochsButton.title = this.isRunning ? "" : WORDS.extendHint;
    const said = `${marks} ${messages} ${best} ${status}`;
    if (said !== this.said) {
      this.said = said; // it was done, or a warning in Events says why not
      if ([WORDS.waiting, WORDS.asked].includes(this.message.textContent)) this.tell("", false);
    }
    if (this.total !== epochs) {
      this.total = epochs;
      if (document.activeElement !== this.epochs) this.epochs.value = epochs ?? "";
    }
    this.lock(this.isSending || requests.includes("set"));
  }
}
