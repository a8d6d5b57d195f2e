// Words of the results: what a run gets right and wrong, in one place so that a second language can follow.

import { count, number, percent, plural } from "../base/format.js";

export const WORDS = {
  run: "Run",
  which: "Images and weights",
  other: "Evaluate other images or weights",
  split: "Images",
  weights: "Weights",
  data: "Another folder or table",
  dataHelp: "Its classes must be among the run's. Empty: the run's own images.",
  evaluate: "Evaluate",
  again: "Evaluate again",
  cancel: "Cancel",
  old: "The run has been trained further since; these are the results of earlier weights.",
  noRuns: "No run has weights yet. Train one: what it gets right and wrong is shown here by itself.",
  atWork: "The run is at work. It is evaluated by itself when it is complete; the best weights so far can be now.",
  noVal: "This run has no validation images. Evaluate its test images, or a folder of others.",
  notYet: "This run has not been evaluated yet.",
  evaluating: "Evaluating\u2026",
  cancelled: "The evaluation was cancelled.",
  failed: "It could not be evaluated.",
  noAnswer: "The app did not answer. Is it still running?",
  splits: { val: "validation", test: "test", train: "training" },
  classes: "Classes",
  labels: "Labels",
  label: "Label",
  numbers: "Numbers",
  confusion: "Confusion matrix",
  confusionHelp: "Rows are what is true, columns what was said. Choose a cell to see its pictures.",
  counts: "Counts",
  shares: "Shares of a row",
  pairs: "Most often confused",
  noPairs: "Nothing is taken for another.",
  show: "Pictures",
  mistakes: "Most confident mistakes",
  unsure: "Least sure right answers",
  worst: "Worst pictures",
  near: "Pictures like this one",
  missed: "Missed",
  false: "Said, and not there",
  more: "More",
  noPictures: "There is none.",
  loading: "Loading\u2026",
  close: "Close",
  before: "Previous",
  after: "Next",
  gone: "The picture is not there any more.",
  calibration: "Can its probabilities be trusted?",
  examples: "Or one of its validation pictures",
  answering: "Try and predict answer so from now on.",
  useTemperature: "Answer with this temperature in Try and predict",
  useThreshold: "Answer from this threshold on",
  asTrained: "as trained",
  mended: "with the temperature",
  threshold: "Threshold",
  thresholdHelp: "A label is said where its probability reaches this.",
  bestThreshold: "Threshold with the best F1",
  predicted: "predicted",
  truth: "true",
  residuals: "Residuals: predicted minus true",
  scatter: "Predicted against true",
  layer: "Over the picture",
  layers: { said: "Predicted", true: "True", errors: "Errors", none: "Nothing" },
  boundary: "Boundary of what is true",
  opacity: "Opacity",
  keyMissed: "missed",
  keyFalse: "false",
  keyRight: "right",
  showAll: "Show all",
  map: "Map of the pictures",
  mapHelp: "What the network sees alike lies together. Draw around pictures to see them, or press one.",
  mistake: "mistake",
  suspects: "Suspected label errors",
  suspectsHelp:
    "Training and validation images whose label other images of their class speak against, and pictures that stand out. " +
    "Decide with the buttons, or with the keys k (keep), r (relabel) and x (leave out); your files stay as they are.",
  look: "Look for them",
  all: "Choose all",
  keep: "Keep",
  leaveOut: "Leave out",
  relabel: "Relabel as",
  relabelAs: "Class to relabel as",
  asItSeems: "what it seems to be",
  trainAgain: "Train again with these decisions",
  looked: "Where it looked",
  lookedFor: "For",
};

/** @param {string} split */
const splitName = (split) => /** @type {Record<string, string>} */ (WORDS.splits)[split] ?? split;

/** Sentences with numbers in them. */
export const say = {
  /** @param {Evaluation} about */
  evaluation: ({ split, data, images, weights }) =>
    `${data || splitName(split)} (${count(images)}) \u00b7 ${weightsName(weights.name)}${weights.epoch ? `, epoch ${weights.epoch}` : ""}`,
  /**
   * @param {string} name
   * @param {number} n
   */
  split: (name, n) => `${splitName(name)} (${plural(n, "image")})`,
  /** @param {{ says?: string, done?: number, total?: number }} job */
  progress: ({ says, done, total }) => (total ? `${says} ${count(done ?? 0)} of ${count(total)}` : says),
  /**
   * @param {number} n
   * @param {string} truth
   * @param {string} said
   */
  cell: (n, truth, said) =>
    truth === said ? `${count(n)} ${truth}, and said so` : `${count(n)} ${truth} taken for ${said}`,
  /**
   * @param {number} n
   * @param {string} truth
   * @param {string} said
   */
  pair: (n, truth, said) => `${count(n)} ${truth} taken for ${said}`,
  /** @param {number} n */
  total: (n) => plural(n, "picture"),
  /**
   * @param {string} truth
   * @param {string} said
   * @param {number} p
   */
  caption: (truth, said, p) => (truth === said ? `${truth}, ${percent(p)}` : `${truth}, said ${said} ${percent(p)}`),
  /**
   * @param {{ error: number, error_after: number, temperature: number }} calibration
   * @param {number} confidence Mean over the images.
   * @param {number} share Of the images that are right.
   */
  calibrated: ({ error, error_after: after, temperature }, confidence, share) => {
    const gap = confidence - share;
    const how =
      Math.abs(gap) < 0.02
        ? "which fits"
        : gap > 0
          ? "so it is surer than it should be"
          : "so it is less sure than it could be";
    return (
      `On average it gives its answer ${percent(confidence)}, and ${percent(share)} are right, ${how}. ` +
      `Expected calibration error ${percent(error)}; with its logits divided by the temperature ${number(temperature)} it is ` +
      `${percent(after)}, measured on images that the temperature was not fitted on.`
    );
  },
  /** @param {{ at: number, precision: number | null, recall: number | null, predicted: number, right: number, count: number }} row */
  threshold: ({ at, precision, recall, predicted, right, count: having }) =>
    `At ${percent(at)}: said of ${plural(predicted, "image")}, ${count(right)} rightly; of ${count(having)} that have it ` +
    `${count(having - right)} missed. Precision ${precision === null ? "\u2013" : percent(precision)}, recall ${recall === null ? "\u2013" : percent(recall)}.`,
  /**
   * @param {number} n
   * @param {number} most
   */
  lasso: (n, most) => (n > most ? `${plural(n, "picture")}; the first ${most} are shown` : plural(n, "picture")),
  /** @param {{ num_wrong: number, images: number }} found */
  suspected: ({ num_wrong: n, images }) =>
    `${count(n)} of ${plural(images, "image")} have a label that is probably wrong.`,
  /**
   * @param {string} key
   * @param {number} share
   */
  tells: (key, share) =>
    `The ${key} of a picture alone tells the class in ${percent(share)} of what chance does not: the network may have learned that.`,
  /** @param {{ label: string, seems?: string, reasons: string[] }} row */
  suspect: ({ label, seems, reasons }) =>
    [seems ? `${label}, seems ${seems}` : label, reasons.filter((one) => one !== "label").join(", ")]
      .filter(Boolean)
      .join("; "),
  /** @param {{ choice: string, label?: string }} decision `keep`, `leave_out` or `relabel`, that with its label. */
  decision: ({ choice, label }) =>
    /** @type {Record<string, string>} */ ({ keep: "kept", leave_out: "left out", relabel: `now ${label}` })[choice],
  /**
   * @param {number} out
   * @param {number} changed
   * @param {number} kept
   */
  decided: (out, changed, kept) => `${count(out)} left out, ${count(changed)} relabelled, ${count(kept)} kept.`,
  /**
   * @param {number} n
   * @param {number} of
   */
  row: (n, of) => `${count(n)} of ${count(of)}`,
};

/** @param {string} name */
export const weightsName = (name) =>
  name === "best" ? "best weights" : name.startsWith("step-") ? `step ${count(Number(name.slice(5)))}` : name;
