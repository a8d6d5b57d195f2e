// What can be done with one run of the list: its title, tags and note, its place in the queue, cloning, deleting.

import { focused, h, setText } from "../base/dom.js";
import { ask, post } from "../base/poller.js";
import { openRun, showTab } from "../base/tabs.js";
import { fillFrom } from "../setup/form.js";
import { ACTIVE } from "../words/live.js";
import { COLUMNS, say, WORDS } from "../words/runs.js";

/**
 * @param {string} id
 * @param {string} action
 */
const request = (id, action, body = {}) => post(`api/runs/${encodeURIComponent(id)}/${action}`, body);

export class RunEditor {
  /**
   * `changed(message, undo)` hears what was done; `close()` that the editor is to go.
   *
   * @param {{ changed: (message: string, undo?: (() => void) | null) => Promise<void>, close: () => void }} options
   */
  constructor({ changed, close }) {
    this.changed = changed;
    this.closed = close;
    /** @type {string | null} */
    this.id = null;
    /** @type {HTMLElement | null} */
    this.shown = null;
    /** @type {Map<string, { title: string, tags: string, note: string }>} */
    this.drafts = new Map(); // id of a run -> what was typed and not saved yet, also while another run's row is open
  }

  /**
   * Whether something typed for a run was not saved yet.
   *
   * @param {string} id
   */
  hasDraft(id) {
    return this.drafts.has(id);
  }

  /** Whether someone is writing in it: then the list around it stays as it is. */
  get isBusy() {
    return Boolean(this.shown?.isConnected && this.shown.contains(focused()) && focused()?.matches("input, textarea"));
  }

  focus() {
    this.shown?.querySelector("input")?.focus();
  }

  /**
   * The row below the run's own.
   *
   * @param {RunRow} run
   */
  row(run) {
    this.problem = h("p", { class: "ft-error", role: "alert" });
    const written = this.drafts.get(run.id) ?? { title: run.title, tags: run.tags.join(", "), note: run.note };
    this.title = h("input", { type: "text", value: written.title, maxLength: 120 });
    this.tags = h("input", { type: "text", value: written.tags });
    this.note = h("textarea", { rows: 2, maxLength: 4000, value: written.note });
    /**
     * @param {string} label
     * @param {HTMLElement} input
     */
    const field = (label, input) => h("label", {}, h("span", {}, label), input);
    /**
     * @param {string} label
     * @param {() => void} click
     */
    const button = (label, click, title = "") =>
      h("button", { type: "button", class: "ft-runs-button", title, on: { click } }, label);
    const isActive = ACTIVE.has(run.status);
    const queue = run.queue ?? -1; // its place, none if it does not wait
    const form = h(
      "form",
      {
        class: "ft-run-form",
        on: {
          /** @param {Event} event */
          submit: (/** @type {Event} */ event) => {
            event.preventDefault();
            this.save(run);
          },
          input: () => this.drafts.set(run.id, this.written()),
          /** @param {Event} event */
          keydown: (/** @type {KeyboardEvent} */ event) => event.key === "Escape" && this.close(),
        },
      },
      field(WORDS.title, this.title),
      field(`${WORDS.tags}, ${WORDS.tagsHint}`, this.tags),
      field(WORDS.note, this.note),
      h("button", { type: "submit", class: "ft-runs-button" }, WORDS.save),
    );
    const actions = h(
      "div",
      { class: "ft-run-actions" },
      button(WORDS.open, () => openRun(run.id)),
      button(WORDS.clone, () => this.clone(run.id, run.title), WORDS.cloneHint),
      ...(queue >= 0
        ? [
            button(WORDS.earlier, () => this.move(run, Math.max(0, queue - 1))),
            button(WORDS.later, () => this.move(run, queue + 1)),
            button(WORDS.cancel, () => this.cancel(run)),
          ]
        : []),
      isActive ? null : button(WORDS.delete, () => this.delete(run)),
      button(WORDS.close, () => this.close()),
    );
    this.shown = h(
      "tr",
      { class: "ft-run-edit" },
      h("td", { colSpan: COLUMNS.length + 2 }, form, actions, this.problem),
    );
    return this.shown;
  }

  /** What the fields hold. */
  written() {
    return { title: this.title.value, tags: this.tags.value, note: this.note.value };
  }

  close() {
    if (this.id) this.drafts.delete(this.id);
    this.id = null;
    focused()?.blur();
    this.closed();
  }

  /**
   * Do something; what goes wrong is said here.
   *
   * @param {string} what
   * @param {() => Promise<void>} act
   */
  async attempt(what, act) {
    try {
      await act();
    } catch (error) {
      const text = say.didNot(what, error.message);
      if (this.shown?.isConnected) setText(this.problem, text);
      else this.changed(text);
    }
  }

  /** @param {RunRow} run */
  save(run) {
    const { title, tags: typed, note } = this.written();
    const tags = typed
      .split(",")
      .map((/** @type {string} */ tag) => tag.trim())
      .filter(Boolean);
    return this.attempt(WORDS.save, async () => {
      await request(run.id, "notes", { title, tags, note });
      this.close();
      await this.changed(WORDS.saved);
    });
  }

  /**
   * @param {RunRow} run
   * @param {number} place
   */
  move(run, place) {
    return this.attempt(WORDS.earlier, async () => {
      await request(run.id, "move", { place });
      await this.changed("");
    });
  }

  /** @param {RunRow} run */
  cancel(run) {
    return this.attempt(WORDS.cancel, async () => {
      await request(run.id, "stop");
      this.close();
      await this.changed("");
    });
  }

  /** @param {RunRow} run */
  delete(run) {
    const undo = () =>
      this.attempt(WORDS.undo, async () => {
        await request(run.id, "restore");
        await this.changed(say.restored(run.title));
      });
    return this.attempt(WORDS.delete, async () => {
      await request(run.id, "delete");
      this.close();
      await this.changed(say.deleted(run.title), undo);
    });
  }

  /**
   * Fill the set-up with a run's settings.
   *
   * @param {string} id
   */
  clone(id, title = id) {
    return this.attempt(WORDS.clone, async () => {
      const { argv } = await ask(`api/runs/${encodeURIComponent(id)}/settings`);
      fillFrom(argv, id, say.cloned(title));
      this.id = null;
      this.closed();
      showTab("ft-tab-train");
    });
  }
}
