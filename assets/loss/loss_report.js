// The report of a check of the user's own loss. Everything in it is text: the user's lines are never markup.

import { h, statusShape } from "../base/dom.js";
import { number } from "../base/format.js";
import { sayLoss, LOSS_WORDS as WORDS } from "../words/loss.js";
import { drawAnswers, drawInputs } from "./loss_given.js";

/**
 * Elements that show a report.
 * @param {LossReport} report
 * @param {(inputs: string) => void} use Checks again with the code given another form.
 */
export function drawReport(report, use) {
  const verdict = h(
    "p",
    { class: "ft-loss-verdict", "data-ok": String(report.ok) },
    statusShape(report.ok ? "completed" : "failed"),
    h("strong", {}, report.ok ? WORDS.passed : WORDS.failedCheck),
    ` ${sayLoss.verdict(report)}`,
  );
  const facts = [
    report.batch ? sayLoss.batch(report.batch) : null,
    report.parameters ? sayLoss.reach(report.parameters) : null,
    report.cost ? sayLoss.cost(report.cost) : null,
  ]
    .filter(Boolean)
    .map((words) => h("p", { class: "ft-quiet" }, words));
  return [
    verdict,
    drawInputs(report.inputs, use),
    findings(report.findings),
    drawAnswers(report.answers),
    values(report.values),
    ...facts,
    printed(report.printed),
  ].filter(Boolean);
}

/** @param {LossFinding[]} list */
function findings(list) {
  if (!list.length) return null;
  /** @param {number} line */
  const place = (line) =>
    h("button", { type: "button", class: "ft-link", on: { click: () => showLine(line) } }, sayLoss.line(line));
  return h(
    "ul",
    { class: "ft-loss-findings", "aria-label": WORDS.findings },
    ...list.map((finding) =>
      h(
        "li",
        { "data-level": finding.level },
        h("strong", {}, /** @type {Record<string, string>} */ (WORDS.levels)[finding.level] ?? finding.level),
        finding.line ? place(finding.line) : null,
        h("span", {}, `${finding.what}. ${finding.remedy}`),
        finding.source ? h("code", {}, finding.source) : null,
      ),
    ),
  );
}

/**
 * Value and gradient for each precision.
 * @param {LossReport["values"]} found
 */
function values(found) {
  const rows = Object.entries(found ?? {});
  if (!rows.length) return null;
  /** @param {number | string | undefined} value */
  const cell = (value) => (typeof value === "number" ? number(value) : (value ?? WORDS.none));
  return h(
    "table",
    { class: "ft-loss-values" },
    h(
      "thead",
      {},
      h("tr", {}, ...[WORDS.precision, WORDS.value, WORDS.gradient].map((words) => h("th", { scope: "col" }, words))),
    ),
    h(
      "tbody",
      {},
      ...rows.map(([name, row]) =>
        h(
          "tr",
          {},
          h("th", { scope: "row" }, name),
          h("td", {}, row.error ?? cell(row.value)),
          h("td", {}, cell(row.gradient_norm)),
        ),
      ),
    ),
  );
}

/** @param {string | undefined} text */
function printed(text) {
  if (!text?.trim()) return null;
  return h("details", {}, h("summary", {}, WORDS.printed), h("pre", {}, text));
}

/**
 * Bring a line of the editor into view and mark it for a moment.
 * @param {number} line
 */
function showLine(line) {
  const row = document.querySelectorAll("#ft-loss-editor .cm-line")[line - 1];
  row?.scrollIntoView({ block: "center" });
  row?.classList.add("ft-loss-line");
  setTimeout(() => row?.classList.remove("ft-loss-line"), 2500);
}
