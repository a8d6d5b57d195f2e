// The live panel: its parts, what it asks of the app, and what it shows of the answers.

import { h, setText, toggle } from "../base/dom.js";
import { loadPlotly } from "../base/plotly.js";
import { addressOf, ask, Poller } from "../base/poller.js";
import { Settings } from "../base/settings.js";
import { Curves } from "../charts/curves.js";
import { ACTIVE, say, TEXT } from "../words/live.js";
import { Board } from "./board.js";
import { ChangeBar } from "./change.js";
import { ExamplePictures } from "./examples.js";
import { Header } from "./header.js";
import { NextSteps } from "./next_steps.js";
import { Notices } from "./notices.js";
import { Events, Table, TimeSpent } from "./parts.js";

const LIST_MS = 8000;
const CALM_MS = 3000; // between questions about a run that has ended
const STALE_SECONDS = 20;

export class Panel {
  /**
   * `tell({run, state, runs})` hears of another run, another status, another list of runs; `isAwaited()`: whether somebody
   * waits for the end of a run at work while the page is hidden.
   *
   * @param {HTMLElement} root
   * @param {{ base?: string, routes?: string, actions?: string[], changes?: Record<string, LiveSetting>, pictures?: boolean }} props
   * @param {(news: News) => void} tell
   * @param {() => boolean} isAwaited
   */
  constructor(root, { base = "", routes = "", actions = [], changes = {}, pictures = false }, tell, isAwaited) {
    this.tellOthers = tell;
    this.root = root;
    this.base = addressOf(base || ".");
    this.routes = routes;
    this.settings = new Settings();
    this.curves = new Curves();
    /** @type {RunRow[]} */
    this.runs = [];
    /** @type {string | null} */
    this.run = null;
    this.turn = 0;
    /** @type {RunState | null} */
    this.state = null;
    /** @type {Partial<RunAbout>} */
    this.about = {};
    this.cursor = "";
    this.moment = "";
    this.listAt = Number.NEGATIVE_INFINITY;
    this.board = new Board({
      curves: this.curves,
      settings: this.settings,
      fetchDetail: (...what) => this.fetchDetail(...what),
    });
    this.header = new Header({
      actions,
      /** @param {string} action */
      act: (action) => this.act(action),
      /** @param {string} run */
      choose: (run) => this.show(run),
      /** @param {string} run */
      weightsAddress: (run) => this.address(`api/runs/${encodeURIComponent(run)}/weights`),
      exportAddress: (run, format) => this.address(`api/runs/${encodeURIComponent(run)}/export/${format}`),
    });
    this.notices = new Notices({
      retry: () => this.poller.now() /** @param {string} run */,
      showRun: (run) => this.show(run),
    });
    this.next = new NextSteps({
      actions,
      /**
       * @param {string} action
       * @param {object=} body
       */
      ask: (action, body) => this.ask(action, body),
      /** @param {string} run */
      weightsAddress: (run) => this.address(`api/runs/${encodeURIComponent(run)}/weights`),
    });
    const clone = () => document.dispatchEvent(new CustomEvent("ft-clone", { detail: this.run }));
    this.change = actions.includes("set")
      ? new ChangeBar({ actions, changes, clone, send: (wish, action = "set") => this.ask(action, wish) })
      : null;
    this.examples = pictures ? new ExamplePictures({ address: (path) => this.address(path), board: this.board }) : null;
    this.events = new Events();
    this.time = new TimeSpent();
    this.table = new Table(this.curves);
    this.build();
    loadPlotly().then(
      (library) => this.board.usePlotly(library),
      () => this.withoutPlotly(),
    );
    this.poller = new Poller({
      question: () => this.tick(),
      offline: (info) => this.notices.showOffline(info),
      beat: () =>
        Math.max(
          this.askedBeat ?? 0,
          this.isMissing || (this.state && !ACTIVE.has(this.state.status)) ? CALM_MS : 1000,
        ),
      isAwaited: () => this.isActive && isAwaited(),
    });
    this.poller.now();
  }

  build() {
    this.summary = h("p", { class: "ftl-summary", "aria-live": "polite" });
    this.stale = h("span", { class: "ftl-stale", hidden: true });
    this.words = h("div", { class: "ftl-words" }, this.summary, this.stale);
    this.readingText = h("p", { class: "ftl-sr", role: "status" }, TEXT.loading);
    this.loading = h(
      "div",
      { class: "ftl-loading" },
      this.readingText,
      ...[1, 2, 3, 4].map(() => h("div", { class: "ftl-bone" })),
    );
    this.body = h(
      "div",
      { class: "ftl-body", hidden: true },
      this.board.element,
      this.words,
      this.change?.element,
      h("div", { class: "ftl-parts" }, this.board.more, this.time.element, this.events.element, this.table.element),
      this.examples?.element, // last: it moves nothing as it comes
    );
    this.root.classList.add("ftl");
    this.root.replaceChildren(
      h("h2", { class: "ftl-sr" }, TEXT.runs),
      this.header.element,
      this.notices.element,
      this.next.element,
      this.notices.empty,
      this.loading,
      this.body,
    );
    toggle(this.header.element, false);
    /** @type {HTMLDetailsElement[]} */
    this.parts = [this.board.more, this.time.element, this.events.element, this.table.element];
    for (const part of this.parts) {
      const name = part.dataset.part ?? "";
      part.addEventListener("toggle", () => {
        if (part.open !== this.settings.has("open", name)) this.settings.mark("open", name, part.open);
      });
    }
    this.syncParts();
  }

  syncParts() {
    for (const part of this.parts) part.open = this.settings.has("open", part.dataset.part ?? "");
  }

  withoutPlotly() {
    this.board.element.replaceChildren(h("p", { class: "ftl-card" }, TEXT.plotlyMissing));
  }

  /** @param {string} path */
  address(path) {
    return new URL(this.routes + path, this.base);
  }

  // ------------------------------------------------------------------ asking
  async tick() {
    if (!this.root.isConnected) {
      this.end();
      return;
    }
    if (!this.run && this.settings.values.run) this.begin(this.settings.values.run);
    if (!this.run || performance.now() - this.listAt > LIST_MS) await this.fetchRuns();
    if (this.run) await this.fetchPoints();
  }

  async fetchRuns() {
    const { runs } = await ask(this.address("api/runs"));
    this.runs = runs;
    this.listAt = performance.now();
    if (!this.run && runs.length) this.begin(runs[0].id);
    this.showRuns();
    if (!this.run) this.showEmpty();
    this.tell();
  }

  /** What is new of the run. An answer to what was asked before the last `begin` is dropped: it fits other points. */
  async fetchPoints() {
    const { run, turn } = this;
    let answer;
    try {
      answer = await ask(
        this.address(`api/live?run=${encodeURIComponent(run ?? "")}&since=${encodeURIComponent(this.cursor)}`),
      );
    } catch (error) {
      if (error.code !== 404) throw error;
      if (turn === this.turn) this.showMissing();
      return;
    }
    if (turn !== this.turn) return;
    if (answer.reading !== undefined) this.showReading(answer.reading);
    else await this.take(answer);
  }

  /** @param {LiveAnswer} answer */
  async take(answer) {
    const { turn } = this;
    const before = this.state;
    if (this.curves.isTooCoarse(answer)) {
      this.cursor = ""; // the app was started anew, and tells more
      this.poller.now();
      return;
    }
    const keys = this.curves.take(answer);
    this.cursor = answer.cursor;
    this.askedBeat = answer.beat; // where many watch, the app asks for patience
    this.state = answer.state;
    /** @param {keyof RunState} name */
    const differs = (name) => before?.[name] !== answer.state[name];
    if (
      !before ||
      answer.reset ||
      /** @type {const} */ (["status", "messages", "marks", "queue", "timed"]).some(differs) ||
      (differs("step") && !before?.step)
    ) {
      await this.fetchAbout();
    } else if (String(before.best) !== String(answer.state.best)) this.fetchAbout();
    if (turn !== this.turn) return;
    this.showState(keys);
    if (!keys || [...keys].some((key) => key.startsWith("val/"))) this.examples?.refresh();
    if (!before || differs("status")) {
      this.listAt = Number.NEGATIVE_INFINITY; // the list says it too
      this.tell();
    }
  }

  async fetchAbout() {
    const { run, turn } = this;
    const about = await ask(this.address(`api/runs/${encodeURIComponent(run ?? "")}`)).catch(() => null);
    if (!about || turn !== this.turn) return;
    this.about = about;
    this.board.setAbout(about);
    this.events.show(about.messages, about.marks, about.facts?.notices);
    this.time.show(about.time);
    if (this.state) this.header.show(this.state, about);
    this.next.show(about);
  }

  /**
   * @param {string[]} keys
   * @param {number} x0
   * @param {number} x1
   */
  async fetchDetail(keys, x0, x1) {
    const query = new URLSearchParams({ run: this.run ?? "", x0: String(x0), x1: String(x1) });
    for (const key of keys) query.append("key", key);
    return (await ask(this.address(`api/live/detail?${query}`))).curves;
  }

  /**
   * Ask for stop, pause or resume; returns what went wrong, "" if nothing.
   *
   * @param {string} action
   */
  act(action) {
    return this.ask(action);
  }

  /**
   * @param {string} action
   * @param {object=} body
   */
  async ask(action, body) {
    const json = body && { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
    try {
      await ask(this.address(`api/runs/${encodeURIComponent(this.run ?? "")}/${action}`), { method: "POST", ...json });
    } catch (error) {
      return error.message || String(error);
    }
    this.poller.now();
    return "";
  }

  // ------------------------------------------------------------------ showing
  /** @param {string} run */
  show(run) {
    if (!run || run === this.run) return;
    this.settings.set({ run, zoom: null, zoomY: {} });
    this.settings.write();
    this.begin(run);
    this.listAt = Number.NEGATIVE_INFINITY;
    this.poller.now();
  }

  /**
   * Show what the query of an address says.
   *
   * @param {string} query
   */
  go(query) {
    this.settings.load(query);
    this.syncParts();
    this.begin(this.settings.values.run);
    return this.poller.now();
  }

  /** @param {string | null} run */
  begin(run) {
    this.turn += 1;
    this.run = run;
    this.cursor = "";
    this.isMissing = false;
    this.state = null;
    this.about = {};
    if (this.settings.values.run !== run) this.settings.set({ run });
    this.board.setRun(run);
    this.examples?.begin(run);
    this.header.clear();
    this.next.show();
    this.events.show();
    this.time.show();
    this.table.show();
    setText(this.summary, "");
    this.notices.showFailure("", null);
    this.notices.showMissing(false);
    this.showRuns();
    setText(this.readingText, TEXT.loading);
    this.readingText.classList.add("ftl-sr");
    this.showOnly(this.loading);
    toggle(this.header.element, true);
  }

  /** @param {HTMLElement | null} part */
  showOnly(part) {
    for (const one of [this.loading, this.notices.empty, this.body]) toggle(one, one === part);
  }

  /**
   * A long log is read for the first time.
   *
   * @param {number} share
   */
  showReading(share) {
    setText(this.readingText, say.readingLog(Math.floor(100 * share)));
    this.readingText.classList.remove("ftl-sr");
    this.showOnly(this.loading);
  }

  showEmpty() {
    toggle(this.header.element, false);
    this.showOnly(this.notices.empty);
  }

  showMissing() {
    this.notices.showMissing(true);
    this.header.showMissing();
    this.isMissing = true;
    this.showOnly(null);
  }

  /** Whether any run is queued or at work. */
  get isActive() {
    return ACTIVE.has(this.state?.status) || this.runs.some((run) => ACTIVE.has(run.status));
  }

  showRuns() {
    this.header.setRuns(this.runs, this.run);
    const shown = this.runs.find((run) => run.id === this.run);
    const newest = this.runs.find((run) => ACTIVE.has(run.status));
    const isNewer =
      newest && shown && newest.id !== this.run && !ACTIVE.has(shown.status) && newest.created > shown.created;
    this.notices.showNewer(isNewer ? newest.id : null);
  }

  /**
   * The list of runs is asked for seldom: what is known of the run on view holds there too.
   *
   * @param {RunState} state
   */
  retell({ status, epoch = 0, epochs = 0, best }) {
    const line = this.runs.find((run) => run.id === this.run);
    if (!line) return;
    const [key = line.best_key, value = line.best_value] = best ?? [];
    const hasEnded = ACTIVE.has(line.status) && !ACTIVE.has(status);
    const before = JSON.stringify(line);
    Object.assign(line, { status, epoch, epochs, best_key: key, best_value: value });
    if (before === JSON.stringify(line)) return;
    if (hasEnded) line.ended = Date.now() / 1000; // until the list says it to the second
    this.showRuns();
  }

  /** Ask for the list of runs now: one was made. */
  lookForRuns() {
    this.listAt = Number.NEGATIVE_INFINITY;
    return this.poller.now();
  }

  /** @param {Set<string> | null} keys */
  showState(keys) {
    const { state } = this;
    if (!state) return;
    this.notices.showMissing(false);
    this.isMissing = false;
    this.showOnly(this.body);
    this.retell(state);
    this.header.show(state, this.about);
    this.notices.showFailure(state.status, this.about.failure ?? null);
    this.change?.show(state, this.about);
    this.board.update(state, keys);
    if (!keys || keys.size) this.table.show();
    const isStale = (state.age ?? 0) > STALE_SECONDS && state.status === "running";
    toggle(this.stale, isStale);
    if (isStale) setText(this.stale, say.stale(state.age ?? 0));
    this.summarise(state);
  }

  /**
   * The sentence goes to screen readers: so it changes with status and epoch, not with every step.
   *
   * @param {RunState} state
   */
  summarise(state) {
    const moment = [this.run, state.status, state.phase, state.epoch, String(state.best)].join();
    if (moment === this.moment) return;
    this.moment = moment;
    setText(this.summary, state.text ?? "");
    const isSaid = this.about.failure || (state.status === "completed" && this.about.next?.text);
    this.words.classList.toggle("ftl-sr", Boolean(isSaid)); // those who see the page read it above the charts
  }

  tell() {
    this.tellOthers({ run: this.run ?? null, state: this.state, runs: this.runs });
  }

  end() {
    this.poller.end();
    this.board.destroy();
    this.isOver = true;
  }
}
