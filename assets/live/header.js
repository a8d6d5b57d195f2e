// The top of the live panel: which run, its status, how far, how fast, how long still, and what can be done with it.

import { h, setText, statusShape, toggle } from "../base/dom.js";
import { count, duration, NONE, value as show, speed } from "../base/format.js";
import { ACTIVE, endedOf, metricOf, STATUS, say, TEXT } from "../words/live.js";
import { ExportMenu } from "./take.js";

const TELLS_OPEN = CSS.supports("selector(:open)");

export class Header {
  /**
   * `act(action)` asks for stop, pause or resume; `choose(run)` shows another run; `actions` are those on offer.
   *
   * @param {{ act: (action: string) => Promise<string>, choose: (run: string) => void, weightsAddress: (run: string) => URL, exportAddress: (run: string, format: string) => URL, actions: string[] }} options
   */
  constructor({ act, choose, weightsAddress, exportAddress, actions }) {
    this.act = act;
    this.actions = actions;
    this.weightsAddress = weightsAddress;
    /** @type {string | null} */
    this.pending = null;
    /** @type {Partial<RunState>} */
    this.state = {};
    /** @type {Partial<RunAbout>} */
    this.about = {};
    /** @type {string | undefined} */
    this.shownStatus = undefined;
    this.select = h("select", {
      class: "ftl-select",
      "aria-label": TEXT.runs,
      on: { change: () => choose(this.select.value) },
    });
    this.status = h("span", { class: "ftl-status" });
    this.where = h("p", { class: "ftl-where" });
    this.buttons = {
      pause: this.button("pause", TEXT.pause, TEXT.pauseHint),
      stop: this.button("stop", TEXT.stop, TEXT.stopHint),
      resume: this.button("resume", TEXT.resume, TEXT.resumeHint),
    };
    this.weights = h("a", { class: "ftl-button", title: TEXT.weightsHint, hidden: true, download: "" }, TEXT.weights);
    this.menu = actions.includes("export") ? new ExportMenu({ address: exportAddress, weights: this.weights }) : null;
    this.fill = h("div", { class: "ftl-fill" });
    this.bar = h(
      "div",
      { class: "ftl-bar", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100, "aria-label": "Progress" },
      this.fill,
    );
    /** @type {Record<string, { name: HTMLElement, text: HTMLElement, rest: HTMLElement }>} */
    this.stats = {};
    /**
     * @param {string} id
     * @param {string} label
     */
    const stat = (id, label) => {
      const name = h("dt", {}, label);
      const text = h("dd", { class: "ftl-number" }, NONE);
      const rest = h("dd", { class: "ftl-rest" });
      this.stats[id] = { name, text, rest };
      return h("div", { class: "ftl-stat", "data-stat": id }, name, text, rest);
    };
    this.numbers = h(
      "dl",
      { class: "ftl-stats" },
      stat("epoch", TEXT.epoch),
      stat("step", TEXT.step),
      stat("speed", TEXT.speed),
      stat("left", TEXT.left),
      stat("best", TEXT.best),
    );
    this.problem = h("p", { class: "ftl-problem", role: "alert", hidden: true });
    this.element = h(
      "header",
      { class: "ftl-top" },
      h(
        "div",
        { class: "ftl-line" },
        this.select,
        this.status,
        this.where,
        h(
          "div",
          { class: "ftl-actions" },
          this.menu?.element ?? this.weights,
          this.buttons.resume,
          this.buttons.pause,
          this.buttons.stop,
        ),
      ),
      this.problem,
      this.bar,
      this.numbers,
    );
  }

  /**
   * @param {string} action
   * @param {string} label
   * @param {string} hint
   */
  button(action, label, hint) {
    const click = async () => {
      this.pending = action;
      this.showButtons(this.state, this.about);
      const problem = await this.act(action);
      toggle(this.problem, Boolean(problem));
      if (problem) {
        setText(this.problem, say.actionFailed(label, problem));
        this.pending = null;
        this.showButtons(this.state, this.about);
      }
    };
    return h(
      "button",
      { type: "button", class: "ftl-button", title: hint, "data-action": action, hidden: true, on: { click } },
      label,
    );
  }

  // ------------------------------------------------------------------ runs
  /**
   * The runs to choose from, newest first; left alone while the list is open.
   *
   * @param {RunRow[]} runs
   * @param {string | null} current
   */
  setRuns(runs, current) {
    if (document.activeElement === this.select && (!TELLS_OPEN || this.select.matches(":open"))) return;
    /** @param {RunRow} run */
    const words = (run) =>
      (ACTIVE.has(run.status)
        ? [run.status === "running" ? say.running(run) : STATUS[run.status].toLowerCase()]
        : [STATUS[run.status].toLowerCase(), bestOf(run), endedOf(run)]
      )
        .filter(Boolean)
        .join(" \u00b7 ");
    const known = runs.some((run) => run.id === current);
    const options = runs.map((run) => [run.id, say.option(run, words(run))]);
    if (current && !known) options.unshift([current, current]);
    if (JSON.stringify(options) !== this.options) {
      this.options = JSON.stringify(options);
      this.select.replaceChildren(...options.map(([id, label]) => h("option", { value: id }, label)));
    }
    if (current) this.select.value = current;
    toggle(this.select, options.length > 0);
  }

  /** Another run is shown: nothing pending, nothing known. */
  clear() {
    this.pending = null;
    toggle(this.problem, false);
    this.show({}, {});
  }

  // ------------------------------------------------------------------ status and numbers
  /** The run is gone: there is only the choice of another. */
  showMissing() {
    this.clear();
    for (const part of [this.bar, this.numbers]) toggle(part, false);
  }

  /**
   * @param {Partial<RunState>} state
   * @param {Partial<RunAbout>} about
   */
  show(state, about) {
    this.state = state;
    this.about = about;
    for (const part of [this.bar, this.numbers]) toggle(part, true);
    if (this.pending && this.shownStatus !== state.status) this.pending = null;
    this.shownStatus = state.status;
    this.showStatus(state);
    this.showWhere(about.facts ?? {});
    this.showBar(state);
    this.showNumbers(state);
    this.showButtons(state, about);
  }

  /** @param {Partial<RunState>} state */
  showStatus({ status, phase, queue }) {
    toggle(this.status, Boolean(status));
    if (!status) return;
    if (this.status.dataset.status !== status) {
      this.status.dataset.status = status;
      this.word = h("span");
      this.status.replaceChildren(statusShape(status), this.word);
    }
    const place = status === "queued" && queue !== undefined ? say.inQueue(queue) : "";
    setText(this.word, STATUS[status] + (phase && phase !== "training" ? `: ${phase}` : "") + place);
    this.word.title = this.word.textContent;
  }

  /** @param {RunFacts} facts */
  showWhere({ device, precision, model, train_images: train, val_images: val }) {
    const images = train ? `${count(train)}\u200a/\u200a${count(val ?? 0)} images` : null;
    setText(this.where, [model, images, device, precision].filter(Boolean).join(" \u00b7 "));
  }

  /**
   * Steps done of all; before the first step, the work that the phase counts ("downloading weights 12/46 MiB").
   *
   * @param {Partial<RunState>} state
   */
  showBar({ status, step = 0, total = 0, phase = "" }) {
    const counted = !step && /([\d.]+)\/([\d.]+)/.exec(phase);
    const share = counted ? Number(counted[1]) / Number(counted[2]) : total ? step / total : 0;
    const isWaiting = status === "running" && !step && !counted;
    this.bar.classList.toggle("ftl-waiting", isWaiting);
    this.bar.dataset.status = status ?? "";
    this.bar.classList.toggle("ftl-moving", status === "running" && this.wasRunning);
    this.wasRunning = status === "running";
    this.fill.style.width = `${(Math.min(1, share || 0) * 100).toFixed(2)}%`;
    if (isWaiting) this.bar.removeAttribute("aria-valuenow");
    else this.bar.setAttribute("aria-valuenow", String(Math.round((share || 0) * 100)));
    this.bar.setAttribute("aria-valuetext", total ? `step ${count(step)} of ${count(total)}` : phase);
  }

  /** @param {Partial<RunState>} state */
  showNumbers(state) {
    const { epoch, epochs, step, total, rate, eta, eta_min: isLeast, seconds, best, status } = state;
    /**
     * @param {string} id
     * @param {string} text
     */
    const put = (id, text, rest = "") => {
      setText(this.stats[id].text, text);
      setText(this.stats[id].rest, rest);
    };
    put("epoch", epochs ? say.of(epoch ?? 0, epochs) : NONE);
    put("step", total ? say.of(step ?? 0, total) : NONE);
    put("speed", rate ? speed(rate) : NONE);
    const isActive = ACTIVE.has(status);
    setText(this.stats.left.name, isActive ? TEXT.left : TEXT.took);
    if (isActive) put("left", eta === undefined ? NONE : isLeast ? say.atLeast(duration(eta)) : duration(eta));
    else put("left", seconds === undefined ? NONE : duration(seconds));
    const [key, value] = best ?? [];
    setText(this.stats.best.name, key ? `${TEXT.best} ${metricOf(key).label}` : TEXT.best);
    put("best", key ? show(metricOf(key).kind, value) : NONE, best ? say.inEpoch(best[2]) : "");
    toggle(/** @type {HTMLElement} */ (this.stats.speed.text.parentElement), isActive || !status);
  }

  /**
   * @param {Partial<RunState>} state
   * @param {Partial<RunAbout>} about
   */
  showButtons({ status, requests = [] }, about = {}) {
    /** @param {string} action */
    const has = (action) => this.actions.includes(action);
    const isStopping = status === "stopping" || this.pending === "stop" || this.pending === "pause";
    const { stop, pause, resume } = this.buttons;
    toggle(stop, has("stop") && ACTIVE.has(status));
    toggle(pause, has("pause") && status === "running" && !isStopping);
    toggle(
      resume,
      has("resume") && Boolean(about.can_resume) && ["paused", "stopped", "failed", "lost"].includes(status ?? ""),
    );
    const isQueued = status === "queued"; // nothing to keep yet
    setText(stop, isStopping && !requests.includes("pause") ? TEXT.stopping : isQueued ? TEXT.cancel : TEXT.stop);
    stop.title = isQueued ? TEXT.cancelHint : TEXT.stopHint;
    stop.disabled = isStopping;
    resume.disabled = this.pending === "resume";
    toggle(this.weights, Boolean(about.has_weights));
    if (about.has_weights) this.weights.href = this.weightsAddress(about.id ?? "");
    this.menu?.show(about.id ?? null, Boolean(about.facts?.device));
  }
}

/** @param {RunRow} run */
function bestOf(run) {
  return run.best_key ? show(metricOf(run.best_key).kind, run.best_value) : "";
}
