// Words of the validation pictures whose answers are followed through a run.

import { count, number, percent, tick } from "../base/format.js";

export const WORDS = {
  title: "Validation pictures",
  help: "Always the same ones, with what the run said of them at each validation. Move the slider to see how it came about.",
  slider: "Validation",
  play: "Play",
  pause: "Pause",
  playHint: "From the first validation to the newest",
  scatter: "Predicted against true",
  truth: "true",
  true: "True",
  said: "Predicted",
  errors: "Errors",
  none: "none",
  right: "right",
  missed: "missed",
  false: "false",
};

/**
 * A probability as a whole number of percent, since tiles are small: 0.613 -> 61 %. Less than 1 is never 100 %.
 *
 * @param {number} p
 */
const short = (p) => `${p < 1 ? Math.min(99, Math.round(100 * p)) : 100}\u00a0%`;

/** Sentences with numbers in them. */
export const say = {
  /**
   * @param {number} epoch
   * @param {number} step
   */
  when: (epoch, step) => `Epoch ${count(epoch)} \u00b7 step ${count(step)}`,
  /**
   * @param {string} label
   * @param {string} value
   */
  metric: (label, value) => `${label} ${value}`,
  /**
   * @param {number} right
   * @param {number} all
   */
  right: (right, all) => `${count(right)} of these ${count(all)} right`,
  /** @param {number} iou */
  overlap: (iou) => `mean IoU of these ${percent(iou)}`,
  /** @param {number} iou */
  iou: (iou) => `IoU ${percent(iou)}`,
  /**
   * @param {string} name
   * @param {number} p
   */
  said: (name, p) => `${name} ${short(p)}`,
  /** @param {string} name */
  is: (name) => `is ${name}`,
  /**
   * @param {string} name
   * @param {number} p
   */
  isGiven: (name, p) => `is ${name}, given ${short(p)}`,
  /**
   * @param {string} name
   * @param {number} p
   */
  missed: (name, p) => `missed: ${name} ${short(p)}`,
  /**
   * @param {string} name
   * @param {number} said
   * @param {number} truth
   */
  number: (name, said, truth) => `${name} ${number(said)}, is ${tick(truth)}`.trim(),
  /** @param {string} name */
  scatter: (name) => `${name}: predicted against true`,
};
