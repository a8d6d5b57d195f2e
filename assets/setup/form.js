// The set-up: presets, the sections' values, errors at the fields, the command, Train.
//
// The server answers every change of the form with a state (see fine_tuner/ui/form/form.py: state_of). This file shows it,
// and sends it back with the next change, so that nothing about a visitor is kept on the server.

import { h, setText } from "../base/dom.js";
import { inLabels, learnLabels } from "../words/labels.js";
import { say, WORDS } from "../words/setup.js";
import { showDevices } from "./devices.js";
import { clearErrors, focusFirstError, showErrors, showFieldOf, showReasons, suggestFolders } from "./fields.js";
import { Lead } from "./lead.js";

const STORED = "fine-tuner-form";
/** @type {FormState | null} */
let state = null; // as last given by the server
/** @type {Record<string, string>} */
let found = {}; // dotted path -> what the check of data and network found wrong, for the settings in `state`
/** @type {any} */
let holder = null; // { props, trigger } of the state's gr.HTML
/** @type {(() => void) | null} */
let afterLoad = null;
/** @type {number | undefined} */
let unanswered; // timer
/** @type {Preset[]} */
let presets = [];
/** @type {Lead | null} */
let lead = null;
let presetName = ""; // nearest to the settings, or chosen last
/** @type {FormField[]} */
let fields = []; // of every input
/** @type {{ load?: string[], set?: object, ask: number } | null} */
let wanted = null; // { load | set, ask }: what was asked for and is not answered yet
let wishes = 0;
let isLoading = false;
let isLoaded = true;
let typedIn = ""; // id of the field in which someone types; "" once it is left, or Enter was pressed
/** @type {Map<string, { text: string, after: number }>} */
const typed = new Map(); // id of a text field -> what was typed last, and the number of the event sent before that
let sent = 0; // events sent, counted

/** @type {PageEvents} */
export const events = /** @type {any} */ (new EventTarget()); // "state": the form says something new; "typing": a text field holds another text; "plan": it is answered; "code": the user's own loss is another; "started": a run was
export const current = () => state;
/** @type {any} */
let plan = null;
events.addEventListener("plan", (/** @type {CustomEvent} */ { detail }) => {
  plan = detail.value ?? plan;
});
/** The newest plan that could be made, for parts that are mounted when their section opens; null before the first. */
export const lastPlan = () => plan;

/** @param {string | null} text */
const parse = (text) => {
  try {
    return JSON.parse(text ?? "") ?? {};
  } catch {
    return {};
  }
};

/** @type {string | null} */
let parent = null; // id of the run that the form was filled from

/**
 * Before an event goes to the server: in which field is someone in the middle of typing? Its error can wait.
 * And what was typed is what is sent, whatever Gradio says that the fields hold.
 */
window.FTStamp = ([stamp, ...values]) => {
  sent += 1;
  const shown = fields.map(({ id }, at) => typed.get(id)?.text ?? values[at]);
  return [JSON.stringify({ ...parse(stamp), ...(wanted ?? {}), typing: typedIn, parent, event: sent }), ...shown];
};

/**
 * Put back what was typed. Gradio gives a field that comes into view the value it had before a moment later, and an
 * answer under way does not know of keys pressed since; the app's own values are taken only where they are newer.
 */
function keepTyped() {
  for (const [id, { text }] of typed) {
    const input = /** @type {HTMLInputElement | null} */ (document.querySelector(`#${id} input[type="text"]`));
    if (!input || input.value === text) continue;
    input.value = text;
    input.dispatchEvent(new Event("input", { bubbles: true })); // Gradio takes it over; `listen` sends it
  }
}

/**
 * Events of the text fields. Gradio's own `input` is a key press: it misses what is pasted, deleted or picked from a list.
 *
 * @param {HTMLElement} setup
 */
function listen(setup) {
  /** @type {number | undefined} */
  let timer;
  /** @param {any} target */
  const isText = (target) => target.matches?.('.block.ft-field input[type="text"]:not([role="combobox"])');
  /** @param {number} delay */
  const tell = (delay) => {
    clearTimeout(timer);
    timer = setTimeout(send, delay); // after Gradio has taken over the value
  };
  setup.addEventListener("input", (event) => {
    const target = /** @type {any} */ (event.target);
    if (!isText(target)) return undefined;
    const { id } = target.closest(".block.ft-field");
    if (!event.isTrusted && typed.get(id)?.text === target.value) return tell(90); // put back, not typed
    typed.set(id, { text: target.value, after: sent });
    typedIn = id;
    const path = fields.find((field) => field.id === typedIn)?.path;
    if (path) events.dispatchEvent(new CustomEvent("typing", { detail: { path, text: target.value.trim() } }));
    return tell(90);
  });
  /** @param {{ target: any }} event */
  const leave = ({ target }) => {
    if (!isText(target) || !typedIn) return;
    typedIn = "";
    tell(30);
  };
  setup.addEventListener("focusout", leave);
  setup.addEventListener("keydown", (event) => event.key === "Enter" && leave(event));
}

// ------------------------------------------------------------------ state and presets
/**
 * @param {any} element
 * @param {any} props
 * @param {(event: string) => void} trigger
 * @param {(name: string, changed: () => void) => void} watch
 */
export function mountState(element, props, trigger, watch) {
  holder = { props, trigger };
  presets = JSON.parse(JSON.stringify(props.presets));
  fields = JSON.parse(JSON.stringify(props.fields)).map((/** @type {string[]} */ [path, key, id, section, label]) => ({
    path,
    key,
    id,
    section,
    label,
  }));
  learnLabels(fields);
  lead = new Lead(element.querySelector(".ft-presets"), {
    presets,
    choose,
    set,
    openData: () => openSection("data", true),
  });
  const stored = parse(localStorage.getItem(STORED)); // before the first state is shown, and stored
  const show = () => apply(element, parse(props.value));
  watch("value", show);
  show();
  const setup = element.closest("#ft-setup");
  listen(setup);
  setup.addEventListener("click", showOpened);
  new MutationObserver(() => requestAnimationFrame(redraw)).observe(setup, { childList: true, subtree: true });
  const early = window.FTEarly ?? new Map();
  window.FTEarly = null;
  if (restore(stored)) afterLoad = () => retype(early);
  else retype(early);
}

/**
 * Type once more what was typed before this script was there.
 *
 * @param {Map<HTMLInputElement, string>} early
 */
function retype(early) {
  for (const [input, text] of early) {
    if (!input.isConnected || !input.closest?.(".ft-field")) continue;
    input.value = text;
    input.dispatchEvent(new Event("input", { bubbles: true }));
  }
}

/**
 * A section that was unfolded comes into view: all of it where there is room, else from its title on.
 *
 * @param {Event} event
 */
function showOpened({ target }) {
  const header = /** @type {HTMLElement} */ (target).closest(".ft-section > button");
  const section = header?.parentElement;
  if (!header || !section) return;
  setTimeout(() => {
    if (!header.classList.contains("open")) return;
    const room = Math.min(innerHeight, document.getElementById("ft-sections")?.clientHeight ?? innerHeight);
    section.scrollIntoView({ block: section.offsetHeight > room ? "start" : "nearest" });
  }, 200); // what was folded is drawn then
}

/** @param {Preset} preset */
function choose(preset) {
  afterLoad = preset.name === "default" ? () => openSection("data", true) : null; // not before: the answer fills the fields
  presetName = preset.name;
  parent = null;
  cloneHint = "";
  load([preset.name]);
}

let cloneHint = "";

/**
 * Fill the form with the settings of a run; the next start names it as the parent.
 *
 * @param {string[]} argv
 * @param {string} run
 * @param {string} hint
 * @param {(() => void) | null} after Called once the form shows them.
 */
export function fillFrom(argv, run, hint, after = null) {
  parent = run;
  cloneHint = hint;
  afterLoad = after;
  load(argv);
}

/**
 * Fill the form from `[preset, section.key=value, ...]`.
 *
 * @param {string[]} argv
 */
export function load(argv) {
  isLoading = true;
  want({ load: argv });
}

/**
 * Put settings into the form: `{"data.path": "photos"}`; the server knows which fields these are.
 *
 * @param {Record<string, unknown>} settings
 */
export function set(settings) {
  want({ set: { ...wanted?.set, ...settings } });
}

/**
 * A wish goes with every event until an answer names it; in the state itself, an answer under way would wipe it out.
 *
 * @param {{ load?: string[], set?: object }} wish
 */
function want(wish) {
  wishes += 1;
  wanted = { ...wish, ask: wishes };
  send();
}

/** Whether the form was last filled from a whole configuration, not changed field by field. */
export const wasLoaded = () => isLoaded;

/** Tell the server; again if it does not answer, since Gradio drops events until all of the page is there. */
function send(tries = 6) {
  clearTimeout(unanswered);
  holder.trigger("input");
  if (tries > 1) unanswered = setTimeout(() => send(tries - 1), 1200);
}

/**
 * What was set last time, unless that is what is shown; whether it is being loaded.
 *
 * @param {unknown} stored
 */
function restore(stored) {
  const isOther = Array.isArray(stored) && stored.length > 0 && JSON.stringify(stored) !== JSON.stringify(state?.argv);
  if (isOther) load(stored);
  return isOther;
}

/**
 * @param {FormState} next
 * @param {any} element
 */
function apply(element, next) {
  const isAnswered = !wanted || next.asked === wanted.ask;
  if (isAnswered) wanted = null;
  isLoaded = !state || (isAnswered && isLoading);
  if (isAnswered) {
    isLoading = false;
    clearTimeout(unanswered);
  }
  const changed = JSON.stringify(next.argv) !== JSON.stringify(state?.argv);
  const isOtherCode = JSON.stringify(next.code) !== JSON.stringify(state?.code);
  state = next;
  for (const id of next.filled ?? []) if ((typed.get(id)?.after ?? 0) < (next.event ?? 0)) typed.delete(id);
  if (changed) found = {};
  presetName = state.argv?.[0] ?? presetName;
  const preset = presets.find((p) => p.name === presetName);
  lead?.show(state, cloneHint || (preset?.hint ?? ""));
  setText(element.querySelector(".ft-notice"), state.notice ?? "");
  if (state.argv) localStorage.setItem(STORED, JSON.stringify(state.argv));
  redraw();
  if (changed) events.dispatchEvent(new Event("state"));
  if (isOtherCode) events.dispatchEvent(new Event("code"));
  if (!isAnswered) return;
  if (afterLoad) setTimeout(afterLoad);
  afterLoad = null;
}

let isDrawing = false;
/** Show the state and what is known of it; asked for while it draws, it draws once more with the next frame. */
function redraw() {
  if (!state) return;
  if (isDrawing) {
    requestAnimationFrame(redraw);
    return;
  }
  isDrawing = true;
  try {
    draw(state);
  } finally {
    isDrawing = false;
  }
}

/** @param {FormState} shown */
function draw(shown) {
  const errors = { ...found, ...shown.errors };
  for (const [section, text] of Object.entries(shown.sections)) showSection(section, text);
  clearErrors(errors);
  showErrors(errors);
  showReasons(new Map(chosen.map((choice) => [fieldOf(choice.path) ?? "", say.reason(choice)])));
  showDevices(machine, settingOf("devices") ?? "auto", (wanted) => set({ devices: wanted }));
  suggestFolders();
  keepTyped();
}

/**
 * @param {string} section
 * @returns {HTMLButtonElement | null}
 */
const headerOf = (section) => document.querySelector(`#ft-section-${section} > button`);

/**
 * @param {string} section
 * @param {string} text
 */
function showSection(section, text) {
  const header = headerOf(section);
  if (!header) return;
  const value = header.querySelector(".ft-value") ?? h("span", { class: "ft-value" });
  if (!value.isConnected) header.insertBefore(value, header.children[1] ?? null);
  const wrong = Boolean(state?.wrong.includes(section)) || hasFound(section);
  const extra = extras[section];
  const parts = text.split(" \u00b7 ");
  const [first, ...rest] = parts.map((part) => (part.endsWith(WORDS.isChosen) && chosenWords[section]) || part);
  setText(value, wrong ? WORDS.attention : [first, extra, ...rest].filter(Boolean).join(" \u00b7 "));
  if (value.title !== value.textContent) value.title = value.textContent;
  header.classList.toggle("ft-wrong", wrong);
  header.setAttribute("aria-expanded", String(header.classList.contains("open")));
}

/** @type {Record<string, string>} section -> what was chosen there for the data */
let chosenWords = {};
/** @type {Chosen[]} */
let chosen = [];
/** @type {string[]} */
let machine = []; // names of its devices, by their numbers

/**
 * Show what the plan chose for fields left empty: at the field with its reason, and behind its section's title. And
 * what there is to choose from: the machine's devices as tick boxes.
 *
 * @param {Chosen[]} choices
 * @param {string[]} devices
 */
export function showChosen(choices, devices) {
  chosen = choices;
  machine = devices;
  const values = Object.fromEntries(choices.map(({ path, value }) => [path, value]));
  chosenWords = say.chosen(values);
  redraw();
}

/**
 * A setting as the command says it; undefined where it is the preset's.
 *
 * @param {string} path
 */
const settingOf = (path) => state?.argv?.find((word) => word.startsWith(`${path}=`))?.slice(path.length + 1);

/** @type {Record<string, string>} */
const extras = {}; // section -> what the plan adds to its value

/**
 * Show more behind a section's value, such as the counts of images.
 *
 * @param {string} section
 * @param {string} text
 */
export function extend(section, text) {
  extras[section] = text;
  redraw();
}

/** @param {string} section */
const hasFound = (section) => fields.some((field) => field.section === section && field.id in found);

/**
 * Unfold a section, and go to its first field where `isFocused`.
 *
 * @param {string} section
 */
export function openSection(section, isFocused = false) {
  const header = headerOf(section);
  if (header && !header.classList.contains("open")) header.click();
  const focus = () =>
    /** @type {HTMLElement | null} */ (document.querySelector(`#ft-section-${section} input`))?.focus();
  if (isFocused) setTimeout(focus, 120);
}

/**
 * Unfold the section of the setting at a dotted path, bring its field into view and give it the focus.
 *
 * @param {string} path
 */
export async function showField(path) {
  const field = fields.findLast((one) => one.path === path && !state?.hidden.includes(one.key));
  if (!field) return;
  openSection(field.section);
  await showFieldOf(field.id);
}

/** Press Train. */
export const press = () => document.getElementById("ft-train-button")?.click();

/**
 * Errors that the plan found, by dotted path; shown at their fields until the settings change. Returns the rest.
 *
 * @param {Record<string, string>} errors
 */
export function showFound(errors) {
  found = {};
  /** @type {string[]} */
  const rest = [];
  for (const [path, message] of Object.entries(errors)) {
    const id = fieldOf(path);
    if (id) found[id] = inLabels(message);
    else rest.push(inLabels(path ? `${path}: ${message}` : message));
  }
  redraw();
  return rest;
}

/**
 * Id of the field that shows a setting at present, undefined if none does. Of two for one setting the more exact.
 *
 * @param {string} path
 */
const fieldOf = (path) => fields.findLast((field) => field.path === path && !state?.hidden.includes(field.key))?.id;

// ------------------------------------------------------------------ Train and the command
/**
 * @param {any} element
 * @param {any} props
 * @param {(event: string) => void} trigger
 * @param {(name: string, changed: () => void) => void} watch
 */
export function mountLaunch(element, props, trigger, watch) {
  const line = h("p", { class: "ft-line", role: "status" });
  const message = h("p", { class: "ft-message", role: "alert" });
  const train = h("button", { type: "button", class: "ft-train", id: "ft-train-button" }, WORDS.train);
  const copy = h("button", { type: "button", class: "ft-copy" }, WORDS.copy);
  const command = h("code", { class: "ft-command", tabindex: 0, "aria-label": WORDS.command, hidden: true });
  const queued = h("p", { class: "ft-queued", role: "status", hidden: true });
  const actions = h("div", { class: "ft-actions" }, train, copy);
  element.querySelector(".ft-launch").append(line, actions, message, queued, command);
  /** @type {number | undefined} */
  let timer;

  const settle = () => {
    clearTimeout(timer);
    timer = undefined;
    train.removeAttribute("aria-disabled");
    label();
  };
  const label = () => setText(train, timer ? WORDS.starting : window.FTLive.isActive() ? WORDS.queue : WORDS.train);
  train.addEventListener("click", () => {
    if (timer) return; // one press, one run
    timer = setTimeout(() => {
      settle();
      setText(message, WORDS.noAnswer);
    }, 120_000);
    train.setAttribute("aria-disabled", "true");
    setText(message, "");
    queued.hidden = true;
    label();
    trigger("submit");
  });
  /** @param {string} run */
  const showQueued = (run) => {
    const show = () => {
      queued.hidden = true;
      window.FTLive.show(run);
    };
    queued.replaceChildren(
      WORDS.queued,
      h("button", { type: "button", class: "ft-link", on: { click: show } }, WORDS.showQueued),
    );
    queued.hidden = false;
  };
  copy.addEventListener("click", async () => {
    command.hidden = false; // what was copied
    await copyText(state?.command ?? "");
    setText(copy, WORDS.copied);
    setTimeout(() => setText(copy, WORDS.copy), 1500);
  });
  watch("value", () => {
    const outcome = parse(props.value);
    if (outcome.run)
      setTimeout(settle, 900); // a double click is one press
    else settle();
    const rest = showFound(outcome.errors ?? {});
    setText(message, [outcome.message, ...rest].filter(Boolean).join(" "));
    if (outcome.run) {
      parent = null;
      const isWatching = ["running", "stopping"].includes(window.FTLive.state()?.status ?? "");
      if (isWatching)
        showQueued(outcome.run); // the run at work stays on view
      else window.FTLive.show(outcome.run);
      window.FTLive.lookForRuns();
      events.dispatchEvent(new Event("started"));
    } else setTimeout(focusFirstError, 60);
  });
  events.addEventListener("state", () => {
    if (!timer) setText(message, "");
    showCommand();
  });
  events.addEventListener("line", (event) => setText(line, event.detail));
  window.FTLive.onChange(() => {
    label();
    document.body.classList.toggle("ft-active", window.FTLive.isActive()); // on a phone the run comes first then
  });
  const showCommand = () => {
    const complete = state?.command;
    copy.disabled = !complete;
    command.classList.toggle("ft-stale", !complete);
    if (complete) setText(command, complete);
    else setText(line, WORDS.incomplete);
  };
  showCommand();
}

/**
 * The words beside Train: how long, how much.
 *
 * @param {string} text
 */
export const showLine = (text) => events.dispatchEvent(new CustomEvent("line", { detail: text }));

/** @param {string} text */
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // no permission, or plain http on another host
    const area = h("textarea", { value: text, class: "ft-offscreen" });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}
