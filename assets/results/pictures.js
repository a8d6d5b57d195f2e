// Pictures of an evaluation: a grid that any figure can fill, and one of them large, with what lies over it.

import { h, setText } from "../base/dom.js";
import { number, percent } from "../base/format.js";
import { addressOf, ask, post } from "../base/poller.js";
import { say, WORDS } from "../words/results.js";

const PAGE = 24;

export class Pictures {
  constructor() {
    /** @type {any[]} What is shown of each picture. */
    this.rows = [];
    /** @type {[string, string][]} */
    this.views = [];
    this.title = h("h3", { tabIndex: -1 }, WORDS.show);
    this.words = h("p", { class: "ft-quiet", role: "status" });
    this.choices = h("div", { class: "ft-res-choices" });
    this.grid = h("ul", { class: "ft-res-grid-of-pictures" });
    this.more = h(
      "button",
      { type: "button", class: "ft-res-button", hidden: true, on: { click: () => this.load() } },
      WORDS.more,
    );
    this.large = new Large(this);
    this.element = h(
      "aside",
      { class: "ft-res-pictures", "aria-label": WORDS.show },
      this.title,
      this.choices,
      this.words,
      this.grid,
      this.more,
      this.large.element,
    );
  }

  /**
   * Take another evaluation; `views` are those that need no figure to be chosen: title and query.
   *
   * @param {string} base `api/runs/ID/results/NAME`
   * @param {any} figures
   * @param {[string, string][]} views
   */
  take(base, figures, views) {
    this.base = base;
    this.figures = figures;
    this.views = views;
    this.choices.replaceChildren(
      ...views.map(([title, query]) =>
        h("button", { type: "button", class: "ft-res-choice", on: { click: () => this.show(title, query) } }, title),
      ),
    );
    this.show(...views[0]);
  }

  /** Fill the grid; with `isCalled` it is brought into view, as somebody chose it elsewhere. */
  async show(title, query, isCalled = false) {
    this.query = query;
    this.turn = Symbol("turn");
    this.rows = [];
    setText(this.title, title);
    setText(this.words, WORDS.loading);
    for (const [i, [, own]] of this.views.entries())
      this.choices.children[i].setAttribute("aria-pressed", String(own === query));
    this.grid.replaceChildren();
    this.more.hidden = true;
    await this.load();
    if (!isCalled) return;
    this.title.focus({ preventScroll: true });
    if (this.element.getBoundingClientRect().top > innerHeight * 0.6) this.element.scrollIntoView({ block: "start" });
  }

  async load() {
    const { query, turn } = this;
    let answer;
    try {
      answer = await ask(addressOf(`${this.base}/pictures?${query}&offset=${this.rows.length}&limit=${PAGE}`));
    } catch (error) {
      setText(this.words, error.code ? error.message : WORDS.noAnswer);
      return;
    }
    if (turn !== this.turn) return;
    const from = this.rows.length;
    this.rows.push(...answer.pictures);
    this.grid.append(...answer.pictures.map((row, i) => this.item(row, from + i)));
    setText(this.words, answer.total ? say.total(answer.total) : WORDS.noPictures);
    this.more.hidden = this.rows.length >= answer.total;
  }

  item(row, at) {
    const caption = captionOf(row);
    return h(
      "li",
      {},
      h(
        "button",
        {
          type: "button",
          title: row.place,
          "aria-label": `${caption}. ${row.place}`,
          on: { click: () => this.large.show(at) },
        },
        this.image(row, "small"),
        h("span", { class: typeof row.said === "string" && row.true !== row.said ? "ft-res-wrong" : "" }, caption),
      ),
    );
  }

  /** The picture; what cannot be shown says so in its place. */
  image(row, side) {
    const address = addressOf(`${this.base}/picture/${row.index}?side=${side}&v=${this.figures.made}`);
    const image = h("img", { src: String(address), alt: row.place, loading: "lazy", decoding: "async" });
    const box = h("span", { class: `ft-res-box${this.figures.target === "mask" ? " ft-res-square" : ""}` }, image);
    image.addEventListener("error", () => box.replaceChildren(h("span", { class: "ft-quiet" }, WORDS.gone)));
    if (this.figures.target === "mask" && side === "small") box.append(this.layer(row, "errors"));
    return box;
  }

  layer(row, what) {
    const address = addressOf(`${this.base}/layer/${row.index}/${what}?v=${this.figures.made}`);
    return h("img", { src: String(address), alt: "", class: "ft-res-layer", loading: "lazy" });
  }
}

/** A line below a picture. */
export function captionOf(row) {
  if (row.iou) {
    const all = Object.entries(row.iou).map(([name, value]) => `${name} ${percent(value)}`);
    return all.slice(0, 3).join(", ");
  }
  if (row.probabilities) {
    const said = Object.entries(row.probabilities).map(([name, p]) => `${name} ${percent(p)}`);
    return `${row.true.join(", ") || "\u2013"}; ${said.join(", ")}`;
  }
  if (typeof row.true === "object") {
    return Object.keys(row.true)
      .map((name) => `${name} ${number(row.said[name], 4)}, true ${number(row.true[name], 4)}`)
      .join("; ");
  }
  return say.caption(row.true, row.said, row.confidence);
}

/** One picture in a dialog; arrows lead to its neighbours in the grid. */
class Large {
  constructor(pictures) {
    this.pictures = pictures;
    this.stage = h("div", { class: "ft-res-stage" });
    this.caption = h("p", { class: "ft-res-caption" });
    this.place = h("p", { class: "ft-quiet" });
    this.tools = h("div", { class: "ft-res-tools" });
    const button = (label, click) => h("button", { type: "button", class: "ft-res-button", on: { click } }, label);
    this.near = button(WORDS.near, () => this.showNear());
    this.lookedButton = button(WORDS.looked, () => this.showLooked());
    this.looked = h("div", { class: "ft-res-looked", role: "status" });
    this.element = h(
      "dialog",
      { class: "ft-res-large", "aria-label": WORDS.show, on: { keydown: (event) => this.key(event) } },
      this.stage,
      this.looked,
      this.caption,
      this.place,
      this.tools,
      h(
        "div",
        { class: "ft-res-buttons" },
        button(WORDS.before, () => this.step(-1)),
        button(WORDS.after, () => this.step(1)),
        this.near,
        this.lookedButton,
        button(WORDS.close, () => this.element.close()),
      ),
    );
    this.shown = { layer: "errors", opacity: 60, boundary: false };
  }

  get row() {
    return this.pictures.rows[this.at];
  }

  show(at) {
    this.at = at;
    setText(this.caption, captionOf(this.row));
    setText(this.place, this.row.file);
    this.near.hidden = !this.pictures.figures.images;
    this.looked.replaceChildren();
    this.lookedButton.hidden = this.pictures.figures.target === "mask";
    this.draw();
    if (!this.element.open) this.element.showModal();
  }

  draw() {
    this.stage.replaceChildren(this.pictures.image(this.row, "large"));
    const isMask = this.pictures.figures.target === "mask";
    this.tools.hidden = !isMask;
    if (!isMask) return;
    const box = /** @type {HTMLElement} */ (this.stage.firstElementChild);
    const { layer, opacity, boundary } = this.shown;
    const layers = [layer !== "none" ? layer : null, boundary ? "boundary" : null].filter(Boolean);
    for (const what of layers) {
      const image = this.pictures.layer(this.row, what);
      if (what !== "boundary") image.style.opacity = String(opacity / 100);
      box.append(image);
    }
    if (!this.tools.childElementCount) this.tools.append(...this.controls());
  }

  controls() {
    const change = (what) => (event) => {
      const { type, checked, value } = event.target;
      this.shown[what] = type === "checkbox" ? checked : type === "range" ? Number(value) : value;
      this.draw();
    };
    const options = Object.entries(WORDS.layers).map(([value, label]) => h("option", { value }, label));
    const select = h("select", { on: { change: change("layer") } }, ...options);
    select.value = this.shown.layer;
    const key = (name, label) => h("li", {}, h("i", { class: `ft-res-key-${name}`, "aria-hidden": "true" }), label);
    return [
      h("label", {}, h("span", {}, WORDS.layer), select),
      h(
        "label",
        {},
        h("span", {}, WORDS.opacity),
        h("input", { type: "range", min: 0, max: 100, value: this.shown.opacity, on: { input: change("opacity") } }),
      ),
      h(
        "label",
        {},
        h("input", { type: "checkbox", on: { change: change("boundary") } }),
        h("span", {}, WORDS.boundary),
      ),
      h(
        "ul",
        { class: "ft-res-keys" },
        key("missed", WORDS.keyMissed),
        key("false", WORDS.keyFalse),
        key("right", WORDS.keyRight),
      ),
    ];
  }

  key(event) {
    if (event.target.matches("input, select")) return;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) this.step(step);
  }

  step(by) {
    const at = this.at + by;
    if (at >= 0 && at < this.pictures.rows.length) this.show(at);
  }

  /** Ask where the network looked for a class, label or number; for what it says if none is named. */
  async showLooked(name = "") {
    const { at } = this;
    this.looked.replaceChildren(h("p", { class: "ft-quiet" }, WORDS.loading));
    let answer;
    try {
      answer = await post(addressOf(`${this.pictures.base}/looked`), { index: this.row.index, name });
    } catch (error) {
      this.looked.replaceChildren(h("p", { class: "ft-error" }, error.code ? error.message : WORDS.noAnswer));
      return;
    }
    if (at !== this.at) return;
    const heat = h("img", { src: String(addressOf(answer.heat)), alt: WORDS.looked, class: "ft-res-layer" });
    heat.style.opacity = "1";
    const seen = h("img", { src: String(addressOf(answer.seen)), alt: "" });
    this.stage.replaceChildren(h("span", { class: "ft-res-box" }, seen, heat));
    const select = h(
      "select",
      { on: { change: () => this.showLooked(select.value) } },
      ...answer.names.map((one) => h("option", { value: one }, one)),
    );
    select.value = answer.name;
    this.looked.replaceChildren(h("label", { class: "ft-res-tools" }, h("span", {}, WORDS.lookedFor), select));
  }

  showNear() {
    const { index } = this.row;
    this.element.close();
    this.pictures.show(WORDS.near, `of=near&index=${index}`, true);
  }
}
