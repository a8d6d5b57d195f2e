// Choosing a network: a field that opens a searchable, sortable table. Combobox with a list box, by the keyboard too.

import { h, setText } from "../base/dom.js";
import { magnitude, NETWORK_COLUMNS, say, WORDS } from "../words/setup.js";
import { current, events, lastPlan } from "./form.js";
import { recommend } from "./recommend.js";

const CELLS = {
  name: (row) => row.name,
  parameters: (row) => magnitude(row.parameters),
  size_mib: (row) =>
    row.size_mib === null
      ? ""
      : row.size_mib >= 99.5
        ? String(Math.round(row.size_mib))
        : Number(row.size_mib).toPrecision(3),
  gflops: (row) => (row.gflops === null ? "" : row.gflops >= 9.95 ? row.gflops.toFixed(0) : row.gflops.toPrecision(2)),
  accuracy: (row) => (row.accuracy === null ? "" : row.accuracy.toFixed(1)),
  is_cached: (row) => (row.is_cached ? "\u2713" : ""),
};

const LIST_MS = 700; // between questions while the app reads the list

export function mountPicker(element, props, trigger, watch) {
  new Picker(element, props, trigger, watch);
}

class Picker {
  constructor(element, props, trigger, watch) {
    this.element = element;
    this.props = props;
    this.trigger = trigger;
    this.rows = [];
    this.task = null;
    this.sort = { key: "parameters", up: true };
    this.active = -1;
    this.build();
    watch("value", () => this.show());
    events.addEventListener("state", () => this.isOpen && this.fetchRows());
    events.addEventListener("plan", () => this.planned());
    new IntersectionObserver(([entry]) => entry.isIntersecting && this.planned()).observe(this.input);
    this.show();
  }

  build() {
    const id = "ft-network";
    this.input = h("input", {
      type: "text",
      class: "ft-network-input",
      id,
      role: "combobox",
      "aria-expanded": "false",
      autocomplete: "off",
      spellcheck: false,
      "aria-controls": `${id}-table`,
      "aria-autocomplete": "list",
    });
    this.body = h("div", {
      class: "ft-network-rows",
      role: "listbox",
      id: `${id}-table`,
      "aria-label": WORDS.networkLabel,
    });
    this.note = h("p", { class: "ft-network-note", role: "status" });
    /** @type {HTMLElement[]} */
    this.heads = NETWORK_COLUMNS.map((column) =>
      h(
        "button",
        {
          type: "button",
          tabindex: -1,
          class: `ft-network-${column.key}`,
          title: column.title,
          on: {
            mousedown: (e) => {
              e.preventDefault();
              this.sortBy(column.key);
            },
          },
        },
        column.label,
      ),
    );
    this.panel = h(
      "div",
      { class: "ft-network-panel", popover: "manual" },
      h("div", { class: "ft-network-head" }, ...this.heads),
      this.body,
      this.note,
    );
    this.choices = h("div", { class: "ft-network-choices" });
    const root = this.element.querySelector(".ft-picker");
    root.append(
      h("label", { class: "ft-label", for: id }, this.props.picker_label),
      h("p", { class: "ft-help" }, this.props.picker_help),
      h("div", { class: "ft-network-field" }, this.input),
      this.choices,
      this.panel,
    );
    this.input.addEventListener("focus", () => this.open());
    this.input.addEventListener("click", () => this.open());
    this.input.addEventListener("input", () => {
      this.query = this.input.value;
      this.active = -1;
      this.open();
      this.draw();
    });
    this.input.addEventListener("keydown", (event) => this.key(event));
    this.input.addEventListener("blur", () => this.leave());
    this.panel.addEventListener("mousedown", (event) => event.preventDefault()); // keeps the focus in the field
    addEventListener("resize", () => this.place());
    document.addEventListener("scroll", () => this.place(), true);
  }

  get isOpen() {
    return this.input.getAttribute("aria-expanded") === "true";
  }

  show() {
    if (document.activeElement !== this.input) this.input.value = this.props.value ?? "";
  }

  /** What suits the device and the data of the newest plan, looked up once somebody sees it. */
  async planned() {
    const plan = lastPlan();
    if (!plan || !this.input.checkVisibility()) return;
    const rows = await this.rowsOf(plan.task);
    if (rows && plan === lastPlan()) this.showChoices(rows, plan);
  }

  showChoices(rows, { device_type: type, train_images: images, memory }) {
    const found = recommend(rows, { isGpu: type !== "cpu", images, memoryMib: memory?.limit_mib ?? 0 });
    this.choices.replaceChildren(
      ...found.map(({ kind, row, seconds }) =>
        h(
          "button",
          {
            type: "button",
            class: "ft-preset",
            "data-recommended": kind,
            "aria-pressed": String(row.name === this.props.value),
            title: say.recommended(row, seconds, images),
            on: { click: () => this.choose(row.name) },
          },
          `${WORDS.recommended[kind]}: ${row.name}, ${say.weights(row)}`,
        ),
      ),
    );
  }

  open() {
    if (this.isOpen) return;
    this.query = "";
    this.input.setAttribute("aria-expanded", "true");
    this.panel.showPopover();
    this.place();
    this.fetchRows();
    this.input.select();
  }

  close() {
    if (!this.isOpen) return;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
    this.panel.hidePopover();
  }

  place() {
    if (!this.isOpen) return;
    const box = this.input.getBoundingClientRect();
    const width = Math.min(640, innerWidth - 16);
    const below = innerHeight - box.bottom - 12;
    const height = Math.min(460, Math.max(below, box.top - 12));
    Object.assign(this.panel.style, {
      width: `${width}px`,
      maxHeight: `${height}px`,
      left: `${Math.max(8, Math.min(box.left, innerWidth - width - 8))}px`,
      top: below >= Math.min(height, 300) ? `${box.bottom + 4}px` : `${box.top - height - 4}px`,
    });
  }

  async fetchRows() {
    const task = current()?.task ?? "classification";
    if (this.task === task && this.rows.length) return this.draw();
    setText(this.note, WORDS.loadingNetworks);
    const body = await listOf(task);
    if (!this.isOpen) return undefined;
    this.task = task;
    this.rows = body.networks;
    this.draw();
    if (body.state === "failed") setText(this.note, body.message);
    return undefined;
  }

  /** The networks of a task, from the list that is loaded if it is one of these; null where they cannot be had. */
  async rowsOf(task) {
    if (this.task === task && this.rows.length) return this.rows;
    const { networks } = await listOf(task);
    return networks.length ? networks : null;
  }

  /** Rows that match what was typed, in the order chosen. */
  matches() {
    const words = (this.query ?? "")
      .toLowerCase()
      .split(/[\s_]+/)
      .filter(Boolean);
    const { key, up } = this.sort;
    const value = (row) => (key === "is_cached" ? Number(row.is_cached) : row[key]);
    return this.rows
      .filter((row) => words.every((word) => row.name.includes(word)))
      .sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x === null || y === null) return Number(x === null) - Number(y === null);
        const order = typeof x === "string" ? x.localeCompare(y, "en", { numeric: true }) : x - y;
        return up ? order : -order;
      });
  }

  sortBy(key) {
    this.sort = { key, up: this.sort.key === key ? !this.sort.up : !["accuracy", "is_cached"].includes(key) };
    this.draw();
  }

  draw() {
    /** @type {any[]} */
    this.found = this.matches();
    this.body.replaceChildren(...this.found.map((row, i) => this.row(row, i)));
    this.heads.forEach((head, i) => {
      const isSorted = NETWORK_COLUMNS[i].key === this.sort.key;
      head.dataset.sorted = isSorted ? (this.sort.up ? "up" : "down") : "";
    });
    setText(this.note, this.rows.length && !this.found.length ? WORDS.noNetworks : say.networks(this.found.length));
    if (this.active < 0)
      this.move(
        this.found.findIndex((row) => row.name === (this.query ? null : this.props.value)),
        "center",
      );
  }

  row(row, i) {
    const cells = NETWORK_COLUMNS.map(({ key }) =>
      h(
        "span",
        { class: `ft-network-${key}`, "aria-label": key === "is_cached" && row.is_cached ? WORDS.onMachine : null },
        CELLS[key](row),
      ),
    );
    const isChosen = row.name === this.props.value;
    return h(
      "div",
      {
        role: "option",
        class: "ft-network-row",
        id: `ft-network-${i}`,
        "aria-selected": String(isChosen),
        on: { click: () => this.choose(row.name) },
      },
      ...cells,
    );
  }

  move(index, block = "nearest") {
    this.body.querySelector(".ft-active")?.classList.remove("ft-active");
    this.active = index;
    const row = this.body.children[index];
    if (!row) return this.input.removeAttribute("aria-activedescendant");
    row.classList.add("ft-active");
    row.scrollIntoView({ block });
    return this.input.setAttribute("aria-activedescendant", row.id);
  }

  key(event) {
    const last = (this.found?.length ?? 0) - 1;
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 };
    if (event.key in steps) {
      event.preventDefault();
      this.open();
      this.move(Math.max(0, Math.min(last, this.active + steps[event.key])));
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (!this.isOpen) this.open();
      else this.choose(this.found[this.active]?.name ?? this.found[0]?.name ?? this.input.value.trim());
    } else if (event.key === "Escape" && this.isOpen) {
      event.stopPropagation();
      this.input.value = this.props.value;
      this.close();
    }
  }

  /** Left without choosing: a name that was typed whole counts, anything else is put back. */
  leave() {
    const typed = this.input.value.trim();
    const isKnown = this.rows.some((row) => row.name === typed);
    this.close();
    if (typed && typed !== this.props.value && (isKnown || !this.rows.length)) this.choose(typed);
    else this.input.value = this.props.value;
  }

  choose(name) {
    this.close();
    this.input.value = name;
    if (name === this.props.value) return;
    this.props.value = name;
    this.trigger("input");
  }
}

/**
 * The networks of a task, once the app knows them.
 *
 * @param {string} task
 * @returns {Promise<{ state: string, networks: NetworkRow[], message: string }>}
 */
async function listOf(task) {
  for (;;) {
    const answer = await fetch(`api/networks?task=${encodeURIComponent(task)}`).catch(() => null);
    const body = answer?.ok ? await answer.json() : { state: "failed", networks: [], message: "" };
    if (body.state !== "loading")
      return { ...body, networks: body.networks.map((row) => ({ ...row, accuracy: row.top1 ?? row.miou ?? null })) };
    await new Promise((done) => setTimeout(done, LIST_MS));
  }
}
