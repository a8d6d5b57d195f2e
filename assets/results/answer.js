// What a trained network says of a picture: bars with numbers, or what to do first; and where its weights are.

import { h } from "../base/dom.js";
import { number, percent } from "../base/format.js";
import { endedOf, metricOf, STATUS } from "../words/live.js";
import { WORDS } from "../words/setup.js";

const SHOWN = 8;

/**
 * @param {any} element
 * @param {any} props
 * @param {unknown} _trigger
 * @param {(name: string, changed: () => void) => void} watch
 */
export function mountAnswer(element, props, _trigger, watch) {
  const root = element.querySelector(".ft-answer");
  const show = () => {
    /** @type {any} */
    let answer = {};
    try {
      answer = JSON.parse(props.value) ?? {};
    } catch {
      /* nothing yet */
    }
    draw(root, answer);
  };
  watch("value", show);
  show();
}

/**
 * Which run answers: those that have weights, the one on view on the first tab chosen until the user chooses.
 *
 * @param {any} element
 * @param {any} props
 * @param {(event: string) => void} trigger
 */
export function mountRunChoice(element, props, trigger) {
  const select = h("select", { id: "ft-try-select" });
  element
    .querySelector(".ft-run-choice")
    .append(
      h("label", { class: "ft-label", for: "ft-try-select" }, WORDS.tryRun),
      h("p", { class: "ft-help" }, WORDS.tryRunHelp),
      select,
    );
  const page = /** @type {HTMLElement} */ (document.querySelector("#ft-try"));
  const nameByText = () => page.querySelector("button.upload-container[aria-label]")?.removeAttribute("aria-label");
  new MutationObserver(nameByText).observe(page, { childList: true, subtree: true }); // Gradio names it by other words than it shows
  nameByText();
  let isChosen = false;
  /** @param {string} id */
  const set = (id) => {
    props.value = id;
    trigger("input");
    document.dispatchEvent(new CustomEvent("ft-try-run", { detail: id }));
  };
  select.addEventListener("change", () => {
    isChosen = true;
    set(select.value);
  });
  document.addEventListener("ft-try", () => (isChosen = false)); // the run on view, again
  const refresh = async () => {
    const answer = await fetch("api/runs", { cache: "no-store" }).catch(() => null);
    const runs = (answer?.ok ? (await answer.json()).runs : []).filter((/** @type {RunRow} */ run) => run.has_weights);
    select.replaceChildren(...runs.map((/** @type {RunRow} */ run) => h("option", { value: run.id }, name(run))));
    element.hidden = runs.length === 0;
    const ids = runs.map((/** @type {RunRow} */ run) => run.id);
    const wanted =
      [isChosen ? props.value : null, window.FTLive.current(), ids[0]].find((id) => ids.includes(id)) ?? "";
    select.value = wanted;
    set(wanted);
  };
  new IntersectionObserver(([entry]) => entry.isIntersecting && refresh()).observe(page);
}

/** @param {RunRow} run */
const name = (run) => [run.title, STATUS[run.status] ?? run.status, endedOf(run)].filter(Boolean).join(" \u00b7 ");

/**
 * @param {HTMLElement} root
 * @param {any} answer
 */
function draw(root, { isWaiting, message, error, prediction, weights, about, picture }) {
  const parts = [];
  root.classList.toggle("ft-stale", Boolean(isWaiting));
  if (isWaiting) {
    if (!root.querySelector("h2")) root.replaceChildren(h("p", { class: "ft-quiet" }, WORDS.looking)); // else: the last answer, faded
    return;
  }
  if (picture && !prediction?.overlay) parts.push(h("img", { class: "ft-tried", src: picture, alt: WORDS.tried }));
  if (prediction) parts.push(...verdict(prediction, about));
  if (error) parts.push(h("p", { class: "ft-error", role: "alert" }, error));
  if (message) parts.push(h("p", { class: "ft-quiet" }, message));
  if (about?.epoch) parts.push(h("p", { class: "ft-quiet" }, `${about.network}, ${WORDS.epoch} ${about.epoch}`));
  if (weights)
    parts.push(
      h(
        "p",
        {},
        h("a", { class: "ft-download", href: weights, download: "" }, WORDS.download),
        h("span", { class: "ft-quiet" }, ` ${WORDS.downloadHint}`),
      ),
    );
  root.replaceChildren(...parts);
}

/**
 * @param {Prediction} prediction
 * @param {any=} about
 */
export function verdict({ label, labels, probabilities, shares, numbers, overlay, legend }, about) {
  /** @param {string} text */
  const heading = (text) => h("h2", {}, text);
  if (numbers) return verdictInNumbers(numbers, about);
  const bars = Object.entries(probabilities ?? shares ?? {}).slice(0, SHOWN);
  const title = label ?? (labels ? labels.join(", ") || WORDS.noLabel : (bars[0]?.[0] ?? ""));
  const help = labels ? WORDS.labelsHelp : shares ? WORDS.sharesHelp : null;
  const colours = Object.fromEntries((legend ?? []).map(({ name, colour }) => [name, colour ?? "transparent"]));
  return [
    overlay ? h("img", { class: "ft-overlay", src: overlay, alt: WORDS.overlay }) : heading(title),
    help ? h("p", { class: "ft-quiet" }, help) : null,
    h(
      "ol",
      { class: "ft-bars" },
      ...bars.map(([name, p]) => bar(name, p, { colour: colours[name], isIn: labels?.includes(name) })),
    ),
  ].filter(Boolean);
}

/**
 * @param {Record<string, number>} numbers
 * @param {any} about
 */
function verdictInNumbers(numbers, about) {
  const rows = Object.entries(numbers);
  const { key, value: typical } = about?.best ?? {};
  const isKnown = rows.length === 1 && metricOf(key ?? "").is_in_target_units;
  return [
    h(
      "dl",
      { class: "ft-numbers-found" },
      ...rows.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, number(value, 4))]),
    ),
    ...(isKnown ? [h("p", { class: "ft-quiet" }, `${WORDS.typicalError}: ${number(typical, 3)}`)] : []),
  ];
}

/**
 * @param {string} name
 * @param {number} fraction
 */
function bar(name, fraction, { colour = "", isIn = false } = {}) {
  return h(
    "li",
    { class: isIn ? "ft-in" : "" },
    h(
      "span",
      { class: "ft-bar-name", title: name },
      colour ? h("i", { class: "ft-swatch", style: `background:${colour}`, "aria-hidden": "true" }) : null,
      name,
    ),
    h(
      "span",
      { class: "ft-bar-track", "aria-hidden": "true" },
      h("i", { style: `width:${(fraction * 100).toFixed(2)}%` }),
    ),
    h("span", { class: "ft-bar-value" }, percent(fraction)),
  );
}
