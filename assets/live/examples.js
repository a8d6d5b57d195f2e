// A few validation pictures of the run, always the same, with what it said of them at each validation; a slider over the
// validations shows how the answers came about, and where on the curves that was.

import { h, setText, toggle } from "../base/dom.js";
import { value as show } from "../base/format.js";
import { ask } from "../base/poller.js";
import { maskLegend } from "../charts/mask_legend.js";
import { rangeOf, scatterPlot } from "../charts/scatter.js";
import { say, WORDS } from "../words/examples.js";
import { metricOf } from "../words/live.js";

const PLAY_MS = 700;
const ROOM = 0.25; // of the range of the true numbers: the axes stay, whatever is said
/** @type {("true" | "said" | "errors")[]} */
const LAYERS = ["true", "said", "errors"];

export class ExamplePictures {
  /**
   * `address(path)` of a route of the run on view; `board` draws where a validation was, and has its numbers.
   *
   * @param {{ address: (path: string) => URL, board: import("./board.js").Board }} options
   */
  constructor({ address, board }) {
    this.address = address;
    this.board = board;
    /** @type {string | null} */
    this.run = null;
    this.at = 0;
    this.turn = 0;
    this.asked = 0; // only the answer to the last question counts
    this.forget();
    this.when = h("output", { class: "ftl-ex-when" });
    this.result = h("span", { class: "ftl-ex-result" });
    this.slider = h("input", {
      type: "range",
      class: "ftl-ex-slider",
      min: "0",
      step: "1",
      "aria-label": WORDS.slider,
      on: { input: () => this.move(Number(this.slider.value)), change: () => this.point() },
    });
    this.playButton = h(
      "button",
      { type: "button", class: "ftl-button ftl-ex-play", title: WORDS.playHint, on: { click: () => this.play() } },
      WORDS.play,
    );
    this.controls = h("div", { class: "ftl-ex-controls" }, this.playButton, this.slider, this.when, this.result);
    this.legend = h("p", { class: "ftl-ex-legend", hidden: true });
    this.clouds = h("div", { class: "ftl-ex-clouds", hidden: true });
    this.list = h("ul", { class: "ftl-ex-list" });
    this.element = h(
      "section",
      { class: "ftl-examples", "aria-label": WORDS.title, hidden: true },
      h("h3", {}, WORDS.title),
      h("p", { class: "ftl-quiet" }, WORDS.help),
      this.controls,
      this.legend,
      this.clouds,
      this.list,
    );
  }

  forget() {
    /** @type {ExamplesAbout | null} */
    this.about = null;
    /** @type {Map<string, ExamplesSaid>} By name of the validation. */
    this.told = new Map();
    this.at = 0;
    this.turn += 1;
    this.isFollowing = true;
    /** @type {{ element: HTMLElement, caption: HTMLElement, note: HTMLElement }[]} */
    this.tiles = [];
  }

  /**
   * Another run, or none.
   *
   * @param {string | null} run
   */
  begin(run) {
    this.stop();
    this.run = run;
    this.forget();
    toggle(this.element, false);
  }

  /** Look for what is new; asked after each validation. */
  async refresh() {
    const { run, turn } = this;
    if (!run) return;
    this.asked += 1;
    const number = this.asked;
    const about = await ask(this.path("")).catch(() => null); // asked again after the next validation
    if (turn !== this.turn || number !== this.asked || !about?.validations?.length) return;
    const isOther = !this.about || this.about.made !== about.made;
    this.about = about;
    if (isOther) this.build(about);
    const last = about.validations.length - 1;
    this.slider.max = String(last);
    this.slider.disabled = this.playButton.disabled = last === 0;
    if (this.isFollowing) await this.showAt(last);
    else this.slider.value = String(this.at);
    if (turn === this.turn) toggle(this.element, true);
  }

  /** @param {string} path */
  path(path) {
    return this.address(`api/runs/${encodeURIComponent(this.run ?? "")}/examples${path}`);
  }

  // ------------------------------------------------------------------ the user
  /** @param {number} at */
  move(at) {
    this.stop();
    this.isFollowing = at === this.last;
    this.showAt(at).then(() => this.point());
  }

  get last() {
    return (this.about?.validations.length ?? 1) - 1;
  }

  /** Draw on the curves where the validation on view was; the newest needs no line. */
  point() {
    const validation = this.about?.validations[this.at];
    this.board.pointAt(validation && this.at < this.last ? validation.step : null);
  }

  play() {
    if (this.timer) {
      this.stop();
      return;
    }
    setText(this.playButton, WORDS.pause);
    this.isFollowing = false;
    const next = async (/** @type {number} */ at) => {
      await this.showAt(at);
      this.point();
      if (!this.timer) return; // stopped meanwhile
      if (at < this.last) this.timer = setTimeout(() => next(at + 1), PLAY_MS);
      else {
        this.stop();
        this.isFollowing = true;
      }
    };
    this.timer = setTimeout(() => next(0), 0);
  }

  stop() {
    clearTimeout(this.timer);
    this.timer = undefined;
    if (this.playButton) setText(this.playButton, WORDS.play);
  }

  // ------------------------------------------------------------------ showing
  /** @param {number} at */
  async showAt(at) {
    const { about, turn } = this;
    const validation = about?.validations[at];
    if (!about || !validation) return;
    this.at = at;
    this.slider.value = String(at);
    const key = `${validation.name}.${validation.made}`;
    const said = this.told.get(key) ?? (await ask(this.path(`/${validation.name}`)).catch(() => null));
    if (!said || turn !== this.turn) return;
    this.told.set(key, said);
    if (about.kind === "mask") await this.loadMasks(validation);
    if (turn !== this.turn || this.at !== at) return; // moved on meanwhile
    if (about.kind === "mask") this.showMasks(validation);
    setText(this.when, this.words(validation));
    this.slider.setAttribute("aria-valuetext", this.when.textContent ?? "");
    const answers = about.pictures.map((picture, i) => answerOf(about, picture, said.said[i]));
    answers.forEach((answer, i) => {
      const { caption, note } = this.tiles[i];
      setText(caption, answer.text);
      caption.title = answer.text;
      caption.dataset.right = answer.isRight === null ? "" : String(answer.isRight);
      setText(note, answer.note);
      note.title = answer.note;
    });
    setText(this.result, resultOf(about, said, answers));
    this.showClouds(about, said);
  }

  /** @param {ExampleValidation} validation */
  words({ epoch, step }) {
    const { board } = this;
    const key = board.facts.best_metric ?? "";
    const curve = board.curves.get(key);
    const found = curve ? curve.y[curve.x.indexOf(step)] : undefined;
    const { label, kind } = metricOf(key);
    const metric = found === undefined || found === null ? null : say.metric(label, show(kind, found));
    return [say.when(epoch, step), metric].filter(Boolean).join(" \u00b7 ");
  }

  /** @param {ExamplesAbout} about */
  build(about) {
    this.told.clear();
    this.element.dataset.kind = about.kind;
    const layers = about.kind === "mask" ? LAYERS : [""];
    const picture = `url("${this.path(`/pictures?made=${about.made}`)}")`;
    this.list.style.setProperty("--ftl-ex-all", `${100 * about.pictures.length}%`);
    this.list.style.setProperty("--ftl-ex-picture", picture);
    this.tiles = about.pictures.map((one, i) => {
      const place = about.pictures.length > 1 ? (100 * i) / (about.pictures.length - 1) : 0;
      const boxes = layers.map((layer) => {
        const name = layer ? h("span", { class: "ftl-ex-name" }, WORDS[/** @type {"true"} */ (layer)]) : null;
        const box = h(
          "span",
          { class: "ftl-ex-box" },
          h("span", { class: "ftl-ex-picture" }),
          h("span", { class: "ftl-ex-layer" }),
        );
        return h("span", { class: "ftl-ex-part" }, name, box);
      });
      const caption = h("span", { class: "ftl-ex-said" });
      const note = h("span", { class: "ftl-ex-note" });
      const title = one.file.split("/").slice(-2).join("/");
      const parts = h("span", { class: "ftl-ex-parts", role: "img", "aria-label": title, title }, ...boxes);
      const element = h("li", {}, parts, caption, note);
      element.style.setProperty("--ftl-ex-place", `${place}%`);
      return { element, caption, note };
    });
    this.list.replaceChildren(...this.tiles.map(({ element }) => element));
    toggle(this.legend, about.kind === "mask");
    this.legend.replaceChildren(
      ...maskLegend(about.legend),
      .../** @type {const} */ (["right", "missed", "false"]).map((name) =>
        h("span", { class: "ftl-ex-key" }, h("i", { class: `ft-res-key-${name}`, "aria-hidden": "true" }), WORDS[name]),
      ),
    );
  }

  /**
   * Fetch the masks of a validation, so that they appear at once.
   *
   * @param {ExampleValidation} validation
   */
  loadMasks(validation) {
    return Promise.all(LAYERS.map((layer) => loaded(this.maskAddress(validation, layer))));
  }

  /** @param {ExampleValidation} validation */
  showMasks(validation) {
    for (const layer of LAYERS)
      this.list.style.setProperty(`--ftl-ex-${layer}`, `url("${this.maskAddress(validation, layer)}")`);
  }

  /**
   * @param {ExampleValidation} validation
   * @param {string} layer
   */
  maskAddress({ name, made }, layer) {
    return String(this.path(`/${name}/${layer}?made=${made}`));
  }

  /**
   * Of each number its predictions against what is true, on axes that stay.
   *
   * @param {ExamplesAbout} about
   * @param {ExamplesSaid} said
   */
  showClouds({ points: truth, names }, { points }) {
    toggle(this.clouds, Boolean(truth && points));
    if (!truth || !points) return;
    this.clouds.replaceChildren(
      ...names.map((name, k) => {
        const xs = truth.map((row) => row[k]);
        const range = rangeOf(xs, ROOM);
        const plot = scatterPlot({
          label: say.scatter(name),
          across: WORDS.truth,
          xs,
          ys: points.map((row) => numberOf(row[k])),
          x: range,
          y: range,
          ideal: "diagonal",
        });
        return h("figure", {}, h("figcaption", {}, say.scatter(name)), plot);
      }),
    );
  }
}

/**
 * Resolves when the browser has a picture, or cannot have it.
 *
 * @param {string} address
 */
const loaded = (address) =>
  Object.assign(new Image(), { src: address })
    .decode()
    .catch(() => {});

/** @param {unknown} value A number; a text where it is not finite. */
const numberOf = (value) => (typeof value === "number" ? value : null);

/**
 * What stands below a picture.
 *
 * @param {ExamplesAbout} about
 * @param {ExamplesAbout["pictures"][number]} picture
 * @param {unknown} said
 * @returns {{ text: string, note: string, isRight: boolean | null }}
 */
function answerOf({ kind, names }, { true: truth }, said) {
  if (kind === "class") return classAnswer(names, /** @type {number} */ (truth), /** @type {any} */ (said));
  if (kind === "labels")
    return labelAnswer(names, /** @type {number[]} */ (truth), /** @type {[number, number][]} */ (said));
  if (kind === "mask") return { text: say.iou(/** @type {number} */ (said)), note: "", isRight: null };
  const [given, is] = [/** @type {number[]} */ (said), /** @type {number[]} */ (truth)];
  const words = names.map((name, k) => say.number(names.length > 1 ? name : "", given[k], is[k]));
  return { text: words.join("; "), note: "", isRight: null };
}

/**
 * @param {string[]} names
 * @param {number} truth
 * @param {{ top: [number, number][], true: number }} said
 */
function classAnswer(names, truth, { top: [[best, p]], true: given }) {
  const isRight = best === truth;
  return {
    text: say.said(names[best], p),
    note: isRight ? say.is(names[truth]) : say.isGiven(names[truth], given),
    isRight,
  };
}

/**
 * @param {string[]} names
 * @param {number[]} truth
 * @param {[number, number][]} said Label, probability.
 */
function labelAnswer(names, truth, said) {
  const found = said.filter(([, p]) => p >= 0.5);
  const missed = said.filter(([k, p]) => p < 0.5 && truth.includes(k));
  const words = [...found.map(([k, p]) => say.said(names[k], p)), ...missed.map(([k, p]) => say.missed(names[k], p))];
  const labels = truth.map((k) => names[k]).join(", ");
  const isRight = !missed.length && found.every(([k]) => truth.includes(k));
  return { text: words.join(", ") || WORDS.none, note: say.is(labels || WORDS.none), isRight };
}

/**
 * The pictures together, in words.
 *
 * @param {ExamplesAbout} about
 * @param {ExamplesSaid} said
 * @param {{ isRight: boolean | null }[]} answers
 */
function resultOf({ kind }, { said }, answers) {
  const ious = /** @type {number[]} */ (said);
  if (kind === "mask") return say.overlap(ious.reduce((sum, iou) => sum + iou, 0) / ious.length);
  if (kind === "numbers") return "";
  return say.right(answers.filter(({ isRight }) => isRight).length, answers.length);
}
