// All runs as a table: find one, open it, name it, compare it with others, take it as a start, delete it.

import { focused, h, setText, statusShape } from "../base/dom.js";
import { ago, duration, value as show } from "../base/format.js";
import { ask } from "../base/poller.js";
import { openRun, showTab } from "../base/tabs.js";
import { spark } from "../charts/spark.js";
import { ACTIVE, metricOf, STATUS } from "../words/live.js";
import { COLUMNS, say, WORDS } from "../words/runs.js";
import { Comparison, comparedIds } from "./compare.js";
import { RunEditor } from "./run_editor.js";

const EVERY = 3000; // ms between looks while the table is on view
const MOST_COMPARED = 8;

/** @type {RunsTable | null} */
let table = null; // mounted when its tab is first seen
/** @type {((table: RunsTable) => void) | null} */
let wish = null;

/** @param {HTMLElement} element */
export function mountRuns(element) {
  table = new RunsTable(/** @type {HTMLElement} */ (element.querySelector(".ft-runs")));
  wish?.(table);
  wish = null;
}

/**
 * Do something with the table; before it is there, its tab is opened for it.
 *
 * @param {(table: RunsTable) => void} act
 */
function withTable(act) {
  if (table) {
    act(table);
    return;
  }
  wish = act;
  const open = () => (document.querySelector("#ft-tab-runs-button") ? showTab("ft-tab-runs") : setTimeout(open, 100));
  open();
}

/** Hear what other parts of the page, and its address, want of the runs. */
export function hearOfRuns() {
  document.addEventListener("ft-clone", ({ detail }) => withTable(({ editor }) => editor.clone(detail)));
  if (comparedIds().length > 1) withTable(() => showTab("ft-tab-runs"));
}

class RunsTable {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    /** @type {RunRow[]} */
    this.runs = [];
    this.sort = { key: "created", up: false };
    /** @type {Set<string>} Ids. */
    this.chosen = new Set();
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    this.isSeen = false;
    this.signature = "";
    this.tagList = "";
    this.editor = new RunEditor({
      changed: (message, undo) => this.changed(message, undo),
      close: () => this.draw(true),
    });
    this.comparison = new Comparison({ closed: () => this.choose([]) });
    this.build();
    new IntersectionObserver(([entry]) => this.watch(entry.isIntersecting)).observe(root);
    document.addEventListener("visibilitychange", () => this.isSeen && !document.hidden && this.fetch());
    const ids = comparedIds();
    if (ids.length > 1) {
      this.choose(ids);
      this.comparison.show(ids);
    }
  }

  build() {
    const draw = () => this.draw();
    this.search = h("input", {
      type: "search",
      class: "ft-runs-search",
      placeholder: WORDS.search,
      "aria-label": WORDS.search,
      on: { input: draw },
    });
    this.status = h(
      "select",
      { class: "ft-runs-filter", "aria-label": WORDS.status, on: { change: draw } },
      h("option", { value: "" }, WORDS.all),
      h("option", { value: "active" }, WORDS.active),
      ...Object.entries(STATUS).map(([value, label]) => h("option", { value }, label)),
    );
    this.tag = h("select", { class: "ft-runs-filter", "aria-label": WORDS.tag, hidden: true, on: { change: draw } });
    this.compare = h(
      "button",
      {
        type: "button",
        class: "ft-runs-button",
        title: WORDS.compareHint,
        disabled: true,
        on: { click: () => this.comparison.show([...this.chosen]) },
      },
      WORDS.compare,
    );
    this.note = h("span", { class: "ft-quiet", role: "status" }, WORDS.loading);
    this.undo = h("button", { type: "button", class: "ft-link", hidden: true }, WORDS.undo);
    this.said = h("span", {});
    this.message = h("div", { class: "ft-runs-said", role: "status", hidden: true }, this.said, this.undo);
    /** @type {HTMLElement[]} */
    this.heads = COLUMNS.map((column) =>
      h(
        "th",
        { scope: "col", class: `ft-run-${column.key}` },
        h("button", { type: "button", on: { click: () => this.sortBy(column.key) } }, column.label),
      ),
    );
    this.body = h("tbody");
    /** @param {string} name */
    const blank = (name) => h("td", { class: name }); // no heading: a column of boxes, one of menus
    this.table = h(
      "table",
      {},
      h("thead", {}, h("tr", {}, blank("ft-run-choose"), ...this.heads, blank("ft-run-more"))),
      this.body,
    );
    this.empty = h("div", { class: "ft-empty", hidden: true }, h("h2", {}, WORDS.emptyTitle), h("p", {}, WORDS.empty));
    this.bar = h("div", { class: "ft-runs-bar" }, this.search, this.status, this.tag, this.compare, this.note);
    this.root.append(
      this.comparison.element,
      this.message,
      this.bar,
      h("div", { class: "ft-runs-scroll" }, this.table),
      this.empty,
    );
  }

  // ------------------------------------------------------------------ asking
  /** @param {boolean} isSeen */
  watch(isSeen) {
    this.isSeen = isSeen;
    clearTimeout(this.timer);
    if (isSeen) this.fetch();
  }

  async fetch() {
    clearTimeout(this.timer);
    if (!this.isSeen || document.hidden) return;
    try {
      this.runs = (await ask("api/runs")).runs;
      this.draw();
    } catch {
      setText(this.note, WORDS.failed);
    }
    this.timer = setTimeout(() => this.fetch(), EVERY);
  }

  /**
   * Something was done to a run: say so, offer to undo it, look again.
   *
   * @param {string} message
   * @param {(() => void) | null} undo
   */
  changed(message, undo = null) {
    setText(this.said, message);
    this.message.hidden = !message;
    this.undo.hidden = !undo;
    this.undo.onclick = undo;
    if (undo) this.undo.focus();
    this.signature = "";
    return this.fetch();
  }

  // ------------------------------------------------------------------ choosing
  /** @param {string[]} ids */
  choose(ids) {
    this.chosen = new Set(ids);
    this.signature = "";
    this.draw();
  }

  /** @param {string} key */
  sortBy(key) {
    this.sort = { key, up: this.sort.key === key ? !this.sort.up : ["title", "status", "data", "model"].includes(key) };
    this.draw();
  }

  found() {
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    /** @param {RunRow} run */
    const text = (run) =>
      `${run.title} ${run.id} ${run.status} ${run.data} ${run.model} ${run.tags.join(" ")} ${run.note}`.toLowerCase();
    const [status, tag] = [this.status.value, this.tag.value];
    /** @param {RunRow} run */
    const fits = (run) => !status || run.status === status || (status === "active" && ACTIVE.has(run.status));
    const found = this.runs.filter(
      (run) =>
        fits(run) &&
        (!tag || run.tags.includes(tag)) &&
        words.every((/** @type {string} */ word) => text(run).includes(word)),
    );
    const { up } = this.sort;
    const key = /** @type {keyof RunRow} */ (this.sort.key);
    return found.sort((a, b) => (up ? 1 : -1) * compare(a[key], b[key]));
  }

  // ------------------------------------------------------------------ drawing
  draw(isForced = false) {
    if (isForced) this.signature = "";
    const found = this.found();
    this.showTags();
    this.showBar(found);
    const signature = JSON.stringify([
      found,
      [...this.chosen],
      this.editor.id,
      Math.floor(Date.now() / 60_000),
      this.sort,
    ]);
    if (signature === this.signature || this.editor.isBusy) return;
    this.signature = signature;
    const focus = this.body.contains(focused()) ? focused()?.dataset.focus : null;
    const rows = found.flatMap((run) => {
      const line = this.row(run);
      return run.id === this.editor.id ? [line, this.editor.row(run)] : [line];
    });
    this.body.replaceChildren(...rows);
    if (focus) this.body.querySelector(`[data-focus="${CSS.escape(focus)}"]`)?.focus();
    this.heads.forEach((head, i) => {
      const isSorted = COLUMNS[i].key === this.sort.key;
      if (isSorted) head.setAttribute("aria-sort", this.sort.up ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
  }

  /** @param {RunRow[]} found */
  showBar(found) {
    const has = this.runs.length > 0;
    this.empty.hidden = has;
    this.table.hidden = this.bar.hidden = !has;
    const known = new Set(this.runs.map((run) => run.id));
    if (has) for (const id of this.chosen) if (!known.has(id)) this.chosen.delete(id);
    setText(this.compare, say.compare(this.chosen.size));
    this.compare.disabled = this.chosen.size < 2;
    setText(this.note, found.length ? say.runs(found.length) : WORDS.noMatch);
  }

  showTags() {
    const tags = [...new Set(this.runs.flatMap((run) => run.tags))].sort();
    this.tag.hidden = tags.length === 0;
    if (tags.join("\n") === this.tagList) return;
    this.tagList = tags.join("\n");
    const before = this.tag.value;
    this.tag.replaceChildren(
      h("option", { value: "" }, WORDS.anyTag),
      ...tags.map((tag) => h("option", { value: tag }, tag)),
    );
    this.tag.value = tags.includes(before) ? before : "";
  }

  /** @param {RunRow} run */
  row(run) {
    const box = h("input", {
      type: "checkbox",
      checked: this.chosen.has(run.id),
      "data-focus": `box ${run.id}`,
      "aria-label": `${WORDS.choose}: ${run.title}`,
      on: { change: () => this.mark(run.id, box.checked) },
    });
    const isOpen = this.editor.id === run.id;
    const hasDraft = this.editor.hasDraft(run.id);
    const title = hasDraft ? `${WORDS.actions}. ${WORDS.notSaved}` : WORDS.actions;
    const more = h(
      "button",
      {
        type: "button",
        class: hasDraft ? "ft-run-menu ft-run-unsaved" : "ft-run-menu",
        title,
        "aria-label": `${title}: ${run.title}`,
        "aria-expanded": String(isOpen),
        "data-focus": `more ${run.id}`,
        on: { click: () => this.edit(isOpen ? null : run.id) },
      },
      "\u22ef",
    );
    const cells = cellsOf(run);
    const line = h(
      "tr",
      {
        "data-run": run.id,
        on: {
          click: (/** @type {any} */ event) =>
            !event.target.closest("button, input, .ft-run-choose") && openRun(run.id),
        },
      },
      h("td", { class: "ft-run-choose" }, box),
    );
    for (const { key } of COLUMNS) line.append(h("td", { class: `ft-run-${key}` }, cells[key]));
    line.append(h("td", { class: "ft-run-more" }, more));
    return line;
  }

  /**
   * @param {string} id
   * @param {boolean} isChosen
   */
  mark(id, isChosen) {
    if (isChosen && this.chosen.size < MOST_COMPARED) this.chosen.add(id);
    else this.chosen.delete(id);
    this.draw();
  }

  /** @param {string | null} id */
  edit(id) {
    this.editor.id = id;
    this.draw(true);
    if (id) this.editor.focus();
  }
}

/**
 * @param {any} a
 * @param {any} b
 */
function compare(a, b) {
  if (a === null || b === null) return Number(a !== null) - Number(b !== null);
  return typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b;
}

/**
 * What stands in each column, by its key.
 *
 * @param {RunRow} run
 * @returns {Record<string, any>}
 */
function cellsOf(run) {
  const open = h(
    "button",
    { type: "button", class: "ft-link", "data-focus": run.id, title: run.id, on: { click: () => openRun(run.id) } },
    run.title,
  );
  const metric = run.best_key ? metricOf(run.best_key) : null;
  const best = metric
    ? h(
        "span",
        { title: `${metric.label}, epoch ${run.best_epoch}` },
        show(metric.kind, run.best_value),
        h("span", { class: "ft-quiet" }, ` ${metric.label}`),
      )
    : "";
  const waits = run.queue === null || run.queue === undefined ? "" : say.place(run.queue);
  const started = new Date(run.created * 1000);
  return {
    title: h(
      "div",
      { class: "ft-run-name" },
      open,
      ...run.tags.map((tag) => h("span", { class: "ft-tag" }, tag)),
      run.note ? h("span", { class: "ft-run-note", title: run.note }, run.note) : null,
    ),
    status: h(
      "span",
      { class: `ft-status ft-status-${run.status}`, title: run.problem || run.text },
      statusShape(run.status),
      (STATUS[run.status] ?? run.status) + waits,
    ),
    data: run.data,
    model: run.model,
    best_value: best,
    spark: spark(run),
    seconds: run.seconds ? duration(run.seconds) : "",
    created: run.created
      ? h(
          "time",
          { datetime: started.toISOString(), title: started.toLocaleString() },
          ago(Date.now() / 1000 - run.created),
        )
      : "",
  };
}
