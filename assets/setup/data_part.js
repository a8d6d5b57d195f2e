// Ways to data below its path: a zip from the browser, torchvision's sets; and what the path was recognised as.

import { Asker } from "../base/asker.js";
import { h, setText, toggle } from "../base/dom.js";
import { say, WORDS } from "../words/data.js";
import { WORDS as SETUP } from "../words/setup.js";
import { filesOf, zipOf } from "./dropped.js";
import { current, events, set, wasLoaded } from "./form.js";
import { KeptZips } from "./kept_zips.js";

const SAMPLE = "builtin:sample";
const PATH_FIELD = "ft-data-path";
const PAUSE = 350; // ms of quiet after a change of the path: it may still be typed

/** @type {Record<string, string>} */
const PROBLEMS = { many: WORDS.tooMany, large: WORDS.tooLarge, nothing: WORDS.nothingDropped };

export function mountData(element, props) {
  new DataPart(element.querySelector(".ft-data"), JSON.parse(JSON.stringify(props.sets)));
}

class DataPart {
  constructor(root, sets) {
    this.sets = sets;
    this.asker = new Asker("api/data/recognise", SETUP.noAnswer);
    this.file = h("input", {
      type: "file",
      accept: ".zip,application/zip",
      class: "ft-offscreen",
      tabindex: -1,
      "aria-hidden": "true",
      on: { change: () => this.upload() },
    });
    this.uploadButton = h(
      "button",
      { type: "button", class: "ft-find", title: WORDS.uploadHint, on: { click: () => this.file.click() } },
      WORDS.upload,
    );
    this.setsButton = h(
      "button",
      { type: "button", class: "ft-find", "aria-expanded": "false", on: { click: () => this.showSets() } },
      WORDS.sets,
    );
    this.cancel = h(
      "button",
      { type: "button", class: "ft-find", on: { click: () => this.request?.abort() } },
      WORDS.cancel,
    );
    this.bar = h("progress", { class: "ft-find-bar", max: 1, value: 0, "aria-label": WORDS.upload });
    this.words = h("p", { class: "ft-find-words", role: "status" });
    this.hint = h("p", { class: "ft-quiet ft-drop-hint" }, WORDS.drop);
    this.problem = h("p", { class: "ft-find-problem", role: "alert" });
    this.recognised = h("p", { class: "ft-recognised", role: "status" });
    root.append(
      h("div", { class: "ft-find-line" }, this.uploadButton, this.setsButton, this.cancel, this.words, this.file),
      this.hint,
      this.bar,
      this.problem,
      this.buildSets(),
      new KeptZips().element,
      this.recognised,
    );
    this.busy(false);
    this.takeDrops(root.closest("#ft-section-data") ?? root);
    events.addEventListener("state", () => this.changed());
    events.addEventListener("plan", ({ detail }) => this.planned(detail));
    if (current()) this.changed();
  }

  // ------------------------------------------------------------------ zip
  /** @param {HTMLElement} place */
  takeDrops(place) {
    const mark = (/** @type {boolean} */ isOver) => place.classList.toggle("ft-drop", isOver);
    place.addEventListener("dragover", (event) => {
      event.preventDefault();
      mark(true);
    });
    place.addEventListener(
      "dragleave",
      (event) => place.contains(/** @type {Node} */ (event.relatedTarget)) || mark(false),
    );
    place.addEventListener("drop", (event) => {
      event.preventDefault();
      mark(false);
      if (event.dataTransfer) this.drop(event.dataTransfer);
    });
  }

  /** @param {DataTransfer} dropped */
  async drop(dropped) {
    setText(this.problem, "");
    try {
      const { name, files } = await filesOf(dropped);
      const [first] = files;
      if (!first) throw Object.assign(new Error(), { code: "nothing" });
      if (files.length === 1 && first.path.toLowerCase().endsWith(".zip")) return this.send(first.file);
      this.busy(true);
      const blob = await zipOf(files, (done, total) => {
        this.bar.value = total ? done / total : 0;
        setText(this.words, say.megabytes(done, total, WORDS.reading));
      });
      this.send(new File([blob], `${name || WORDS.dropped}.zip`));
    } catch (error) {
      this.busy(false);
      setText(this.problem, PROBLEMS[error.code] ?? WORDS.notRead);
    }
  }

  upload() {
    this.send(this.file.files[0]);
    this.file.value = "";
  }

  /** XMLHttpRequest: fetch tells nothing of how much has gone out. */
  send(file) {
    if (!file) return;
    setText(this.problem, "");
    const request = new XMLHttpRequest();
    this.request = request;
    request.open("POST", `api/data/upload?name=${encodeURIComponent(file.name)}`);
    request.responseType = "json";
    request.upload.onprogress = ({ loaded, total }) => {
      this.bar.value = loaded / total;
      setText(this.words, loaded < total ? say.megabytes(loaded, total) : WORDS.looking);
    };
    request.onloadend = () => {
      this.busy(false);
      const answer = request.response;
      if (request.status === 200) set({ "data.path": answer.path });
      else if (request.status) setText(this.problem, answer?.detail ?? WORDS.uploadFailed);
    };
    request.onerror = () => setText(this.problem, WORDS.uploadFailed);
    this.busy(true);
    request.send(file);
  }

  busy(isBusy) {
    toggle(this.uploadButton, !isBusy);
    toggle(this.setsButton, !isBusy);
    toggle(this.cancel, isBusy);
    toggle(this.bar, isBusy);
    setText(this.words, isBusy ? WORDS.uploading : "");
  }

  // ------------------------------------------------------------------ torchvision's sets
  buildSets() {
    this.select = h(
      "select",
      { id: "ft-set", on: { change: () => this.describeSet() } },
      ...this.sets.map(({ name }) => h("option", { value: name }, name)),
    );
    this.about = h("p", { class: "ft-find-words" });
    this.place = h("input", {
      type: "text",
      id: "ft-set-root",
      class: "ft-root",
      spellcheck: false,
      autocomplete: "off",
    });
    const use = h("button", { type: "button", class: "ft-find", on: { click: () => this.useSet() } }, WORDS.use);
    this.panel = h(
      "div",
      { class: "ft-sets" },
      h("label", { class: "ft-label", for: "ft-set" }, WORDS.set),
      this.select,
      this.about,
      h("label", { class: "ft-label", for: "ft-set-root" }, WORDS.root),
      this.place,
      use,
    );
    toggle(this.panel, false);
    this.describeSet();
    return this.panel;
  }

  describeSet() {
    setText(this.about, say.set(this.sets.find(({ name }) => name === this.select.value)));
  }

  showSets() {
    toggle(this.panel, this.panel.hidden);
    this.setsButton.setAttribute("aria-expanded", String(!this.panel.hidden));
  }

  useSet() {
    const root = this.place.value.trim();
    this.showSets();
    set({ "data.path": `torchvision:${this.select.value}${root ? `@${root}` : ""}` });
  }

  // ------------------------------------------------------------------ what it is
  changed() {
    const { place, task } = /** @type {FormState} */ (current());
    if (place === this.path) {
      if (task !== this.task) {
        if (task !== this.given) this.isChosen = true; // by the user: it stays until there is other data
        this.task = task;
        this.plan = null; // it said what the data is for the other task
        this.show();
      }
      return;
    }
    this.path = place;
    this.task = task;
    this.glance = null;
    this.plan = null;
    this.isRefused = false;
    this.given = null;
    this.isChosen = wasLoaded();
    clearTimeout(this.timer);
    this.show();
    if (place && place !== SAMPLE) this.timer = setTimeout(() => this.look(place), PAUSE);
  }

  /** The task follows the data, unless the user chose one. */
  async look(path) {
    const answer = await this.asker.ask({ path });
    if (path !== this.path || !answer?.value) return;
    this.glance = answer.value;
    if (!this.isChosen && this.glance.task !== this.task) {
      this.given = this.glance.task;
      set({ task: this.given });
    }
    this.show();
  }

  planned({ value, errors, place }) {
    if (place !== this.path) return;
    this.plan = value;
    this.isRefused = !value && "data.path" in errors;
    this.show();
  }

  show() {
    const words = this.path === SAMPLE ? WORDS.sample : (this.plan?.data ?? this.glance?.words);
    const isShown = Boolean(words) && !this.isRefused && !(PATH_FIELD in (current()?.errors ?? {}));
    toggle(this.recognised, isShown);
    if (!isShown) return;
    const other = this.glance && this.glance.task !== this.task ? this.glance.task : null;
    const isGiven = this.given && this.given === this.task;
    const key = JSON.stringify([words, other, isGiven]);
    if (key === this.shown) return; // a button that is being pressed stays the same button
    this.shown = key;
    this.recognised.replaceChildren(
      h("strong", {}, `${WORDS.recognised}: `),
      `${words}. `,
      isGiven ? `${say.was(this.task)} ` : "",
      other ? `${say.looksLike(other)} ` : this.path === SAMPLE ? "" : WORDS.notRight,
      ...(other
        ? [
            h(
              "button",
              { type: "button", class: "ft-link", on: { click: () => set({ task: other }) } },
              say.choose(other),
            ),
          ]
        : []),
    );
  }
}
