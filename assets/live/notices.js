// What is said above the charts: why a run failed, that it was lost, that the connection is gone, that there is no run.

import { h, setText, toggle } from "../base/dom.js";
import { inLabels } from "../words/labels.js";
import { say, TEXT } from "../words/live.js";

const EMPTY_CURVE = "M4 58C16 22 26 60 38 40S58 44 70 28 96 30 108 20 140 18 156 14";

export class Notices {
  /**
   * `retry()` asks again at once; `showRun(id)` shows another run.
   *
   * @param {{ retry: () => void, showRun: (run: string) => void }} options
   */
  constructor({ retry, showRun }) {
    this.showRun = showRun;
    /** @type {string | null} */
    this.newerRun = null;
    this.failureTitle = h("h3");
    this.failureText = h("p", { class: "ftl-message" });
    this.advice = h("p", { class: "ftl-advice" });
    this.log = h("pre", { tabIndex: 0 });
    this.details = h("details", {}, h("summary", {}, TEXT.details), this.log);
    this.failure = h(
      "section",
      { class: "ftl-card ftl-failure", hidden: true, "aria-label": TEXT.failed },
      this.failureTitle,
      this.failureText,
      this.advice,
      this.details,
    );
    this.offlineText = h("span");
    this.offline = h(
      "div",
      { class: "ftl-banner ftl-offline", hidden: true, role: "status" },
      h("strong", {}, TEXT.disconnected),
      this.offlineText,
      h("button", { type: "button", class: "ftl-link", on: { click: retry } }, TEXT.retry),
    );
    this.newerButton = h("button", { type: "button", class: "ftl-link" }, TEXT.showNewer);
    this.newer = h(
      "div",
      { class: "ftl-banner ftl-newer", hidden: true, role: "status" },
      TEXT.newer,
      this.newerButton,
    );
    const banners = h("div", { class: "ftl-banners" }, this.offline, this.newer); // over the page: they move nothing
    this.element = h("div", { class: "ftl-notices" }, banners, this.failure);
    this.newerButton.addEventListener("click", () => this.showRun(this.newerRun ?? ""));
    this.empty = this.buildEmpty();
    this.missing = h(
      "section",
      { class: "ftl-card", hidden: true },
      h("h3", {}, TEXT.noSuchRun),
      h("p", {}, TEXT.noSuchRunText),
    );
    this.element.append(this.missing);
  }

  buildEmpty() {
    const ns = "http://www.w3.org/2000/svg";
    const drawing = document.createElementNS(ns, "svg");
    drawing.setAttribute("viewBox", "0 0 160 72");
    drawing.setAttribute("aria-hidden", "true");
    for (const [d, name] of [
      ["M4 4v60h152", "ftl-empty-axis"],
      [EMPTY_CURVE, "ftl-empty-curve"],
    ]) {
      const path = document.createElementNS(ns, "path");
      path.setAttribute("d", d);
      path.setAttribute("class", name);
      drawing.append(path);
    }
    drawing.lastElementChild?.setAttribute("transform", "translate(0 72) scale(1 -1)");
    return h(
      "section",
      { class: "ftl-empty", hidden: true },
      drawing,
      h("h3", {}, TEXT.emptyTitle),
      h("p", {}, TEXT.emptyText),
    );
  }

  /**
   * The card of a run that failed or was lost.
   *
   * @param {string} status
   * @param {RunAbout["failure"]} failure
   */
  showFailure(status, failure) {
    const isShown = Boolean(failure) && (status === "failed" || status === "lost");
    toggle(this.failure, isShown);
    if (!isShown || !failure) return;
    this.failure.dataset.status = status;
    setText(this.failureTitle, status === "failed" ? TEXT.failed : TEXT.lost);
    setText(this.failureText, inLabels(failure.text));
    const advice = failure.says_what_to_do ? "" : (failure.advice ?? "");
    toggle(this.advice, Boolean(advice));
    setText(this.advice, inLabels(advice));
    const log = (failure.log ?? []).join("\n");
    toggle(this.details, Boolean(log));
    setText(this.log, log);
  }

  /**
   * Nobody answers: since when, and when it is tried again.
   *
   * @param {{ wait: number, age: number | null } | null} info
   */
  showOffline(info) {
    toggle(this.offline, Boolean(info));
    if (!info) return;
    setText(
      this.offlineText,
      [TEXT.disconnectedText, info.age ? say.dataAge(info.age) : "", say.retrying(info.wait)].filter(Boolean).join(" "),
    );
  }

  /** @param {string | null} run */
  showNewer(run) {
    this.newerRun = run;
    toggle(this.newer, Boolean(run));
  }

  /** @param {boolean} isShown */
  showMissing(isShown) {
    toggle(this.missing, isShown);
  }
}
