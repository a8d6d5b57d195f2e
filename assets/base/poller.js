// One loop of questions to the app: a second apart, rare or none while the page is hidden, ever rarer while nobody answers.

const BEAT_MS = 1000;
const SLOWEST_MS = 15_000;
const UNSEEN_MS = 15_000;
const PATIENCE_MS = 10_000;

/**
 * JSON from an address; throws an Error with the status code as `code` where the app refuses.
 *
 * @param {string | URL} address
 * @param {RequestInit} options
 */
export async function ask(address, options = {}) {
  const response = await fetch(address, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS), ...options });
  if (!response.ok) {
    const body = await response.json().catch(() => ({}));
    throw Object.assign(new Error(body.detail ?? response.statusText), { code: response.status });
  }
  return response.json();
}

/**
 * The same for a question with a body.
 *
 * @param {string | URL} address
 * @param {object=} body Sent as JSON.
 */
export const post = (address, body = {}) =>
  ask(address, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

/**
 * Address of one of the app's routes, wherever a proxy has put the app.
 *
 * @param {string} path
 */
export const addressOf = (path) => new URL(path, `${window.gradio_config?.root ?? location.origin}/`);

export class Poller {
  /**
   * `question()` asks and shows; `beat()` says how many milliseconds until the next; `offline(info|null)` hears of trouble;
   * `isAwaited()`: whether somebody waits for an answer while the page is hidden.
   *
   * @param {{ question: () => Promise<void>, offline: (info: { wait: number, age: number | null } | null) => void, beat?: () => number, isAwaited?: () => boolean }} parts
   */
  constructor({ question, offline, beat = () => BEAT_MS, isAwaited = () => false }) {
    this.question = question;
    this.offline = offline;
    this.beat = beat;
    this.isAwaited = isAwaited;
    this.fails = 0;
    this.isBusy = false;
    this.lastAnswer = null;
    this.onVisible = () => !document.hidden && this.now();
    this.onOnline = () => this.now();
    document.addEventListener("visibilitychange", this.onVisible);
    addEventListener("online", this.onOnline);
  }

  /** Ask at once; resolves when that was answered, or was not. */
  now() {
    clearTimeout(this.timer);
    return new Promise((resolve) => {
      this.timer = setTimeout(() => this.tick().then(resolve), 0);
    });
  }

  async tick() {
    clearTimeout(this.timer);
    if (this.isOver || (document.hidden && !this.isAwaited())) return;
    while (this.isBusy) await new Promise((resolve) => setTimeout(resolve, 20));
    clearTimeout(this.timer);
    this.isBusy = true;
    let wait = this.beat();
    try {
      await this.question();
      this.fails = 0;
      this.lastAnswer = performance.now();
      this.tellOffline(null);
      wait = this.beat();
    } catch (error) {
      if (error.code === 401) {
        location.reload(); // signed out: the page itself says what to do
        return;
      }
      if (error instanceof TypeError || error.name === "TimeoutError" || error.code >= 500 || error.code === 429) {
        this.fails += 1;
        wait = Math.min(SLOWEST_MS, BEAT_MS * 2 ** this.fails);
        this.tellOffline(performance.now() + wait);
      } else throw error;
    } finally {
      this.isBusy = false;
      if (document.hidden) wait = Math.max(wait, UNSEEN_MS);
      if (!this.isOver) this.timer = setTimeout(() => this.tick(), wait);
    }
  }

  /**
   * Count the seconds while nobody answers; one failure alone is not worth a word.
   *
   * @param {number | null} until
   */
  tellOffline(until) {
    clearInterval(this.counter);
    if (until === null || this.fails < 2) {
      this.offline(null);
      return;
    }
    const tell = () =>
      this.offline({
        wait: Math.max(0, (until - performance.now()) / 1000),
        age: this.lastAnswer === null ? null : (performance.now() - this.lastAnswer) / 1000,
      });
    tell();
    this.counter = setInterval(tell, 1000);
  }

  end() {
    this.isOver = true;
    clearTimeout(this.timer);
    clearInterval(this.counter);
    document.removeEventListener("visibilitychange", this.onVisible);
    removeEventListener("online", this.onOnline);
  }
}
