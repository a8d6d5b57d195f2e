// Words of the Loss section, in one place so that a second language can follow.

import { number } from "../base/format.js";

export const LOSS_WORDS = {
  title: "What this loss does",
  loading: "Computing the curve\u2026",
  updating: "updating",
  failed: "The curve could not be computed.",
  incomplete: "Correct the marked fields; the curve follows.",
  checkFirst: "The curve of your own code comes with its check.",
  which: "Edit",
  sections: { loss: "the loss", second_loss: "the second loss" },
  names: { loss: "my_loss.py", second_loss: "my_second_loss.py" },
  template: "Start from",
  choose: "Choose a template",
  file: "File",
  fileHelp: "A name goes below the folder of runs; or give a whole path.",
  open: "Open",
  save: "Save",
  check: "Check",
  cancel: "Cancel",
  saved: "Saved.",
  unsaved: "Not saved yet; Check saves first.",
  empty:
    "Write a function my_loss(output, target) or an nn.Module class, or choose a template. Check runs it on your data in a process of its own.",
  replace: "Replace the text in the editor? It is not saved.",
  otherFields: "Correct the other marked fields first: the check needs your data and network.",
  noAnswer: "The app did not answer. Is it still running? Press Check again.",
  otherData: "Data or network are others than those of the last check. Press Check again.",
  otherGiven: "Arguments, or what the code is given, are others than those of the last check. Press Check again.",
  starting: "starting",
  stopped: "Cancelled.",
  passed: "Passed",
  failedCheck: "Failed",
  precision: "Precision of the network",
  value: "Loss",
  gradient: "Gradient norm",
  none: "none",
  levels: { error: "Error", warning: "Warning", note: "Note" },
  findings: "What the check found",
  before: "before",
  printed: "What the code printed",
  used: "Used",
  use: "Use this",
  withIt: "With it the code",
  forms: "What the code can be given, on your data",
  auto: "auto: the first of these in which the code has a meaning",
  checkChooses: "Check finds out what the code is to be given; or choose it here.",
  isGiven: "The code is given",
  asChosen: "as you chose. Check tries it.",
  answers: { right: "All right", half: "Half right", wrong: "All wrong" },
  answersTitle: "The loss for three answers",
  whichLoss: "The file has several losses. Use",
  chooseLoss: "Choose one",
  needed: "must be given",
};

export const sayLoss = {
  /**
   * @param {string} stage
   * @param {number} seconds
   */
  running: (stage, seconds) => `Checking: ${stage}, ${Math.floor(seconds)} s`,
  /** @param {LossReport} report */
  verdict: (report) => {
    const count = report.findings.filter((finding) => finding.level === "error").length;
    const name = report.entry || "The file";
    if (report.ok) return `${name}, for ${report.task}, in ${number(report.seconds)} s.`;
    return `${name}, for ${report.task}: ${count} ${count === 1 ? "error" : "errors"}.`;
  },
  /** @param {NonNullable<LossReport["batch"]>} batch */
  batch: (batch) =>
    `On ${batch.origin}: images ${batch.images.join(" \u00d7 ")}, output ${batch.output.join(" \u00d7 ")}, targets ${batch.targets.join(" \u00d7 ")} ${batch.targets_dtype}.`,
  /** @param {NonNullable<LossReport["parameters"]>} parameters */
  reach: (parameters) =>
    `Its gradient reaches ${parameters.reached} of ${parameters.trainable} trainable parameter tensors.`,
  /** @param {NonNullable<LossReport["cost"]>} cost */
  cost: (cost) =>
    `${number(cost.seconds * 1000)} ms a call, ${number(cost.ratio)} times ${cost.reference.replaceAll("_", " ")}.`,
  /** @param {number} line */
  line: (line) => `line ${line}`,
};
