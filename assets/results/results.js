// The place Results: what a run gets right and wrong. It fills itself: a run that is complete was evaluated by its worker,
// any other is evaluated once when it is looked at.

import { h, setText, toggle } from "../base/dom.js";
import { addressOf, ask, post } from "../base/poller.js";
import { say, WORDS, weightsName } from "../words/results.js";
import { reliability } from "./calibration.js";
import { headline, part, table } from "./figures.js";
import { thresholds } from "./labels.js";
import { pictureMap } from "./map.js";
import { matrix } from "./matrix.js";
import { scatter } from "./numbers.js";
import { Pictures } from "./pictures.js";
import { Suspects } from "./suspects.js";

const BEAT_MS = 1500;
/** @type {any} Target to views: titles and queries. */
const VIEWS = {
  class: [
    [WORDS.mistakes, "of=mistakes"],
    [WORDS.unsure, "of=unsure"],
  ],
  labels: [[WORDS.worst, "of=worst"]],
  numbers: [[WORDS.worst, "of=worst"]],
  mask: [[WORDS.worst, "of=worst"]],
};

export function mountResults(element) {
  new ResultsPage(element.querySelector(".ft-results"));
}

class ResultsPage {
  constructor(root) {
    this.root = root;
    /** @type {string | null} */
    this.run = null;
    /** @type {string | null} */
    this.name = null;
    this.pictures = new Pictures();
    this.suspects = new Suspects();
    this.isVisible = false;
    this.asked = new Set(); // runs that were evaluated by themselves: once each
    this.build();
    document.addEventListener("ft-results", ({ detail }) => {
      this.chosen = detail;
      this.refresh();
    });
    new IntersectionObserver(([entry]) => {
      this.isVisible = entry.isIntersecting;
      if (this.isVisible) this.refresh();
    }).observe(root);
    window.FTLive.onChange(() => this.isVisible && this.refresh());
  }

  build() {
    const field = (id, label, control, help = "") =>
      h(
        "p",
        { class: "ft-res-field" },
        h("label", { for: id }, label),
        control,
        help ? h("small", { class: "ft-quiet" }, help) : null,
      );
    const button = (label, click, more = "") =>
      h("button", { type: "button", class: `ft-res-button ${more}`, on: { click } }, label);
    this.runs = h("select", { id: "ft-res-run", on: { change: () => this.choose(this.runs.value) } });
    this.which = h("select", { id: "ft-res-which", on: { change: () => this.open(this.which.value) } });
    this.split = h("select", { id: "ft-res-split" });
    this.weights = h("select", { id: "ft-res-weights" });
    this.data = h("input", { id: "ft-res-data", type: "text", autocomplete: "off", spellcheck: false });
    this.start = button(WORDS.evaluate, () => this.evaluate(), "ft-res-primary");
    this.cancel = button(WORDS.cancel, () => this.leaveOff());
    this.status = h("p", { class: "ft-res-status", role: "status" });
    this.problem = h("p", { class: "ft-error", role: "alert" });
    this.choose_ = h(
      "details",
      { class: "ft-res-other" },
      h("summary", {}, WORDS.other),
      h(
        "div",
        { class: "ft-res-form" },
        field("ft-res-split", WORDS.split, this.split),
        field("ft-res-weights", WORDS.weights, this.weights),
        field("ft-res-data", WORDS.data, this.data, WORDS.dataHelp),
        this.start,
      ),
    );
    this.words = h("h2", { class: "ft-res-words" });
    this.body = h("div", { class: "ft-res-figures" });
    this.columns = h("div", { class: "ft-res-columns" }, this.body, this.pictures.element);
    this.root.append(
      h(
        "div",
        { class: "ft-res-bar-top" },
        field("ft-res-run", WORDS.run, this.runs),
        field("ft-res-which", WORDS.which, this.which),
        this.choose_,
      ),
      h("div", { class: "ft-res-line" }, this.status, this.cancel),
      this.problem,
      this.words,
      this.columns,
    );
    this.showNothing("");
  }

  /** Which runs there are, then how the one on view stands. */
  async refresh() {
    const runs = await ask(addressOf("api/runs")).then(
      ({ runs: all }) => all.filter((run) => run.has_weights),
      () => null,
    );
    if (!runs) return;
    const ids = runs.map((run) => run.id);
    const key = JSON.stringify(runs.map((run) => [run.id, run.title]));
    if (key !== this.listed) {
      this.listed = key;
      this.runs.replaceChildren(...runs.map((run) => h("option", { value: run.id }, run.title || run.id)));
    }
    const wanted = [this.chosen, window.FTLive.current(), ids[0]].find((id) => ids.includes(id));
    this.runs.value = wanted ?? "";
    this.runs.disabled = !wanted;
    toggle(this.choose_, Boolean(wanted));
    if (!wanted) {
      this.run = null;
      this.showNothing(WORDS.noRuns);
      return;
    }
    if (wanted !== this.run) {
      this.run = wanted;
      this.name = null;
      this.showNothing(WORDS.loading);
    }
    await this.look();
  }

  choose(id) {
    this.chosen = id;
    this.refresh();
  }

  get base() {
    return `api/runs/${encodeURIComponent(this.run ?? "")}/results`;
  }

  /** How the run's evaluations stand; asked again while one is under way or the run is at work. */
  async look() {
    clearTimeout(this.timer);
    const { run } = this;
    const about = await ask(addressOf(this.base)).catch(() => null);
    if (run !== this.run || !about) return;
    this.about = about;
    this.fill(about);
    const { job } = about;
    const isMine = job.run === run;
    const isBusy = isMine && job.status === "running";
    if (this.waits && isMine && !isBusy) this.ended(job);
    this.waits = isBusy;
    toggle(this.cancel, isBusy);
    this.start.disabled = isBusy;
    const latest = about.evaluations.find((one) => one.name === this.name) ?? this.first(about);
    if (latest && (latest.name !== this.name || latest.made !== this.made)) await this.open(latest.name);
    this.say(about, latest, isBusy ? say.progress(job) || WORDS.evaluating : "");
    this.evaluateByItself(about, job);
    if (this.isVisible && (isBusy || about.is_at_work)) this.timer = setTimeout(() => this.look(), BEAT_MS);
  }

  first({ evaluations }) {
    return evaluations.find((one) => one.name === "val-best") ?? evaluations[0];
  }

  ended(job) {
    if (job.status === "failed") setText(this.problem, [WORDS.failed, ...Object.values(job.errors)].join(" "));
    if (job.status === "done") {
      setText(this.problem, "");
      this.name = job.result?.results?.split("/").at(-1) ?? this.name;
      this.made = null;
    }
  }

  /** Once for each run that has ended and was not evaluated. */
  evaluateByItself({ evaluations, splits, weights, is_at_work: isAtWork }, job) {
    const current = evaluations.some((one) => one.name === "val-best" && one.is_current);
    if (current || isAtWork || job.status === "running" || !splits.val || !weights.includes("best")) return;
    if (this.asked.has(this.run)) return;
    this.asked.add(this.run);
    this.begin({ split: "val", weights: "best", data: "" });
  }

  say({ evaluations, is_at_work: isAtWork, splits }, latest, progress) {
    const words = progress
      ? progress
      : latest && !latest.is_current
        ? WORDS.old
        : isAtWork
          ? WORDS.atWork
          : evaluations.length
            ? ""
            : splits.val
              ? WORDS.notYet
              : WORDS.noVal;
    setText(this.status, words);
    if (!evaluations.length) this.showNothing(words);
  }

  fill({ evaluations, splits, weights }) {
    const key = JSON.stringify([evaluations, splits, weights]);
    if (key === this.filled) return;
    this.filled = key;
    this.which.replaceChildren(...evaluations.map((one) => h("option", { value: one.name }, say.evaluation(one))));
    this.which.disabled = evaluations.length === 0;
    const keep = (select, options) => {
      const before = select.value;
      select.replaceChildren(...options);
      if ([...select.options].some((option) => option.value === before)) select.value = before;
    };
    keep(
      this.split,
      Object.entries(splits).map(([name, n]) => h("option", { value: name }, say.split(name, n))),
    );
    keep(
      this.weights,
      weights.map((name) => h("option", { value: name }, weightsName(name))),
    );
  }

  evaluate() {
    this.begin({
      split: this.split.value || "val",
      weights: this.weights.value || "best",
      data: this.data.value.trim(),
    });
  }

  async begin(wanted) {
    setText(this.problem, "");
    try {
      const state = await post(addressOf(this.base), wanted);
      this.waits = true;
      if (state.status === "failed") this.ended(state);
    } catch (error) {
      setText(this.problem, error.code ? error.message : WORDS.noAnswer);
    }
    await this.look();
  }

  async leaveOff() {
    await post(addressOf(`${this.base}/cancel`)).catch(() => null);
    await this.look();
  }

  async open(name) {
    this.name = name;
    const { run } = this;
    let figures;
    try {
      figures = await ask(addressOf(`${this.base}/${name}`));
    } catch (error) {
      setText(this.problem, error.code ? error.message : WORDS.noAnswer);
      return;
    }
    if (run !== this.run || name !== this.name) return;
    this.which.value = name;
    this.made = figures.made;
    this.draw(figures);
  }

  /** Have the run answer with a temperature, or from thresholds on. */
  async answer(wanted) {
    try {
      this.about.answering = await post(addressOf(`api/runs/${encodeURIComponent(this.run ?? "")}/answering`), wanted);
      setText(this.status, WORDS.answering);
    } catch (error) {
      setText(this.problem, error.code ? error.message : WORDS.noAnswer);
    }
  }

  showNothing(words) {
    setText(this.words, "");
    setText(this.status, words);
    this.columns.hidden = true;
    toggle(this.cancel, false);
  }

  draw(figures) {
    this.columns.hidden = false;
    setText(this.words, figures.words);
    this.pictures.take(`${this.base}/${this.name}`, figures, VIEWS[figures.target]);
    const show = (title, query) => this.pictures.show(title, query, true);
    this.body.replaceChildren(
      headline(figures.headline),
      ...PARTS[figures.target](figures, show, this).filter(Boolean),
      pictureMap(`${this.base}/${this.name}`, figures, show),
    );
    if (figures.target === "class") this.body.append(this.suspects.take(this.run, figures.names));
  }
}

/** @type {any} Target to parts, of figures and of what shows pictures. */
const PARTS = {
  class: (figures, show, page) => [
    matrix(figures, (truth, said, n) =>
      show(say.cell(n, figures.names[truth], figures.names[said]), `of=cell&true=${truth}&said=${said}`),
    ),
    part(WORDS.classes, table(figures.classes, figures.columns, { caption: WORDS.classes })),
    reliability(figures.calibration, page.about.answering.temperature, (temperature) => page.answer({ temperature })),
  ],
  labels: (figures, show, page) => [
    thresholds(figures, show, page.about.answering.thresholds, (name, threshold) =>
      page.answer({ thresholds: { [name]: threshold } }),
    ),
    part(
      WORDS.labels,
      table(figures.classes, figures.columns, {
        caption: WORDS.labels,
        onRow: (row, at) => show(`${WORDS.missed}: ${row.name}`, `of=missed&label=${at}&at=0.5`),
      }),
    ),
  ],
  numbers: (figures, show) => [
    ...figures.numbers.map((row) => scatter(row, (index) => show(row.name, `of=these&indices=${index}`))),
    part(WORDS.numbers, table(figures.numbers, figures.columns, { caption: WORDS.numbers })),
  ],
  mask: (figures) => [part(WORDS.classes, table(figures.classes, figures.columns, { caption: WORDS.classes }))],
};
