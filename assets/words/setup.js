// Words of the set-up, the plan, the list of runs, in one place so that a second language can follow.

import { capital, count, duration, mebibytes, plural } from "../base/format.js";

export const WORDS = {
  devices: "Devices of this machine",
  train: "Train",
  setup: "Set-up",
  lead: {
    have: "You have",
    tell: "You want the",
    time: "You have time",
    own: "My pictures",
    sample: "A sample",
    others: "Other ways to start",
    noLimit: "enough",
    noLimitHint: "As many epochs as the data needs",
    timeHint: "No more epochs than go into that time on this machine",
    tasks: {
      classification: { word: "class", hint: "Which of several classes a picture shows" },
      multilabel: { word: "labels", hint: "Which of several labels fit a picture: none, one or more" },
      regression: { word: "number", hint: "One or more numbers for each picture, such as a count or an age" },
      segmentation: { word: "pixels", hint: "Which pixels of a picture belong to what" },
    },
  },
  atField: "The set-up says at the marked field what is missing.",
  queued: "Queued: it starts when the device is free. ",
  showQueued: "Show it",
  queue: "Queue",
  starting: "Starting\u2026",
  copy: "Copy command",
  copied: "Copied",
  command: "The same from a terminal",
  incomplete: "Complete the set-up; the plan and the command follow.",
  noAnswer: "The app did not answer. Is it still running? Reload the page to see what happened.",
  attention: "needs attention",
  planning: "updating",
  busy: ", machine busy",
  timing: "timing a few steps\u2026",
  firstPlan: "loading torch for the first plan; this takes a few seconds",
  views: { run: "Run", plan: "Plan of the next run" },
  viewsLabel: "Show",
  pictures: "Training images as the network sees them",
  reshuffle: "Show others",
  anyClass: "any class",
  onlyClass: "Show pictures of",
  noPictures: "The images appear here once the data can be read.",
  rate: "Planned learning rate",
  network: "Network",
  frozen: "frozen",
  trains: "trains at",
  more: "and others",
  show: "Show",
  hide: "Hide",
  networkLabel: "Network",
  recommended: { fast: "Small and fast", accurate: "Most accurate that fits" },
  searchNetworks: "Search by name",
  loadingNetworks: "Reading the list of networks from torchvision\u2026",
  noNetworks: "No network matches.",
  retry: "Try again",
  firstSection: "data",
  isChosen: "chosen for the data",
  onMachine: "weights on this machine",
  theme: "Light or dark",
  epoch: "epoch",
  tryRun: "Run",
  tried: "The picture that was tried",
  tryRunHelp: "Its best checkpoint answers.",
  looking: "Looking at the picture\u2026",
  noLabel: "none of them",
  labelsHelp: "Labels that fit with a probability of one half or more.",
  sharesHelp: "Share of the picture that each class covers.",
  overlay: "The picture with the classes found in it, in colours",
  typicalError: "Typical error on the validation images",
  download: "Download weights",
  downloadHint: "safetensors, with class names and preprocessing inside",
  loading: "Loading\u2026",
};

export const NETWORK_COLUMNS = [
  { key: "name", label: "Network", title: "torchvision's name" },
  { key: "parameters", label: "Parameters", title: "Number of weights" },
  { key: "size_mib", label: "MiB", title: "Size of the file of weights" },
  { key: "gflops", label: "GFLOPs", title: "Work per picture at the size the weights were trained on" },
  { key: "accuracy", label: "Top-1", title: "Accuracy on ImageNet of the best weights" },
  { key: "is_cached", label: "Here", title: "Weights are on this machine" },
];

/** Sentences with numbers in them. */
export const say = {
  /**
   * Why a network is recommended, and whether its weights are at hand.
   *
   * @param {NetworkRow} row
   * @param {number} seconds
   * @param {number} images
   */
  recommended: ({ accuracy, gflops, size_mib: size, is_cached: isHere }, seconds, images) =>
    `${accuracy?.toFixed(1)} % where it was pretrained, ${Number(gflops).toPrecision(2)} GFLOPs an image: an epoch of ` +
    `${count(images)} images takes roughly ${duration(seconds)}. ` +
    (isHere ? "Its weights are on this machine." : `Its weights (${Math.round(size ?? 0)} MiB) have to be downloaded.`),
  /** @param {NetworkRow} row */
  weights: ({ size_mib: size, is_cached: isHere }) =>
    isHere ? "on this machine" : `${Math.round(size ?? 0)} MiB to download`,
  /**
   * A value that the app chose, with its reason: `4, so that an epoch has 6 steps`.
   *
   * @param {Chosen} chosen
   */
  reason: ({ value, reason }) => `${sensible(value)}, ${reason}`,
  /**
   * What was chosen, by the section that shows it.
   *
   * @param {Record<string, any>} values
   */
  chosen: (values) => {
    const size = values["train.batch_size"];
    const epochs = values["train.epochs"];
    const rate = values["optim.lr"];
    const parts = [epochs && plural(epochs, "epoch"), size && `batch ${count(size)}`].filter(Boolean);
    return {
      ...(parts.length ? { run: parts.join(" \u00d7 ") } : {}),
      ...(rate ? { optim: `rate ${sensible(rate)}` } : {}),
    };
  },
  /** @param {string} minutes */
  minutes: (minutes) => `${minutes} min`,
  /** @param {string} label */
  mended: (label) => `The settings of the run before, changed: ${label.toLowerCase()}.`,
  /** @param {Plan} plan */
  length: (plan) =>
    [
      plural(plan.total_steps, "step"),
      say.time(plan),
      plan.memory_mib_estimate ? mebibytes(plan.memory_mib_estimate) : null,
    ]
      .filter(Boolean)
      .join(" \u00b7 "),
  /** @param {Plan} plan */
  time: (plan) =>
    plan.seconds_estimate ? `about ${duration(plan.seconds_estimate)}${plan.busy ? WORDS.busy : ""}` : null,
  /** @param {Plan} plan */
  timing: (plan) => `${say.length(plan)} \u00b7 ${WORDS.timing}`,
  /** @param {Plan} plan */
  data: (plan) =>
    `${capital(plan.data)}. ${plural(plan.train_images, "image")} to train on, ${count(plan.val_images)} to validate.`,
  /**
   * @param {string[]} names
   * @param {string[]} shown
   */
  classes: (names, shown) => {
    const rest = names.length - shown.length;
    return `${plural(names.length, "class", "classes")}: ${shown.join(", ")}${rest > 0 ? ` ${WORDS.more} (${count(rest)})` : ""}`;
  },
  /** @param {Plan} plan */
  counts: (plan) => `${count(plan.train_images)}\u200a/\u200a${count(plan.val_images)}`,
  /** @param {Plan} plan */
  network: (plan) =>
    `${plan.model}, ${magnitude(plan.parameters)} parameters, ${plan.trainable_parameters === plan.parameters ? "all" : magnitude(plan.trainable_parameters)} of them train`,
  /**
   * @param {string} lr
   * @param {number} epochs
   */
  after: (lr, epochs) => `${lr} after ${plural(epochs, "epoch")}`,
  /** @param {Plan} plan */
  batch: (plan) =>
    `${plural(plan.steps_per_epoch, "step")} per epoch, ${plural(plan.global_batch_size, "image")} each` +
    (plan.num_devices > 1 ? `: ${count(plan.batch_size)} on each of ${count(plan.num_devices)} devices` : ""),
  /** @param {Plan} plan */
  where: (plan) => `${plan.num_devices > 1 ? `${plan.num_devices} \u00d7 ` : ""}${plan.device}, ${plan.precision}`,
  /** @param {number} n */
  parameters: (n) => `${magnitude(n)} parameters`,
  /** @param {number} n */
  networks: (n) => plural(n, "network"),
};

/**
 * A number as people write rates: 0.001 -> 1e-3.
 *
 * @param {unknown} value
 */
const sensible = (value) => (typeof value === "number" && value < 0.01 ? value.toExponential() : String(value));

/**
 * A large count in two or three digits: 3.5 M, 812 k.
 *
 * @param {number} value
 */
export function magnitude(value) {
  if (!Number.isFinite(value)) return "\u2013";
  for (const [letter, size] of Object.entries({ G: 1e9, M: 1e6, k: 1e3 })) {
    if (value >= size) return `${Number((value / size).toPrecision(3))}\u00a0${letter}`;
  }
  return count(value);
}
