// The check of the data: a button, progress, what was found with pictures, and settings that mend it.

import { h, setText, statusShape, toggle } from "../base/dom.js";
import { capital, count, number } from "../base/format.js";
import { images, say, WORDS } from "../words/data.js";
import { current, events, set } from "./form.js";
import { JobPart } from "./job.js";

const FEW_IMAGES = 1000; // so many are checked unasked
const CLASSES_SHOWN = 40;
const OWN = /^(builtin:|torchvision:)/;
const SHAPES = { error: "failed", warning: "lost", note: "queued" };

export function mountCheck(element) {
  new CheckPart(element.querySelector(".ft-check"));
}

const keyOf = (argv) => JSON.stringify(argv ?? null);

class CheckPart extends JobPart {
  constructor(root) {
    const result = h("div", { class: "ft-check-result" });
    super(root, { kind: "check", words: WORDS, label: WORDS.check, below: [result] });
    this.result = result;
    events.addEventListener("state", () => this.changed());
    events.addEventListener("plan", ({ detail }) => this.planned(detail));
    this.mount();
  }

  begin() {
    const { argv, check } = /** @type {FormState} */ (current());
    if (!argv) return;
    this.tried = keyOf(check);
    this.job.start({ argv });
  }

  /** A remedy sets fields; what is left is looked for at once. */
  changed() {
    if (this.isMending && current()?.argv) {
      this.isMending = false;
      this.begin();
    }
    this.show();
  }

  /** Little data, and data that was refused, is checked unasked: the check says what would help. */
  planned({ value, errors, place }) {
    this.needsDownload = !value && /^torchvision:/.test(place) && "data.path" in errors;
    const isSmall = value && value.train_images + value.val_images <= FEW_IMAGES;
    const isRefused = !value && "data.path" in errors;
    this.said = errors["data.path"];
    const key = keyOf(current()?.check);
    if (!OWN.test(place) && (isSmall || isRefused) && key !== this.tried && key !== keyOf(this.state.argv))
      this.begin();
    else this.show();
  }

  // ------------------------------------------------------------------ showing
  taken(state, before) {
    this.show();
    const isNews = before.status === "running" && state.status === "done";
    if (isNews && this.needsDownload && state.result.can_train) events.dispatchEvent(new Event("state")); // it is here now: plan again
  }

  show() {
    const { status, says, done, total, result: report, argv } = this.state;
    const isOld = keyOf(argv) !== keyOf(current()?.check);
    this.showJob({
      running: says ? say.progress(says, done, total) : WORDS.preparing,
      done: isOld ? WORDS.changed : report && !this.isSaid(report) ? say.result(report) : "",
    });
    this.start.disabled = !current()?.argv;
    setText(
      this.start,
      this.needsDownload ? WORDS.download : status === "done" && !isOld ? WORDS.checkAgain : WORDS.check,
    );
    const isSamePlace = argv?.[1] === current()?.place;
    toggle(this.result, status === "done" && isSamePlace && !this.isSaid(report));
    this.result.classList.toggle("ft-stale", isOld);
    if (status === "done" && this.shown !== this.state) {
      this.shown = this.state;
      this.result.replaceChildren(...this.draw(report, this.state.number));
    }
  }

  /** Whether all that was found stands at the field already. */
  isSaid({ findings }) {
    const isAtField = ({ text, examples, remedies }) => text === this.said && !examples.length && !remedies.length;
    return findings.length > 0 && findings.every(isAtField);
  }

  draw(report, number_) {
    return [
      h("ul", { class: "ft-findings" }, ...report.findings.map((finding) => this.finding(finding, number_))),
      ...balance(report),
      ...numbers(report),
      ...sizes(report),
    ];
  }

  finding({ level, text, examples, remedies }, number_) {
    const pictures = examples.flatMap(({ text: what, thumbnails = [] }) =>
      thumbnails.map((name) => thumbnail(what, name, number_)),
    );
    const isShown = examples.some(({ thumbnails = [] }) => thumbnails.length);
    return h(
      "li",
      { class: "ft-finding", "data-level": level },
      h("p", {}, statusShape(SHAPES[level]), h("strong", {}, `${WORDS.levels[level]}: `), text),
      isShown ? h("div", { class: "ft-thumbnails" }, ...pictures) : null,
      examples.length
        ? h("ul", { class: "ft-examples" }, ...examples.map(({ text: what }) => h("li", {}, what)))
        : null,
      remedies.length ? h("div", { class: "ft-remedies" }, ...remedies.map((remedy) => this.remedy(remedy))) : null,
    );
  }

  remedy({ label, settings }) {
    const written = Object.entries(settings)
      .map(([path, value]) => `${path}=${JSON.stringify(value).replaceAll('"', "")}`)
      .join(" ");
    const mend = () => {
      this.isMending = true;
      set(settings);
    };
    return h("button", { type: "button", class: "ft-find", title: written, on: { click: mend } }, capital(label));
  }
}

function thumbnail(text, name, number_) {
  if (!name) return h("span", { class: "ft-no-thumbnail", title: text }, WORDS.noThumbnail);
  return h("img", { src: `api/jobs/check/${number_}/${name}`, alt: text, title: text, loading: "lazy" });
}

/** Bars: images of each class by split, or the share of the pixels. */
function balance({ task, classes }) {
  if (!classes.length) return [];
  const splits = Object.keys(classes[0]).filter((key) => key !== "name");
  const isPixels = splits.includes("pixels of train");
  const totals = classes.map((row) => splits.reduce((sum, split) => sum + (row[split] ?? 0), 0));
  const [most, all] = [
    Math.max(...totals, 1),
    Math.max(
      totals.reduce((a, b) => a + b, 0),
      1,
    ),
  ];
  const rows = classes.slice(0, CLASSES_SHOWN).map((row, i) =>
    h(
      "li",
      {},
      h("span", { class: "ft-bar-name", title: row.name }, row.name),
      h(
        "span",
        { class: "ft-bar-track", "aria-hidden": "true" },
        ...splits.map((split) =>
          h("i", {
            class: `ft-split-${isPixels ? "train" : split}`,
            style: `width:${(100 * (row[split] ?? 0)) / most}%`,
          }),
        ),
      ),
      h(
        "span",
        { class: "ft-bar-value", title: splits.map((split) => `${split} ${count(row[split] ?? 0)}`).join(", ") },
        isPixels ? say.share(totals[i] / all) : splits.map((split) => count(row[split] ?? 0)).join("\u200a/\u200a"),
      ),
    ),
  );
  const rest = classes.length - rows.length;
  return [
    h("h4", {}, WORDS.balance[task] ?? "", isPixels ? null : legend(splits)),
    h(
      "ol",
      { class: "ft-bars ft-balance" },
      ...rows,
      rest > 0 ? h("li", { class: "ft-quiet" }, `+ ${count(rest)}`) : null,
    ),
  ];
}

const legend = (splits) =>
  h(
    "span",
    { class: "ft-legend" },
    ...splits.flatMap((split) => [h("i", { class: `ft-split-${split}` }), WORDS.splits[split] ?? split]),
  );

function numbers({ numbers: rows }) {
  if (!rows.length) return [];
  const cells = (row) => [
    h("th", { scope: "row" }, row.name),
    ...["min", "mean", "max", "sd"].map((key) => h("td", {}, number(row[key], 4))),
  ];
  return [
    h("h4", {}, WORDS.numbers),
    h(
      "table",
      { class: "ft-numbers" },
      h("thead", {}, h("tr", {}, ...WORDS.columns.map((word) => h(word ? "th" : "td", {}, word)))),
      h("tbody", {}, ...rows.map((row) => h("tr", {}, ...cells(row)))),
    ),
  ];
}

function sizes(report) {
  if (!images(report) || !report.sizes.width) return [];
  const { sizes: found, formats } = report;
  const isOne = found.common.length === 1;
  return [
    h("h4", {}, WORDS.sizes),
    h(
      "p",
      { class: "ft-quiet" },
      [say.size(found), isOne ? "" : say.common(found.common), say.formats(formats)].filter(Boolean).join(" "),
    ),
  ];
}
