// Words of the learning rate: its finder, its plan and its changes, in one place so that a second language can follow.

import { count, rate } from "./format.js";

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
  none: "The loss never fell, so no rate can be suggested. Check the data and the loss, or click the curve.",
  changed: "The settings have changed since.",
  failed: "No rate was found.",
  noAnswer: "The app did not answer. Is it still running? Try again.",
  invalid: "Correct the marked fields first.",
  change: "Change while it trains",
  half: "Rate \u00f7 2",
  double: "Rate \u00d7 2",
  newRate: "New rate",
  epochs: "Epochs",
  set: "Set",
  waiting: "The next step takes it.",
  notRate: "Give a rate above 0, such as 3e-4.",
  notEpochs: "Give a whole number of epochs.",
};

export const say = {
  progress: (done, steps) => `step ${count(done)}/${count(steps)}`,
  use: (name, lr) => `${name} ${rate(lr)}`,
  wasSet: (lr) => `Rate set to ${rate(lr)}.`,
  diverged: (lr) => `The loss diverged at ${rate(lr)}.`,
  at: (lr) => `rate ${rate(lr)}`,
};
