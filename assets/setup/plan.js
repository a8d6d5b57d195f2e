// What Train would do: pictures as the network sees them, the planned rate, the network's stages, numbers in words.

import { Asker } from "../base/asker.js";
import { h, setText, svg, toggle } from "../base/dom.js";
import { mebibytes, rate } from "../base/format.js";
import { maskLegend } from "../charts/mask_legend.js";
import { preview } from "../charts/preview.js";
import { inLabels } from "../words/labels.js";
import { magnitude, say, WORDS } from "../words/setup.js";
import { current, events, extend, showChosen, showFound, showLine } from "./form.js";
import { MemoryCard, shown } from "./memory.js";
import { QuickRates, rateSpec } from "./rates.js";

const DELAY = 200; // ms of quiet before a question is asked
const CLASSES_SHOWN = 8;
const PICTURES = 12;
const LONG = 1500; // ms after which waiting is explained
const CALM = 1200; // ms without a change before steps are timed for an estimate

const bones = () => Array.from({ length: PICTURES }, () => h("figure", { class: "ft-bone" }));

export function mountPlan(element) {
  new PlanPanel(element.querySelector(".ft-plan"));
}

class PlanPanel {
  constructor(root) {
    this.root = root;
    this.plans = new Asker("api/plan", WORDS.noAnswer);
    this.previews = new Asker("api/preview", WORDS.noAnswer);
    this.timings = new Asker("api/plan", WORDS.noAnswer);
    this.draw = 0;
    this.quick = new QuickRates({
      asker: new Asker("api/rates", WORDS.noAnswer),
      show: (schedule) => this.showQuick(schedule),
      tell: (errors) => showFound({ ...this.misfit, ...errors }),
    });
    this.build();
    events.addEventListener("state", () => this.changed());
    events.addEventListener("typing", ({ detail }) => this.quick.typed(current()?.argv, detail));
    if (current()) this.changed();
  }

  build() {
    this.status = h("p", { class: "ft-plan-status", role: "status" });
    this.note = h("p", { class: "ft-plan-note" });
    this.dataLine = h("p", { class: "ft-plan-line" });
    this.classLine = h("p", { class: "ft-plan-line ft-quiet" });
    this.notices = h("ul", { class: "ft-plan-notices" });
    this.pictures = h("div", { class: "ft-pictures" }, ...bones());
    this.shuffle = h(
      "button",
      {
        type: "button",
        class: "ft-link",
        on: {
          click: () => {
            this.draw += 1;
            this.askPictures();
          },
        },
      },
      WORDS.reshuffle,
    );
    this.only = h("select", {
      class: "ft-only",
      "aria-label": WORDS.onlyClass,
      on: { change: () => this.askPictures() },
    });
    this.choice = h("div", { class: "ft-choice" }, this.shuffle, this.only);
    this.legend = h("p", { class: "ft-mask-legend" });
    toggle(this.choice, false);
    this.chart = h("div", { class: "ft-rate" });
    this.networkLine = h("p", { class: "ft-plan-line" });
    this.headLine = h("p", { class: "ft-plan-line ft-quiet" });
    this.stages = h("ol", { class: "ft-stages" });
    this.facts = h("dl", { class: "ft-facts" });
    /** @type {MemoryCard} */
    this.memory = new MemoryCard();
    const card = (name, title, ...children) =>
      h("section", { class: `ft-card ft-card-${name}` }, title ? h("h3", {}, title) : null, ...children);
    this.body = h(
      "div",
      { class: "ft-plan-body" },
      card(
        "pictures",
        WORDS.pictures,
        this.dataLine,
        this.classLine,
        this.notices,
        this.choice,
        this.pictures,
        this.legend,
      ),
      card("rate", null, this.chart, this.facts),
      this.memory.element,
      card("network", WORDS.network, this.networkLine, this.headLine, this.stages),
    );
    this.root.append(h("h2", { class: "ftl-sr" }, WORDS.views.plan), this.status, this.note, this.body);
  }

  changed() {
    clearTimeout(this.timer);
    clearTimeout(this.calm);
    const argv = current()?.argv;
    this.forget();
    if (!argv) return this.without();
    this.stale(WORDS.planning);
    clearTimeout(this.slow);
    if (!this.plan) this.slow = setTimeout(() => setText(this.status, WORDS.firstPlan), LONG);
    this.quick.ask(argv);
    this.timer = setTimeout(() => this.askPlan(argv), DELAY);
    return undefined;
  }

  /** Of other data, or another task, nothing of the last plan is true: counts, classes, pictures. */
  forget() {
    const { place, task } = /** @type {FormState} */ (current());
    const data = JSON.stringify([place, task]);
    if (data === this.data) return;
    this.data = data;
    extend("data", "");
    for (const line of [this.dataLine, this.classLine]) setText(line, "");
    this.notices.replaceChildren();
    this.legend.replaceChildren();
    this.pictureKey = null;
    this.pictures.replaceChildren(...bones());
    if (this.plan) showLine(WORDS.planning);
  }

  /** No plan can be had of these settings: that of other data is not left standing for it. */
  without() {
    this.stale("");
    toggle(this.body, this.planned === this.data);
  }

  stale(words) {
    setText(this.status, words);
    this.body.classList.toggle("ft-stale", true);
    this.chart.closest(".ft-card").classList.remove("ft-fresh");
  }

  async askPlan(argv) {
    const answer = await this.plans.ask({ argv });
    if (answer === null || !isCurrent(argv)) return; // of other settings, it may be of other data
    clearTimeout(this.slow);
    setText(this.status, "");
    shown.plan = answer.value ?? shown.plan;
    events.dispatchEvent(new CustomEvent("plan", { detail: { ...answer, place: current()?.place } }));
    if (answer.value === null) {
      const rest = showFound(answer.errors); // what a field says is not said again here
      setText(this.note, rest.length ? rest.join("\n") : WORDS.atField);
      showLine("");
      extend("data", "");
      this.without();
      return;
    }
    this.plan = answer.value;
    this.planned = this.data;
    toggle(this.body, true);
    this.quick.learn(argv, this.plan);
    setText(this.note, "");
    /** @type {Record<string, string>} */
    this.misfit = this.plan.memory?.fits === false ? { "train.batch_size": this.plan.memory.words } : {};
    showFound(this.misfit);
    this.show(this.plan);
    this.offerClasses(this.plan);
    clearTimeout(this.calm);
    if (this.plan.seconds_estimate === null) this.calm = setTimeout(() => this.time(argv), CALM);
    const key = JSON.stringify(pictureSettings(argv));
    if (key !== this.pictureKey) {
      this.pictureKey = key;
      this.askPictures();
    }
  }

  /** Where no speed of the network is known here: a few steps of it, while nothing trains and nobody types. */
  async time(argv) {
    if (window.FTLive.isActive()) return;
    showLine(say.timing(this.plan));
    const answer = await this.timings.ask({ argv, measure: true });
    if (!isCurrent(argv)) return;
    this.plan = answer?.value ?? this.plan;
    shown.plan = this.plan;
    this.show(this.plan);
  }

  /** Which classes pictures may be of; the one chosen stays while the data has it. */
  offerClasses({ classes, target }) {
    const names = target === "numbers" ? [] : classes;
    const key = JSON.stringify(names);
    if (key !== this.offered) {
      this.offered = key;
      const chosen = this.only.value;
      this.only.replaceChildren(
        h("option", { value: "" }, WORDS.anyClass),
        ...names.map((name) => h("option", { value: name }, name)),
      );
      this.only.value = names.includes(chosen) ? chosen : "";
    }
    toggle(this.only, names.length > 1);
  }

  async askPictures() {
    const argv = current()?.argv;
    if (!argv) return;
    this.pictures.classList.add("ft-stale");
    const answer = await this.previews.ask({ argv, draw: this.draw, only: this.only.value });
    if (answer === null || JSON.stringify(pictureSettings(argv)) !== this.pictureKey) return;
    this.pictures.classList.remove("ft-stale");
    const images = answer.value?.images ?? [];
    this.pictures.replaceChildren(
      ...images.map(({ url, label }) =>
        h("figure", { title: label }, h("img", { src: url, alt: label, loading: "lazy" }), h("figcaption", {}, label)),
      ),
    );
    toggle(this.choice, images.length > 0 || this.only.value !== "");
    this.legend.replaceChildren(...maskLegend(answer.value?.legend ?? []));
    if (!images.length)
      this.pictures.append(h("p", { class: "ft-quiet" }, Object.values(answer.errors).join(" ") || WORDS.noPictures));
  }

  show(plan) {
    this.body.classList.remove("ft-stale");
    showLine(say.length(plan));
    showChosen(plan.chosen ?? [], plan.devices ?? []);
    extend("data", say.counts(plan));
    setText(this.dataLine, say.data(plan));
    const isSaid = plan.classes.every((name) => plan.data.includes(name));
    setText(
      this.classLine,
      plan.classes.length && !isSaid ? say.classes(plan.classes, plan.classes.slice(0, CLASSES_SHOWN)) : "",
    );
    this.notices.replaceChildren(...plan.notices.map((text) => h("li", {}, inLabels(text))));
    this.showRate(plan);
    this.showNetwork(plan);
    this.memory.show(plan.memory);
    const facts = [
      ["Steps", say.batch(plan)],
      ["Time", say.time(plan)],
      ["Memory", plan.memory_mib_estimate ? mebibytes(plan.memory_mib_estimate) : null],
      ["Device", say.where(plan)],
      ["Image size", plan.image_size ? `${plan.image_size} px` : null],
    ];
    this.facts.replaceChildren(
      ...facts.filter(([, text]) => text).flatMap(([term, text]) => [h("dt", {}, term), h("dd", {}, text)]),
    );
  }

  showNetwork(plan) {
    setText(this.networkLine, say.network(plan));
    setText(this.headLine, plan.head ?? "");
    this.stages.replaceChildren(
      ...plan.stages.map((stage) => {
        const isFrozen = stage.lr === null;
        const waits = isFrozen ? 0 : (stage.frozen_epochs ?? 0);
        const words = isFrozen ? WORDS.frozen : waits ? say.after(rate(stage.lr), waits) : rate(stage.lr);
        return h(
          "li",
          { class: isFrozen ? "ft-frozen" : "" },
          h("span", { class: "ft-stage-name" }, stage.name),
          h("span", { class: "ft-quiet" }, magnitude(stage.parameters)),
          h(
            "span",
            { class: "ft-stage-rate", title: isFrozen ? WORDS.frozen : `${WORDS.trains} ${words}` },
            isFrozen || waits ? snowflake() : null,
            words,
          ),
        );
      }),
    );
  }

  showRate(plan) {
    this.showSchedule(plan.schedule);
  }

  showSchedule(schedule) {
    const spec = rateSpec(schedule, WORDS.rate);
    if (this.rate) this.rate.update(spec);
    else this.rate = preview(this.chart, spec);
  }

  /** The rates alone, while the rest of the plan is still to come. */
  showQuick(schedule) {
    showFound(this.misfit ?? {});
    this.showSchedule(schedule);
    this.chart.closest(".ft-card").classList.add("ft-fresh");
  }
}

/**
 * Whether the form still says this.
 *
 * @param {string[]} argv
 */
function isCurrent(argv) {
  return JSON.stringify(argv) === JSON.stringify(current()?.argv);
}

/** The settings that decide how the pictures look: others change without new pictures. */
function pictureSettings(argv) {
  return argv.filter((item, i) => i === 0 || /^(task|data|augment|seed|model\.(name|weights))\b/.test(item));
}

function snowflake() {
  const arms = [0, 60, 120].map((angle) =>
    svg("path", { d: "M8 1.5v13M6 3.2 8 5l2-1.8M6 12.8 8 11l2 1.8", transform: `rotate(${angle} 8 8)` }),
  );
  return svg("svg", { viewBox: "0 0 16 16", class: "ft-snowflake", "aria-hidden": "true" }, ...arms);
}
