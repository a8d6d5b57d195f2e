// Which charts a run has, and which lines each draws. One colour and one dash per meaning, everywhere.

import { value as show } from "../base/format.js";
import { groupColors, mix } from "../base/palette.js";
import { CHART_TITLES, metricOf, metricTitle, say, TEXT } from "../words/live.js";

const DASH = { validation: "6px,4px", planned: "2px,3px", forecast: "8px,3px,2px,3px" };
const SAMPLE = { validation: "5 3", planned: "2 2.5", forecast: "7 2 2 2" }; // the same in the legend's short line
const SECOND = [
  { dash: DASH.validation, sample: SAMPLE.validation, symbol: "circle" },
  { dash: "2px,3px", sample: "2 2.5", symbol: "diamond" },
  { dash: "9px,3px,2px,3px", sample: "8 2 2 2", symbol: "square" },
];
const MOST_GROUPS = 4;

/** @param {string} text */
const slug = (text) => text.replace(/[^\w.-]+/g, "_");

/**
 * A curve per step: faint as recorded, bold when smoothed.
 *
 * @param {ChartBoard} board
 * @param {{ id: string, key: string, color: string, label: string, kind?: string }} line
 */
function perStep(board, { id, key, color, label, kind = metricOf(key).kind }) {
  const isSmooth = board.settings.values.smooth > 0;
  const raw = {
    id: `${id}.raw`,
    legend: id,
    key,
    color,
    width: isSmooth ? 1 : 1.5,
    opacity: isSmooth ? 0.38 : 1,
    hasBand: true,
    fill: 0.22,
    isReading: !isSmooth,
    isClipped: true,
    kind,
  };
  const smooth = { id, legend: id, key, color, smooth: true, width: 2, isReading: true, kind };
  return { entry: { id, label, color }, lines: isSmooth ? [raw, smooth] : [raw] };
}

/** @param {ChartBoard} board */
function lossContent(board) {
  const { palette, curves } = board;
  const train = perStep(board, { id: "loss.train", key: "train/loss", color: palette.train, label: "train" });
  const validation = {
    id: "loss.val",
    legend: "loss.val",
    key: "val/loss",
    color: palette.validation,
    dash: DASH.validation,
    marker: true,
    width: 1.75,
    isReading: true,
  };
  const entry = {
    id: "loss.val",
    label: TEXT.validation,
    color: palette.validation,
    dash: SAMPLE.validation,
    marker: true,
  };
  return {
    title: CHART_TITLES.loss,
    bounds: [0, null],
    waiting: TEXT.waitingForPoints,
    lines: [...train.lines, validation],
    entries: curves.get("val/loss") || board.validates ? [train.entry, entry] : [train.entry],
    summary: () =>
      summaryOf(board, [
        ["train/loss", "train"],
        ["val/loss", TEXT.validation],
      ]),
  };
}

/**
 * Keys of validation metrics that share an axis with the main one, the main one first.
 *
 * @param {ChartBoard} board
 */
export function metricKeys(board) {
  const keys = board.curves.keys("val/").filter((key) => key !== "val/loss");
  const wanted = board.state.best?.[0] ?? board.facts.best_metric ?? "";
  const main = keys.includes(wanted) ? wanted : keys[0];
  if (!main) return wanted && wanted !== "val/loss" ? [wanted] : [];
  /** @param {string} key */
  const alike = (key) =>
    metricOf(key).kind === metricOf(main).kind && String(metricOf(key).bounds) === String(metricOf(main).bounds);
  return [main, ...keys.filter((key) => key !== main && alike(key))].slice(0, SECOND.length);
}

/** @param {ChartBoard} board */
function metricContent(board) {
  const { palette, facts, state } = board;
  const keys = metricKeys(board);
  const [main] = keys;
  const { kind, bounds } = main ? metricOf(main) : { kind: "number", bounds: [0, 1] };
  const rows = keys.map((key, i) => {
    const id = `metric.${slug(key.slice(4))}`;
    const color = i ? mix(palette.validation, palette.subdued, 0.3 + 0.25 * i) : palette.validation;
    const look = SECOND[i];
    const interval = metricOf(key).is_per_image && i === 0 ? facts.val_images : undefined;
    return {
      entry: { id, label: metricOf(key).label, color, dash: look.sample, marker: true },
      line: {
        id,
        legend: id,
        key,
        color,
        dash: look.dash,
        symbol: look.symbol,
        marker: true,
        width: i ? 1.25 : 1.75,
        interval,
        fill: 0.12,
        isReading: true,
        kind,
      },
    };
  });
  return {
    title: main ? metricTitle(main) : CHART_TITLES.metric,
    kind,
    bounds,
    waiting: TEXT.afterEpoch,
    lines: rows.map((row) => row.line).reverse(),
    entries: rows.map((row) => row.entry),
    note: () => (main && metricOf(main).is_per_image && facts.val_images ? say.interval(facts.val_images) : ""),
    best: () => bestPoint(board, main, palette.validation),
    summary: () => (state.best ? say.bestNote(show(kind, state.best[1]), state.best[2]) : ""),
  };
}

/**
 * @param {ChartBoard} board
 * @param {string} key
 * @param {string} color
 */
function bestPoint(board, key, color) {
  const { state, curves, settings } = board;
  const { best } = state;
  const curve = curves.get(key);
  if (!curve || best?.[0] !== key || settings.values.hide.includes(`metric.${slug(key.slice(4))}`)) return null;
  const i = curve.x.findIndex((step) => Math.ceil(step / Math.max(1, curves.perEpoch)) === best[2]);
  return i < 0 || curve.y[i] === null
    ? null
    : { x: curves.place(settings.values.axis, curve.x[i], curve.t[i]), y: curve.y[i], color };
}

/** @param {ChartBoard} board */
function rateContent(board) {
  const { palette, curves, facts } = board;
  /** @type {[name: string, key: string][]} */
  const recorded = curves.keys("train/lr").map((key) => [key.slice("train/lr/".length) || "all", key]);
  const planned = Object.entries(facts.schedule?.groups ?? {});
  const names = [...new Set([...planned.map(([name]) => name), ...recorded.map(([name]) => name)])];
  if (names.at(-1) === "head") names.reverse();
  const colors = groupColors(names, palette);
  const many = names.length > MOST_GROUPS;
  const ends = new Set([names[0], names.at(-1)]);
  /** @param {string} name */
  const legendOf = (name) => (many && !ends.has(name) ? "lr.between" : `lr.${slug(name)}`);
  recorded.sort(([a], [b]) => names.indexOf(b) - names.indexOf(a)); // the head is drawn last, so that it lies on top
  const applied = recorded.map(([name, key]) => ({
    id: `lr.${slug(name)}.applied`,
    legend: legendOf(name),
    key,
    color: colors[name],
    width: many ? 1.25 : 2,
    isReading: !many || ends.has(name),
  }));
  /** @type {LegendEntry[]} */
  const entries = names
    .filter((name) => !many || ends.has(name))
    .map((name) => ({ id: legendOf(name), label: name, color: colors[name] }));
  if (many)
    entries.splice(1, 0, {
      id: "lr.between",
      label: `${names.length - 2} between`,
      hasValue: false,
      color: colors[names[names.length >> 1]],
    });
  const plans = planned.map(([name, rates]) => plan(board, name, rates, facts.schedule?.lowest?.[name], colors[name]));
  if (plans.length)
    entries.push({ id: "lr.plan", label: TEXT.planned, color: palette.subdued, dash: SAMPLE.planned, hasValue: false });
  return {
    title: CHART_TITLES.lr,
    bounds: [0, null],
    lines: [...plans, ...applied],
    entries,
    waiting: TEXT.waitingForPoints,
  };
}

/**
 * The planned rate of a group, down to `lowest` where a metric decides. On a time axis its future moves with the pace,
 * so it is drawn anew each time.
 *
 * @param {ChartBoard} board
 * @param {string} name
 * @param {number[]} rates
 * @param {number[] | undefined} lowest
 * @param {string} color
 */
function plan(board, name, rates, lowest, color) {
  const { axis } = board.settings.values;
  const steps = board.facts.schedule?.steps ?? [];
  return {
    id: `lr.${slug(name)}.plan`,
    legend: "lr.plan",
    color,
    dash: DASH.planned,
    width: 1.25,
    opacity: 0.85,
    x: steps.map((step) => board.curves.placeOfStep(axis, step)),
    y: rates,
    isRebuilt: axis === "time",
    ...(lowest ? { lo: lowest, hi: rates, fill: 0.1 } : {}),
  };
}

/** @type {Record<string, keyof Palette>} */
const MEMORY_COLORS = {
  "memory/process_mib": "process",
  "memory/allocated_mib": "allocated",
  "memory/reserved_mib": "reserved",
  "memory/device_mib": "device",
};

/** @param {ChartBoard} board */
function memoryContent(board) {
  const { palette, curves, facts } = board;
  const keys = curves.keys("memory/");
  /** @type {LineSpec[]} */
  const lines = keys.map((key) => ({
    id: `memory.${slug(key)}`,
    legend: `memory.${slug(key)}`,
    key,
    color: palette[MEMORY_COLORS[key] ?? "norm"],
    hasBand: true,
    fill: 0.2,
    width: 1.75,
    isReading: true,
  }));
  /** @type {LegendEntry[]} */
  const entries = keys.map((key, i) => ({ id: lines[i].legend, label: metricOf(key).label, color: lines[i].color }));
  const forecast = facts.memory_forecast_mib;
  if (typeof forecast === "number") {
    lines.unshift({
      id: "memory.forecast",
      legend: "memory.forecast",
      color: palette.subdued,
      dash: DASH.forecast,
      width: 1.5,
      isReading: true,
      hasDot: false,
      x: [-1, 1e9],
      y: [forecast, forecast],
    });
    entries.push({ id: "memory.forecast", label: TEXT.forecast, color: palette.subdued, dash: SAMPLE.forecast });
  }
  return { title: CHART_TITLES.memory, bounds: [0, null], lines, entries, waiting: TEXT.waitingForPoints };
}

/**
 * A chart of one curve.
 *
 * @param {string} key
 * @param {string} id
 * @param {keyof Palette} colorName
 */
function single(key, id, colorName) {
  const { kind, bounds, label } = metricOf(key);
  const title = id in CHART_TITLES ? CHART_TITLES[/** @type {keyof typeof CHART_TITLES} */ (id)] : metricTitle(key);
  return {
    id,
    title,
    kind,
    canLog: true,
    key,
    /** @param {ChartBoard} board */
    content: (board) => {
      const made = perStep(board, { id: `${id}.line`, key, color: board.palette[colorName], label });
      return { title, bounds, lines: made.lines, entries: [made.entry], waiting: TEXT.waitingForPoints };
    },
  };
}

/**
 * @param {ChartBoard} board
 * @param {[key: string, label: string][]} named
 */
function summaryOf(board, named) {
  return named
    .flatMap(([key, label]) => {
      const y = board.curves.get(key)?.y.at(-1);
      return y === undefined || y === null ? [] : `${label} ${show("number", y)}`;
    })
    .join(", ");
}

export const MAIN = [
  { id: "loss", title: CHART_TITLES.loss, kind: "number", canLog: true, content: lossContent },
  { id: "metric", title: CHART_TITLES.metric, kind: "number", canLog: true, content: metricContent },
  { id: "lr", title: CHART_TITLES.lr, kind: "rate", canLog: true, content: rateContent },
  { id: "memory", title: CHART_TITLES.memory, kind: "memory", canLog: true, content: memoryContent },
];

/**
 * The charts under More: speed, gradient norm, and every curve that no other chart shows.
 *
 * @param {ChartBoard} board
 */
export function moreSpecs(board) {
  const shown = new Set(["train/loss", "val/loss", "train/images_per_second", "train/grad_norm", ...metricKeys(board)]);
  const rest = board.curves.keys("").filter((key) => !shown.has(key) && !/^(train\/lr|memory\/)/.test(key));
  return [
    single("train/images_per_second", "speed", "speed"),
    single("train/grad_norm", "grad_norm", "norm"),
    ...rest.map((key) => single(key, slug(key), key.startsWith("val/") ? "validation" : "train")),
  ];
}
