// What the code of the user's own loss is given: the form that the check came to and the others, each with an example
// of this data; the loss's values for three answers; and fields for the arguments that the code has.

import { h, setText, toggle } from "../base/dom.js";
import { number } from "../base/format.js";
import { LOSS_WORDS as WORDS } from "../words/loss.js";

/**
 * The forms of a report, the others one click away; before the first check all of them, with the one that is set.
 * @param {LossInputs | null | undefined} inputs `inputs` of the report; or `{ asked, used, sentence, forms }` with what is set.
 * @param {(inputs: string) => void} use Trains with another form.
 */
export function drawInputs(inputs, use) {
  if (!inputs) return null;
  const forms = inputs.asked === "auto" ? inputs.forms : [...inputs.forms, { inputs: "auto", name: WORDS.auto }];
  /** @param {LossForm} form */
  const row = (form) => {
    const isUsed = form.inputs === inputs.used;
    if (form.inputs === "auto" && isUsed) return null; // the sentence says it
    return h(
      "li",
      { "data-used": String(isUsed), "data-inputs": form.inputs },
      isUsed
        ? h("strong", {}, WORDS.used)
        : h("button", { type: "button", class: "ft-link", on: { click: () => use(form.inputs) } }, WORDS.use),
      h("span", {}, form.name),
      form.output ? h("code", {}, `output ${form.output}`) : null,
      form.target ? h("code", {}, `target ${form.target}`) : null,
      form.why && !isUsed ? h("span", { class: "ft-quiet" }, `${WORDS.withIt} ${form.why}.`) : null,
    );
  };
  return h(
    "div",
    { class: "ft-loss-given" },
    h("p", {}, inputs.sentence),
    forms.length > 1
      ? h(
          "details",
          { open: Boolean(inputs.isBefore) },
          h("summary", {}, WORDS.forms),
          h("ul", { class: "ft-loss-forms" }, ...forms.map(row).filter(Boolean)),
        )
      : null,
  );
}

/**
 * What is shown before the first check: the forms with an example each, and what is set.
 * @param {LossForm[]} forms
 * @param {string} asked The form that is set, or `auto`.
 */
export const beforeCheck = (forms, asked) => {
  const chosen = forms.find((form) => form.inputs === asked);
  const sentence = chosen ? `${WORDS.isGiven} ${chosen.name}, ${WORDS.asChosen}` : WORDS.checkChooses;
  return { asked, used: chosen ? asked : "auto", sentence, forms, isBefore: true };
};

/**
 * Values where all answers are right, every second one, and none.
 * @param {LossReport["answers"]} answers
 */
export function drawAnswers(answers) {
  if (!answers) return null;
  const cells = Object.entries(WORDS.answers).filter(([name]) => typeof answers[name] === "number");
  if (!cells.length) return null;
  return h(
    "dl",
    { class: "ft-loss-answers", "aria-label": WORDS.answersTitle },
    ...cells.flatMap(([name, label]) => [h("dt", {}, label), h("dd", {}, number(answers[name]))]),
  );
}

/**
 * The losses that a file defines, and a field for each argument of the chosen one.
 */
export class LossArguments {
  /** @param {(change: { entry?: string, arguments?: string }) => void} change Told what the user sets. */
  constructor(change) {
    this.change = change;
    this.element = h("div", { class: "ft-loss-arguments" });
    this.key = "";
  }

  /**
   * @param {{ losses: LossEntry[], values: Record<string, string> }} found What the text defines, and what is set.
   * @param {string} entry The name that is set; empty for none.
   */
  show(found, entry) {
    const key = JSON.stringify([found, entry]);
    if (key === this.key) return;
    this.key = key;
    const chosen =
      found.losses.find((loss) => loss.name === entry) ?? (found.losses.length === 1 ? found.losses[0] : null);
    const parts = [];
    if (found.losses.length > 1) parts.push(...this.choice(found.losses, chosen));
    const fields = (chosen?.arguments ?? []).filter((one, i, all) => all.findIndex((a) => a.name === one.name) === i);
    for (const argument of fields) parts.push(...this.field(argument, found.values));
    this.element.replaceChildren(...parts);
    toggle(this.element, parts.length > 0);
  }

  /**
   * @param {LossEntry[]} losses
   * @param {LossEntry | null} chosen
   */
  choice(losses, chosen) {
    const select = h(
      "select",
      { id: "ft-loss-entry-choice", class: "ft-loss-input" },
      h("option", { value: "" }, WORDS.chooseLoss),
      ...losses.map((loss) => h("option", { value: loss.name }, loss.name)),
    );
    select.value = chosen?.name ?? "";
    select.addEventListener("change", () => this.change({ entry: select.value }));
    return [h("label", { for: "ft-loss-entry-choice" }, WORDS.whichLoss), select];
  }

  /**
   * @param {LossArgument} argument
   * @param {Record<string, string>} values What is set, by name.
   */
  field(argument, values) {
    const id = `ft-loss-argument-${argument.name}`;
    const input = h("input", {
      id,
      class: "ft-loss-input",
      type: "text",
      spellcheck: false,
      autocomplete: "off",
      "data-argument": argument.name,
      placeholder: argument.default ?? WORDS.needed,
    });
    input.value = values[argument.name] ?? "";
    input.addEventListener("change", () => this.change({ arguments: this.written() }));
    const label = h("label", { for: id }, argument.name);
    setText(label, argument.name);
    return [label, input];
  }

  /** What is set, as in a call. */
  written() {
    return [...this.element.querySelectorAll("input[data-argument]")]
      .filter((input) => input.value.trim())
      .map((input) => `${input.dataset.argument}=${input.value.trim()}`)
      .join(", ");
  }
}
