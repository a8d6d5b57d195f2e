// The editor for a loss of one's own: templates, a file, and the check that runs it in a process of its own.
//
// Gradio's editor holds the text and tells it through FTLoss.typed; mountLossTop's value puts a text into it.

import { Asker } from "../base/asker.js";
import { h, setText, toggle } from "../base/dom.js";
import { current, events, load, set } from "../setup/form.js";
import { Job } from "../setup/job.js";
import { sayLoss, LOSS_WORDS as WORDS } from "../words/loss.js";
import { WORDS as SETUP } from "../words/setup.js";
import { redrawCurve } from "./loss.js";
import { beforeCheck, drawInputs, LossArguments } from "./loss_given.js";
import { drawReport } from "./loss_report.js";

const LOOK_DELAY = 300; // ms of quiet before the text is looked at

let text = ""; // what the editor holds
let file = { path: "", sha256: "", text: "" }; // as last read or saved
let report = null; // of the last check
let reportOf = ""; // the data and network that it is of
let reportGiven = ""; // and what the code was given, with which arguments
/** @type {(text: string) => void} */
let put = () => {}; // puts a text into the editor
/** @type {any} */
let top = null; // { path, tell } of what stands above the editor
const about = new Map(); // task -> { templates, folder }

window.FTLoss = {
  typed: (value) => {
    text = value ?? "";
    events.dispatchEvent(new Event("loss-typed"));
  },
};

const saved = new Map(); // section -> file saved here: the form may not have answered yet
let section = "loss"; // which of two losses of one's own is in the editor

/** What the form says of the loss in the editor: `{ task, argv, section, file, entry, keep }`; undefined without any. */
function part() {
  const code = current()?.code;
  if (!code) return undefined;
  const found = code.parts.find((one) => one.section === section) ?? code.parts[0];
  section = found.section;
  return { ...code, ...found };
}

/** What the check and its examples depend on besides the loss: data and network, as text to compare. */
const dataOf = (argv) =>
  JSON.stringify(argv.filter((word) => !/^(loss|second_loss|optim|schedule|train)\./.test(word)));

/** What is set beside the code of the loss in the editor, as text to compare. */
const givenOf = (words) =>
  words
    .filter((word) => word.startsWith(`${section}.`) && /\.(inputs|arguments|ignored|entry)=/.test(word))
    .filter((word) => !word.endsWith("=auto"))
    .sort()
    .join("\n");

const isDirty = () => text.trim() !== "" && text !== file.text;

/**
 * @param {string} address Below `api/loss/`.
 * @param {object=} body With one it is posted.
 */
async function ask(address, body) {
  /** @type {RequestInit} */
  const options = body
    ? { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }
    : { cache: "no-store" };
  const answer = await fetch(`api/loss/${address}`, options).catch(() => null);
  if (answer === null) return { error: WORDS.noAnswer };
  const value = await answer.json().catch(() => ({}));
  return answer.ok ? value : { error: typeof value.detail === "string" ? value.detail : WORDS.noAnswer };
}

/** What stands above the editor: templates, the file. */
export function mountLossTop(element, props, trigger) {
  const block = element.closest("#ft-loss-code");
  const templates = h("select", { id: "ft-loss-template", class: "ft-loss-input" });
  const path = h("input", {
    id: "ft-loss-path",
    class: "ft-loss-input",
    type: "text",
    spellcheck: false,
    autocomplete: "off",
  });
  const open = h("button", { type: "button", class: "ft-loss-button" }, WORDS.open);
  const which = h(
    "select",
    { id: "ft-loss-which", class: "ft-loss-input" },
    ...Object.entries(WORDS.sections).map(([value, label]) => h("option", { value }, label)),
  );
  const whichLabel = h("label", { for: "ft-loss-which" }, WORDS.which);
  const message = h("p", { class: "ft-quiet", role: "status" });
  element
    .querySelector(".ft-loss-top")
    .replaceChildren(
      whichLabel,
      which,
      h("label", { for: "ft-loss-template" }, WORDS.template),
      templates,
      h("label", { for: "ft-loss-path", title: WORDS.fileHelp }, WORDS.file),
      h("span", { class: "ft-loss-file" }, path, open),
      message,
    );
  put = (value) => {
    text = value;
    props.value = JSON.stringify({ text: value, at: Date.now() });
    trigger("input");
  };
  top = { path, tell: (words) => setText(message, words) };
  templates.addEventListener("change", () => {
    const chosen = about.get(part()?.task)?.templates[Number(templates.value)];
    templates.value = "";
    if (!chosen || (isDirty() && !confirm(WORDS.replace))) return;
    put(chosen.text);
    file = { ...file, text: "" };
  });
  const read = async (name, isAsked) => {
    const answer = await ask(`file?path=${encodeURIComponent(name)}`);
    if (answer.error) return isAsked && setText(message, answer.error);
    file = answer;
    path.value = answer.path;
    setText(message, "");
    return put(answer.text);
  };
  open.addEventListener("click", () => (!isDirty() || confirm(WORDS.replace)) && read(path.value, true));
  which.addEventListener("change", () => {
    if (isDirty() && !confirm(WORDS.replace)) {
      which.value = section;
      return;
    }
    section = which.value;
    file = { path: "", sha256: "", text: "" };
    path.value = "";
    report = null;
    put("");
    follow();
    events.dispatchEvent(new Event("loss-other"));
  });
  const follow = async () => {
    if (!element.isConnected) return events.removeEventListener("state", follow);
    const code = part();
    toggle(block, Boolean(code));
    if (!code) return undefined;
    for (const one of [which, whichLabel]) toggle(one, code.parts.length > 1);
    which.value = code.section;
    if (!about.has(code.task)) about.set(code.task, await ask(`code?task=${encodeURIComponent(code.task)}`));
    const offered = about.get(code.task).templates ?? [];
    if (templates.dataset.task !== code.task) {
      templates.dataset.task = code.task;
      templates.replaceChildren(
        h("option", { value: "" }, WORDS.choose),
        ...offered.map((t, i) => h("option", { value: String(i) }, t.label)),
      );
    }
    if (!path.value) path.value = code.file || WORDS.names[code.section];
    if (code.file && code.file !== file.path && !isDirty()) await read(code.file, false);
    return undefined;
  };
  events.addEventListener("state", follow);
  events.addEventListener("code", follow);
  if (file.path || text) put(text);
  follow();
}

/** What stands below the editor: Save and Check, progress, the report. */
export function mountLossCheck(element) {
  const button = (words, action, name) =>
    h("button", { type: "button", class: `ft-loss-button ${name}`, on: { click: action } }, words);
  let isBusy = false; // a check that was begun here is under way
  const status = h("p", { role: "status", class: "ft-loss-status" });
  const result = h("div", { class: "ft-loss-report" });
  const say = (words, isWrong = false) => {
    setText(status, words);
    status.classList.toggle("ft-loss-wrong", isWrong);
  };
  const examples = new Asker("api/loss/inputs", SETUP.noAnswer);
  let shownFor = ""; // the settings that the examples are of
  /** @type {any[]} */
  let forms = [];
  const asked = () => {
    const word = part()?.keep.find((one) => one.startsWith(`${section}.inputs=`));
    return word ? word.slice(word.indexOf("=") + 1) : "auto";
  };
  const show = () => {
    const before = isBusy || forms.length < 2 ? null : drawInputs(beforeCheck(forms, asked()), choose);
    result.replaceChildren(...(report ? drawReport(report, use) : [before].filter(Boolean)));
  };
  /** The examples, asked anew where data or network are others. */
  const askForExamples = async () => {
    const code = part();
    if (!code?.argv || report) return;
    const key = dataOf(code.argv);
    if (key !== shownFor) {
      shownFor = key;
      forms = [];
      const answer = await examples.ask({ argv: JSON.parse(key) });
      if (answer === null || key !== shownFor) return;
      forms = answer.value?.forms ?? []; // without data the plan says what is wrong
    }
    show();
  };
  /** Take away a report on other data, another network, or the code with other arguments. */
  const forget = () => {
    const code = part();
    if (!report || !code?.argv) return;
    const given = [...code.keep, ...(code.entry ? [`${section}.entry=${JSON.stringify(code.entry)}`] : [])];
    const isOfOtherData = dataOf(code.argv) !== reportOf;
    if (!isOfOtherData && givenOf(given) === reportGiven) return;
    report = null;
    say(isOfOtherData ? WORDS.otherData : WORDS.otherGiven);
    show();
  };
  const given = new LossArguments((change) => apply(change));

  const save = async () => {
    const answer = await ask("file", {
      path: top.path.value,
      text,
      base: top.path.value === file.path ? file.sha256 : "",
      free: top.path.value === WORDS.names[section], // a name that nobody typed; another loss may have it
    });
    if (answer.error) return say(answer.error, true);
    file = { ...answer, text };
    top.path.value = answer.path;
    say(WORDS.saved);
    return answer;
  };
  /** The settings with this file as the loss; they go into the form too. */
  const argvWith = (path, change = {}) => {
    const { argv, parts } = part() ?? { argv: null, parts: [] };
    if (argv === null) return null;
    const rest = argv.filter((word) => !parts.some((one) => word.startsWith(`${one.section}.`)));
    return rest.concat(
      ...parts.map(({ section: name, file: named, entry, keep }) => {
        const changed = Object.entries(name === section ? change : {}).filter(([key]) => key !== "entry");
        const used = name === section ? (change.entry ?? entry) : entry;
        return [
          `${name}.name=custom`,
          `${name}.file=${JSON.stringify(name === section ? path : named || saved.get(name) || "")}`,
          ...keep.filter((word) => !changed.some(([key]) => word.startsWith(`${name}.${key}=`))),
          ...changed.filter(([, value]) => value).map(([key, value]) => `${name}.${key}=${value}`),
          ...(used ? [`${name}.entry=${JSON.stringify(used)}`] : []),
        ];
      }),
    );
  };
  const saveAndUse = async (change = {}) => {
    const answer = await save();
    if (!answer) return null;
    saved.set(section, answer.path);
    const argv = argvWith(answer.path, change);
    if (argv === null) {
      say(WORDS.otherFields, true);
      return null;
    }
    if (part()?.file !== answer.path || Object.keys(change).length) load(argv);
    return argv;
  };
  /** Put what the user set beside the code into the form; the file is saved with it. */
  const apply = (change) => (text.trim() ? saveAndUse(change) : say(WORDS.empty, true));
  /** Check again with the code given another form. */
  const use = (inputs) => check({ inputs });
  /** Set a form before there is anything to check; with code it is checked at once. */
  const choose = (inputs) => (text.trim() ? use(inputs) : set({ [`${section}.inputs`]: inputs }));
  const check = async (change = {}) => {
    if (!text.trim()) return say(WORDS.empty, true);
    const argv = await saveAndUse(change);
    if (!argv) return undefined;
    report = null;
    reportOf = dataOf(argv);
    reportGiven = givenOf(argv);
    show();
    isBusy = true;
    buttons();
    return job.start({ argv, section });
  };
  const take = ({ status: stands, number, says, seconds, result, errors }, before) => {
    if (!isBusy) return undefined;
    if (stands === "running") {
      const isAnothers = before.status === "running" && before.number !== undefined && before.number !== number;
      if (isAnothers) return end(WORDS.stopped); // another page began one
      return seconds === undefined ? undefined : say(sayLoss.running(says || WORDS.starting, seconds));
    }
    if (stands === "failed") return end(Object.values(errors).join(" "), true);
    if (stands !== "done") return end(WORDS.stopped);
    report = result;
    end("");
    forget();
    show();
    return redrawCurve();
  };
  const job = new Job("loss", { take, noAnswer: WORDS.noAnswer, isWatched: () => isBusy && element.isConnected });
  const end = (words, isWrong = false) => {
    isBusy = false;
    buttons();
    say(words, isWrong);
  };
  const checking = button(WORDS.check, () => check(), "ft-loss-go");
  const saving = button(WORDS.save, () => saveAndUse(), "");
  const cancelling = button(WORDS.cancel, () => isBusy && job.cancel(), "");
  const buttons = () => {
    checking.disabled = saving.disabled = isBusy;
    toggle(cancelling, isBusy);
  };
  element
    .querySelector(".ft-loss-check")
    .replaceChildren(
      given.element,
      h("div", { class: "ft-loss-actions" }, checking, saving, cancelling),
      status,
      result,
    );
  buttons();
  show();
  const typed = () => {
    if (!element.isConnected) return events.removeEventListener("loss-typed", typed);
    if (!isBusy) say(text.trim() ? (isDirty() ? WORDS.unsaved : "") : WORDS.empty);
    look();
    return undefined;
  };
  let looking = 0; // timer of the question what the text defines
  const look = () => {
    if (!element.isConnected) {
      for (const name of ["state", "code"]) events.removeEventListener(name, look);
      return;
    }
    forget();
    clearTimeout(looking);
    looking = window.setTimeout(async () => {
      const code = part();
      if (!code) return;
      const word = code.keep.find((one) => one.startsWith(`${section}.arguments=`)) ?? "";
      const found = await ask("signature", { text, arguments: word.slice(word.indexOf("=") + 1) });
      if (!found.error) given.show(found, code.entry);
      await askForExamples();
    }, LOOK_DELAY);
  };
  for (const name of ["state", "code"]) events.addEventListener(name, look);
  const other = () => (element.isConnected ? show() : events.removeEventListener("loss-other", other));
  events.addEventListener("loss-typed", typed);
  events.addEventListener("loss-other", other);
  typed();
}
