// The live panel's own words, in one place so that a second language can follow.

import { ago, capital, count, duration, number } from "../base/format.js";

/** @type {Record<string, string>} */
export const STATUS = {
  queued: "Queued",
  running: "Running",
  paused: "Paused",
  stopping: "Stopping",
  completed: "Completed",
  stopped: "Stopped",
  failed: "Failed",
  lost: "Lost",
};
/** @type {Set<string | undefined>} */
export const ACTIVE = new Set(["queued", "running", "stopping"]);

export const TEXT = {
  loading: "Loading the run",
  emptyTitle: "No run yet",
  emptyText: "Press Train, and the curves appear here. They stay: after a reload, in a second tab, after a restart.",
  noSuchRun: "This run is not there any more",
  noSuchRunText: "Its folder was moved or deleted. Choose another run above.",
  runs: "Run",
  newer: "A newer run is under way.",
  showNewer: "Show it",
  waitingForPoints: "Waiting for the first step",
  noPoints: "Nothing recorded",
  afterEpoch: "After the first epoch",
  epoch: "Epoch",
  step: "Step",
  speed: "Speed",
  left: "Time left",
  took: "Time",
  best: "Best",
  learning: "Learning rate",
  ofNumber: "of", // mean absolute error of age
  stop: "Stop and keep",
  stopping: "Stopping\u2026",
  cancel: "Cancel",
  cancelHint: "Takes the run out of the queue; it can be started again",
  stopHint: "Ends within a step; the best and the last weights are kept",
  pause: "Pause",
  pauseHint: "Frees the device; Resume goes on from the same step",
  resume: "Resume",
  resumeHint: "Goes on from the last checkpoint",
  weights: "Download weights",
  weightsHint: "The best weights so far, as safetensors with class names and preprocessing inside",
  smoothing: "Smoothing",
  smoothingOff: "off",
  axis: "Horizontal axis",
  axes: { step: "Step", epoch: "Epoch", time: "Time" },
  axisUnits: { step: "step", epoch: "epoch", time: "time" },
  clip: "Hide outliers",
  clipHint: "Scales the axes to the bulk of the points; how many lie beyond is shown",
  log: "log",
  logHint: "Logarithmic vertical axis",
  reset: "Reset zoom",
  resetShort: "Reset",
  csv: "CSV",
  csvHint: "Download the points of this chart",
  png: "PNG",
  pngHint: "Download this chart as a picture",
  charts: "Charts",
  more: "More charts",
  events: "Events",
  time: "Where the time goes",
  table: "Table",
  tableHint: "The points of this chart as a table",
  noEvents: "Nothing to report so far.",
  noRows: "A row appears after each epoch.",
  details: "Details",
  failed: "The run failed",
  lost: "The run was lost",
  disconnected: "Connection lost.",
  disconnectedText: "The run goes on without this page.",
  retry: "Try now",
  next: "What next",
  raw: "raw",
  planned: "planned",
  forecast: "forecast",
  validation: "validation",
  trainLoss: "Training loss",
  chartHelp: "Arrow keys read values, plus and minus zoom, 0 resets",
  plotlyMissing:
    "The chart library could not be loaded, so the curves are not drawn. Reload the page; the table below has the numbers.",
};

export const CHART_TITLES = {
  loss: "Loss",
  metric: "Validation",
  lr: "Learning rate",
  memory: "Memory",
  speed: "Images per second",
  grad_norm: "Gradient norm",
};

/**
 * Key without its split -> {label, kind, bounds, is_per_image, ...}: told by the app when the panel is mounted
 * (fine_tuner/config/metric_specs.py), then by each run that is shown.
 *
 * @type {Map<string, MetricSpec>}
 */
const METRICS = new Map();

/**
 * How a metric key (`val/accuracy`) is read: label, kind of number, bounds; unknown keys are shown as they are.
 *
 * @param {string} key
 * @returns {MetricSpec}
 */
export function metricOf(key) {
  if (key.startsWith("train/lr")) {
    return { label: key.slice("train/lr/".length) || TEXT.learning.toLowerCase(), kind: "rate", bounds: [0, null] };
  }
  const name = key.slice(key.indexOf("/") + 1);
  const [known, ...column] = name.split("/");
  const whole = METRICS.get(known);
  if (whole && column.length) return { ...whole, label: `${whole.label} ${TEXT.ofNumber} ${column.join("/")}` };
  return METRICS.get(name) ?? { label: name.replaceAll("_", " "), kind: "number", bounds: [null, null] };
}

/** Learn of metrics: key -> how it is read; what is known stays. */
export function learnMetrics(told = {}) {
  for (const [key, spec] of Object.entries(told)) {
    const name = key.slice(key.indexOf("/") + 1);
    if (!METRICS.has(name)) METRICS.set(name, spec);
  }
}

/**
 * A heading for a metric: `Accuracy`.
 *
 * @param {string} key
 */
export const metricTitle = (key) => capital(metricOf(key).label);

/**
 * How long ago a run ended; where nothing tells, when it was made.
 *
 * @param {{ ended?: number | null, created: number }} run
 */
export const endedOf = ({ ended, created }) => ago(Date.now() / 1000 - (ended ?? created));

/** Sentences with numbers in them. */
export const say = {
  /** @param {number} steps */
  smoothing: (steps) =>
    steps > 0 ? `over ${count(Math.max(1, steps))} ${Math.round(steps) > 1 ? "steps" : "step"}` : TEXT.smoothingOff,
  /** @param {number} seconds */
  stale: (seconds) => `The data is ${duration(seconds)} old: no word from the run since.`,
  /** @param {number} seconds */
  retrying: (seconds) => `Trying again in ${duration(Math.max(1, seconds))}.`,
  /** @param {number} seconds */
  dataAge: (seconds) => `The data is ${duration(seconds)} old.`,
  /** @param {number} images */
  interval: (images) => `1 image = ${number(100 / images, 2)} points \u00b7 95\u00a0% band for ${count(images)} images`,
  /** @param {number} percent */
  readingLog: (percent) => `Reading the log, ${percent} %`,
  /** @param {number} before */
  inQueue: (before) => (before ? `, ${count(before)} before it` : ", next"),
  /** @param {string} title */
  tableOf: (title) => `${title}, as a table`,
  /**
   * @param {number} shown
   * @param {number} all
   */
  newestRows: (shown, all) => `The newest ${count(shown)} of ${count(all)} rows; the CSV has all.`,
  /** @param {string} text */
  ghost: (text) => `Not done, only marked: ${text}`,
  /** @param {number} n */
  hiddenAbove: (n) => `${count(n)} ${n === 1 ? "point" : "points"} above`,
  /** @param {number} n */
  hiddenBelow: (n) => `${count(n)} ${n === 1 ? "point" : "points"} below`,
  /**
   * @param {string} text
   * @param {number} epoch
   */
  bestNote: (text, epoch) => `best ${text}, epoch ${count(epoch)}`,
  /** @param {number} epoch */
  inEpoch: (epoch) => `epoch ${count(epoch)}`,
  /**
   * @param {number} done
   * @param {number} total
   */
  of: (done, total) => (total > 0 ? `${count(done)}\u200a/\u200a${count(total)}` : count(done)),
  /** @param {string} text */
  atLeast: (text) => `> ${text}`,
  /**
   * @param {RunRow} run
   * @param {string} words
   */
  option: (run, words) => `${run.title} \u00b7 ${words}`,
  /** @param {RunRow} run */
  running: (run) => (run.epochs ? `running ${run.epoch}/${run.epochs}` : "running"),
  /**
   * @param {string} title
   * @param {string} rest
   */
  chart: (title, rest) => `Chart: ${title}. ${rest ? `${rest}. ` : ""}${TEXT.chartHelp}.`,
  /**
   * @param {string} position
   * @param {string[]} values
   */
  reading: (position, values) => `${position}: ${values.join(", ")}`,
  /**
   * @param {string} what
   * @param {string} why
   */
  actionFailed: (what, why) => `${what} did not work: ${why}`,
};
