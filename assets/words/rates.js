// Words of the learning rate: its finder, its plan and its changes, in one place so that a second language can follow.

import { count, rate } from "../base/format.js";

export const WORDS = {
  warmup: "warm-up",
  unfreeze: "unfreeze",
  plateau: "between best and worst case",
  find: "Find a rate",
  again: "Find again",
  findHint: "Raises the rate over a short run on your data and network, then puts everything back. No run is started.",
  cancel: "Cancel",
  cancelled: "Cancelled. Nothing was changed.",
  preparing: "Preparing data and network\u2026",
  title: "Loss over rate",
  raw: "each step",
  smoothed: "smoothed",
  steepest: "steepest",
  valley: "valley",
  chosen: "set",
  pick: "Click the curve to set the rate.",
  none: "The loss did not fall by more than chance, so no rate can be suggested. Check the data and the loss, or click the curve.",
  changed: "The settings have changed since.",
  failed: "No rate was found.",
  noAnswer: "The app did not answer. Is it still running? Try again.",
  invalid: "Correct the marked fields first.",
  change: "Change while it trains",
  onward: "Go on from here",
  validate: "Validate now",
  validateHint: "Evaluates the validation images after the next step",
  save: "Save now",
  saveHint: "Writes a checkpoint after the next step",
  extend: "Extend",
  extendHint: "Trains on from the last checkpoint; the schedule is fitted to the new length",
  clone: "Clone with changes",
  cloneHint: "Fills the set-up with this run's settings",
  asked: "Asked for; it comes after the next step.",
  half: "Rate \u00f7 2",
  double: "Rate \u00d7 2",
  set: "Set",
  waiting: "The next step takes it.",
};

export const say = {
  /**
   * @param {number} done
   * @param {number} steps
   */
  progress: (done, steps) => `step ${count(done)}/${count(steps)}`,
  /**
   * @param {string} name
   * @param {number} lr
   */
  use: (name, lr) => `${name} ${rate(lr)}`,
  /** @param {number} lr */
  wasSet: (lr) => `Rate set to ${rate(lr)}.`,
  /** @param {number} lr */
  diverged: (lr) => `The loss diverged at ${rate(lr)}.`,
  /**
   * @param {string} example
   * @param {number} most
   */
  notRate: (example, most) => `Give a rate above 0 and up to ${count(most)}, such as ${example}.`,
  /** @param {number} most */
  notWhole: (most) => `Give a whole number of epochs, up to ${count(most)}.`,
  /** @param {string} text */
  example: (text) => `such as ${text}`,
  /** @param {number} lr */
  at: (lr) => `rate ${rate(lr)}`,
};
