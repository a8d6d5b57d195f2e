// Words of the memory forecast and of what is chosen by measuring, in one place so that a second language can follow.

import { count, mebibytes, percent, speed } from "../base/format.js";

export const MEMORY_PARTS = [
  ["base", "program"],
  ["weights", "weights"],
  ["gradients", "gradients"],
  ["optimizer", "optimizer state"],
  ["activations", "activations"],
  ["workspace", "workspace"],
  ["evaluation", "evaluation batch"],
  ["features", "frozen part's output"],
];

export const WORDS = {
  title: "Memory at its fullest moment",
  compare: "Compare precisions",
  compareHint: "Trains a few steps in each precision and memory format on your model and data. No run is started.",
  find: "Find the largest batch",
  findHint: "Measures how many images fit at once, evaluation and unfrozen layers included, and leaves a tenth free.",
  again: "Measure again",
  cancel: "Cancel",
  cancelled: "Cancelled. Nothing was changed.",
  preparing: "Starting a process that measures; loading torch takes a few seconds\u2026",
  changed: "The settings have changed since.",
  failed: "Nothing was measured.",
  noAnswer: "The app did not answer. Is it still running? Try again.",
  invalid: "Correct the marked fields first.",
  speed: "images/s",
  memory: "peak memory",
  wanted: "Images in one step",
  wantedHint: "Several batches are added up to make this many. Empty: as many as fit at once.",
  notCount: "Give a whole number of images, or leave it empty.",
};

export const say = {
  /** @param {MemoryForecast} memory */
  beside: (memory) =>
    `${mebibytes(memory.total_mib)} of ${mebibytes(memory.limit_mib)}, ${percent(memory.total_mib / memory.limit_mib)}; ${mebibytes(memory.used_mib)} are in use now`,
  /** @param {Plan} plan */
  support: (plan) =>
    `${plan.precision_support} Chosen: ${plan.precision}${plan.is_channels_last ? ", channels last" : ""} (${plan.precision_reason}).`,
  /**
   * @param {number} done
   * @param {number} steps
   * @param {string} what
   */
  progress: (done, steps, what) => `${what}: step ${count(done)}/${count(steps)}`,
  /** @param {MeasuredRow} row */
  row: (row) => (row.problem ? row.problem : `${speed(row.images_per_second)}, ${mebibytes(row.peak_mib)}`),
  /** @param {string} variant */
  use: (variant) => `Use ${variant}`,
  /**
   * @param {number} batch
   * @param {number} accumulate
   */
  useBatch: (batch, accumulate) => `Use batch ${count(batch)}${accumulate > 1 ? ` \u00d7 ${count(accumulate)}` : ""}`,
  set: "Set in the form.",
};
