// The three questions that lead: what you have, what you want to tell, how long you have. Each is a row of choices; what
// follows from them stands in the sections below. Other ways to start are folded.

import { h, setText, toggle } from "../base/dom.js";
import { say, WORDS } from "../words/setup.js";

const SAMPLE = "builtin:sample";
const OWN = "default"; // the preset of a folder of one's own
const MINUTES = ["5", "30", ""]; // "": as long as the data needs

export class Lead {
  /**
   * `choose(preset)` fills the form; `set(settings)` changes a part of it; `openData()` goes to the path of the data.
   *
   * @param {Element} root
   * @param {{ presets: Preset[], choose: (preset: Preset) => void, set: (settings: Record<string, unknown>) => void, openData: () => void }} options
   */
  constructor(root, { presets, choose, set, openData }) {
    this.presets = presets;
    this.choose = choose;
    this.set = set;
    this.openData = openData;
    /** @type {FormState | null} */
    this.state = null;
    this.samples = presets.filter((preset) => preset.is_sample);
    /** @type {Map<string, Preset>} Task -> the first sample for it. */
    this.sampleOf = new Map();
    for (const preset of this.samples) if (!this.sampleOf.has(preset.task)) this.sampleOf.set(preset.task, preset);
    this.own = /** @type {Preset} */ (presets.find((preset) => preset.name === OWN));
    const leading = new Set([this.own, ...this.sampleOf.values()]);
    this.others = presets.filter((preset) => !leading.has(preset));
    /** @type {{ button: HTMLButtonElement, isOn: (state: FormState) => boolean }[]} */
    this.choices = [];
    this.time = this.line("time", WORDS.lead.time, this.times());
    this.hint = h("p", { class: "ft-preset-hint" });
    const others = h("div", { class: "ft-preset-buttons" }, ...this.others.map((preset) => this.preset(preset)));
    this.fold = h("details", { class: "ft-presets-fold" }, h("summary", {}, WORDS.lead.others), others);
    toggle(this.fold, this.others.length > 0);
    root.append(
      h("h2", { class: "ftl-sr" }, WORDS.setup),
      this.line("have", WORDS.lead.have, this.sources()),
      this.line("tell", WORDS.lead.tell, this.tasks()),
      this.time,
      this.hint,
      this.fold,
    );
  }

  /**
   * @param {string} id
   * @param {string} name
   * @param {HTMLElement[]} buttons
   */
  line(id, name, buttons) {
    const label = h("span", { class: "ft-lead-name", id: `ft-lead-${id}` }, name);
    const group = h(
      "div",
      { class: "ft-preset-buttons", role: "group", "aria-labelledby": label.id, "data-lead": id },
      ...buttons,
    );
    return h("div", { class: "ft-lead-line" }, label, group);
  }

  /**
   * @param {string} words
   * @param {Record<string, string | null>} about
   * @param {() => void} click
   * @param {(state: FormState) => boolean} isOn
   */
  button(words, about, click, isOn) {
    const button = h("button", { type: "button", class: "ft-preset", ...about, on: { click } }, words);
    this.choices.push({ button, isOn });
    return button;
  }

  /** @param {Preset} preset */
  preset(preset) {
    return this.button(
      preset.title,
      { title: preset.hint, "data-preset": preset.name },
      () => {
        this.fold.open = false; // once chosen, the rest is out of the way
        this.choose(preset);
      },
      (state) => state.argv?.[0] === preset.name,
    );
  }

  sources() {
    const own = () => (this.isSample ? this.choose(this.own) : this.openData());
    const sample = () => this.choose(this.sampleOf.get(this.state?.task ?? "") ?? this.samples[0]);
    return [
      this.button(WORDS.lead.own, { title: this.own.hint, "data-preset": OWN }, own, (state) => state.place !== SAMPLE),
      this.button(
        WORDS.lead.sample,
        { title: this.samples[0].hint, "data-preset": this.samples[0].name },
        sample,
        (state) => state.place === SAMPLE,
      ),
    ];
  }

  tasks() {
    return Object.entries(WORDS.lead.tasks).map(([task, { word, hint }]) =>
      this.button(
        word,
        { title: hint, "data-task": task },
        () => {
          const sample = this.sampleOf.get(task);
          if (this.isSample && sample) this.choose(sample);
          else this.set({ task });
        },
        (state) => state.task === task,
      ),
    );
  }

  times() {
    return MINUTES.map((minutes) =>
      this.button(
        minutes ? say.minutes(minutes) : WORDS.lead.noLimit,
        { title: minutes ? WORDS.lead.timeHint : WORDS.lead.noLimitHint, "data-minutes": minutes },
        () => this.set({ "train.minutes": minutes ? Number(minutes) : null, "train.epochs": null }),
        ({ time }) => time.epochs === "" && time.minutes === minutes,
      ),
    );
  }

  get isSample() {
    return this.state?.place === SAMPLE;
  }

  /**
   * What the form says now.
   *
   * @param {FormState} state
   * @param {string} hint
   */
  show(state, hint) {
    this.state = state;
    for (const { button, isOn } of this.choices) button.setAttribute("aria-pressed", String(isOn(state)));
    toggle(this.time, !this.isSample); // its presets say how long they train
    setText(this.hint, hint);
  }
}
