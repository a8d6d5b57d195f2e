// A job of the app on the page: start, progress, cancel, result. Any number of pages may watch one; see ui/jobs/job.py.

import { h, setText, toggle } from "../base/dom.js";
import { ask } from "../base/poller.js";

const BEAT = 300; // ms between questions while work is under way

/** One kind of job as this page knows it. */
export class Job {
  /**
   * @param {string} kind
   * @param {{ take: (state: any, before: any) => unknown, noAnswer: string, isWatched?: () => boolean }} options `take`
   *   hears of every change, `isWatched` says whether anybody still looks, `noAnswer` is said for an app that is silent.
   */
  constructor(kind, { take, noAnswer, isWatched = () => true }) {
    this.address = `api/jobs/${kind}`;
    this.tell = take;
    this.noAnswer = noAnswer;
    this.isWatched = isWatched;
    /** @type {Promise<any> | null} The answer to the last start. */
    this.begun = null;
    /** @type {any} */
    this.state = { status: "idle" };
  }

  get isRunning() {
    return this.state.status === "running";
  }

  /**
   * Begin, for the settings `body.argv`; what another page began is shown instead of a refusal.
   * @param {object} body
   */
  async start(body) {
    this.take({ status: "running" });
    this.begun = this.post(this.address, body);
    const state = await this.begun;
    if (!state) return;
    this.take(state);
    await this.follow();
  }

  /** End the work that this page sees, and no other; what only just begins has no number yet, so that is awaited. */
  async cancel() {
    await this.begun;
    if (!this.isRunning) return;
    const { number } = this.state;
    const state = await this.post(`${this.address}/cancel${number === undefined ? "" : `?number=${number}`}`, {});
    if (!state) return;
    this.take(state);
    await this.follow();
  }

  /** Look how things are, as a page does that is opened, and go on looking while there is something to see. */
  async look() {
    if (await this.read()) await this.follow();
  }

  /** @param {string} message */
  fail(message) {
    this.take({ status: "failed", errors: { "": message } });
  }

  /** @param {any} state What the app says of the job. */
  take(state) {
    const before = this.state;
    this.state = state;
    this.tell(state, before);
  }

  // ------------------------------------------------------------------ asking
  /**
   * @param {string} address
   * @param {object} body
   */
  async post(address, body) {
    const headers = { "Content-Type": "application/json" };
    try {
      return await ask(address, { method: "POST", headers, body: JSON.stringify(body) });
    } catch (error) {
      this.fail(error.code ? error.message : this.noAnswer);
      if (error.code === 409 && (await this.peek())?.status === "running") await this.look();
      return null;
    }
  }

  peek() {
    return ask(this.address).catch(() => null);
  }

  async read() {
    try {
      const state = await ask(this.address);
      if (JSON.stringify(state) !== JSON.stringify(this.state)) this.take(state);
      return true;
    } catch (error) {
      if (this.isRunning) this.fail(error.code ? error.message : this.noAnswer);
      return false;
    }
  }

  /** Ask until the work ends; one loop at a time, however often it is begun. */
  async follow() {
    const turn = Symbol("turn");
    this.turn = turn;
    while (this.isRunning) {
      await new Promise((done) => setTimeout(done, BEAT));
      if (turn !== this.turn || !this.isWatched() || !(await this.read())) return;
    }
  }
}

/** Its usual place in a section: two buttons, words, a bar, a problem; a kind says what stands below, and in which words. */
export class JobPart {
  /**
   * @param {HTMLElement} root
   * @param {{ kind: string, words: any, label: string, hint?: string, above?: Element[], below?: Element[] }} options
   *   `words` of the kind: cancel, preparing, cancelled, failed, noAnswer. `label` and `hint` are of the first button,
   *   `above` and `below` stand around.
   */
  constructor(root, { kind, words, label, hint = "", above = [], below = [] }) {
    this.root = root;
    this.WORDS = words;
    this.label = label;
    this.job = new Job(kind, {
      take: (state, before) => this.taken(state, before),
      noAnswer: words.noAnswer,
      isWatched: () => root.isConnected,
    });
    /** @param {string} text @param {() => void} click @param {string} title */
    const button = (text, click, title) =>
      h("button", { type: "button", class: "ft-find", title, on: { click } }, text);
    this.start = button(label, () => this.begin(), hint);
    this.cancel = button(words.cancel, () => this.job.cancel(), "");
    this.words = h("p", { class: "ft-find-words", role: "status" });
    this.bar = h("progress", { class: "ft-find-bar", max: 1, "aria-label": label });
    this.problem = h("p", { class: "ft-find-problem", role: "alert" });
    const line = h("div", { class: "ft-find-line" }, this.start, this.cancel, this.words);
    root.append(...above, line, this.bar, this.problem, ...below);
  }

  get state() {
    return this.job.state;
  }

  /** Draw what is known, then ask. Called by the kind once it is made. */
  mount() {
    this.show();
    this.job.look();
  }

  /**
   * The state has changed.
   * @param {any} _state
   * @param {any} _before
   */
  taken(_state, _before) {
    this.show();
  }

  /** Press the first button; of the kind. */
  begin() {}

  /** Draw; of the kind. */
  show() {}

  /**
   * What is the same for all kinds; `words` says something for the statuses running and done.
   * @param {{ running?: string, done?: string }} words
   */
  showJob(words) {
    const { status, done, total, errors = {} } = this.state;
    const isRunning = status === "running";
    this.root.dataset.status = status;
    toggle(this.start, !isRunning);
    toggle(this.cancel, isRunning);
    toggle(this.bar, isRunning);
    if (total && done) this.bar.value = done / total;
    else this.bar.removeAttribute("value");
    /** @type {Record<string, string>} */
    const said = { cancelled: this.WORDS.cancelled, ...words };
    setText(this.words, said[status] ?? "");
    const problems = Object.entries(errors).map(([path, text]) => (path ? `${path}: ${text}` : text));
    setText(this.problem, status === "failed" ? [this.WORDS.failed, ...problems].join(" ") : "");
  }
}
