// The viewer's page beside the live panel: that nothing is shown, the list of published runs, trying a model.

import { h, statusShape, toggle } from "../base/dom.js";
import { ago, value as show } from "../base/format.js";
import { addressOf } from "../base/poller.js";
import { spark } from "../charts/spark.js";
import { verdict } from "../results/answer.js";
import { metricOf, STATUS } from "../words/live.js";
import { VIEWER as W } from "../words/share.js";

const MOST_BYTES = 12 * 2 ** 20;
const PATIENCE_MS = 90_000;
const WIDEST = 1600; // px: larger pictures are shrunk before they are sent

/**
 * What is shown of all runs, to whoever asks: `{run, runs}` of the live panel.
 *
 * @param {(news: News) => void} listener
 */
function onRuns(listener) {
  window.FTLive.onChange(listener);
  const news = window.FTLive.news();
  if (news) listener(news);
}

/** @param {any} element */
export function mountViewer(element) {
  const nothing = h("div", { class: "ft-empty", hidden: true }, h("h2", {}, W.nothing), h("p", {}, W.nothingText));
  element.querySelector(".ft-viewer").append(nothing);
  onRuns(({ runs }) => {
    toggle(nothing, runs.length === 0);
    const live = document.getElementById("ft-viewer-live");
    if (live) live.hidden = runs.length === 0;
  });
}

/** @param {any} element */
export function mountViewerRuns(element) {
  const list = h("ul", { class: "ft-viewer-list" });
  const section = element.querySelector(".ft-viewer-runs");
  section.append(h("h2", {}, W.runs), list);
  let drawn = "";
  onRuns(({ run, runs }) => {
    section.hidden = runs.length === 0;
    const signature = JSON.stringify([run, runs]);
    if (signature === drawn) return;
    drawn = signature;
    list.replaceChildren(...runs.map((one) => h("li", {}, entry(one, one.id === run))));
  });
}

/**
 * @param {RunRow} run
 * @param {boolean} isShown
 */
function entry(run, isShown) {
  const metric = run.best_key ? metricOf(run.best_key) : null;
  const words = [
    STATUS[run.status] ?? run.status,
    metric ? `${metric.label} ${show(metric.kind, run.best_value)}` : "",
    run.created ? ago(Date.now() / 1000 - run.created) : "",
  ];
  const open = () => {
    window.FTLive.show(run.id);
    scrollTo({ top: 0, behavior: "smooth" });
  };
  return h(
    "button",
    { type: "button", class: "ft-viewer-run", "aria-current": isShown ? "true" : null, on: { click: open } },
    h("span", { class: "ft-viewer-title" }, run.title),
    h(
      "span",
      { class: `ft-quiet ft-status ft-status-${run.status}` },
      statusShape(run.status),
      words.filter(Boolean).join(" \u00b7 "),
    ),
    spark(run),
  );
}

/** @param {any} element */
export function mountViewerTry(element) {
  new Trial(element.querySelector(".ft-viewer-try"));
}

class Trial {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    this.turn = 0;
    /** @type {string | null} */
    this.run = null;
    this.input = h("input", {
      type: "file",
      id: "ft-viewer-file",
      accept: "image/*",
      class: "ftl-sr",
      on: { change: () => this.input.files[0] && this.send(this.input.files[0]) },
    });
    this.picture = h("img", { alt: W.yourPicture, hidden: true });
    this.answer = h("div", { class: "ft-answer", "aria-live": "polite" });
    this.drop = h("label", { class: "ft-viewer-drop", for: "ft-viewer-file" }, this.picture, h("span", {}, W.choose));
    root.append(
      h("h2", {}, W.tryTitle),
      h("p", { class: "ft-quiet" }, W.tryHelp),
      h("div", { class: "ft-viewer-both" }, h("div", {}, this.input, this.drop), this.answer),
    );
    for (const name of ["dragover", "drop"])
      this.drop.addEventListener(name, (/** @type {any} */ event) => event.preventDefault());
    this.drop.addEventListener(
      "drop",
      (/** @type {any} */ event) => event.dataTransfer.files[0] && this.send(event.dataTransfer.files[0]),
    );
    onRuns(({ run, runs }) => {
      const shown = runs.find((one) => one.id === run);
      root.hidden = !shown?.can_try;
      if (run !== this.run) this.clear(run);
    });
  }

  /** @param {string | null} run */
  clear(run) {
    this.run = run;
    this.turn += 1;
    this.answer.replaceChildren();
  }

  /** @param {File} file */
  async send(file) {
    const turn = ++this.turn;
    this.input.value = "";
    URL.revokeObjectURL(this.picture.src);
    this.picture.src = URL.createObjectURL(file);
    this.picture.hidden = false;
    this.answer.replaceChildren(h("p", { class: "ft-quiet" }, W.looking));
    const said = await this.ask(await shrunk(file));
    if (turn === this.turn) this.answer.replaceChildren(...said);
  }

  /** @param {Blob} body */
  async ask(body) {
    const address = addressOf(`api/runs/${encodeURIComponent(this.run ?? "")}/try`);
    try {
      const answer = await fetch(address, {
        method: "POST",
        body,
        headers: { "Content-Type": "application/octet-stream" },
        signal: AbortSignal.timeout(PATIENCE_MS),
      });
      const told = await answer.json().catch(() => ({}));
      return answer.ok
        ? verdict(told.prediction)
        : [h("p", { class: "ft-error", role: "alert" }, told.detail ?? W.noAnswer)];
    } catch {
      return [h("p", { class: "ft-error", role: "alert" }, W.noAnswer)];
    }
  }
}

/**
 * The picture, no larger than a network has use for; as it is where the browser cannot read it.
 *
 * @param {File} file
 */
async function shrunk(file) {
  try {
    const image = await createImageBitmap(file);
    const scale = WIDEST / Math.max(image.width, image.height);
    if (scale >= 1 && file.size <= MOST_BYTES) return file;
    const canvas = new OffscreenCanvas(
      Math.max(1, Math.round(image.width * Math.min(1, scale))),
      Math.max(1, Math.round(image.height * Math.min(1, scale))),
    );
    canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
    return await canvas.convertToBlob({ type: "image/png" });
  } catch {
    return file;
  }
}
