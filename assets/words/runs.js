// Words of the history of runs: the list, the queue, comparing, in one place so that a second language can follow.

import { count } from "../base/format.js";

export const WORDS = {
  search: "Search runs",
  all: "Any status",
  active: "At work or waiting",
  anyTag: "Any tag",
  status: "Status",
  tag: "Tag",
  compare: "Compare",
  compareHint: "Choose two runs or more in the first column",
  choose: "Choose to compare",
  actions: "Rename, tag, note, clone, delete",
  title: "Title",
  tags: "Tags",
  tagsHint: "separated by commas",
  note: "Note",
  save: "Save",
  saved: "Saved.",
  notSaved: "What was typed is not saved yet",
  open: "Open",
  clone: "Clone with changes",
  cloneHint: "Fills the set-up with this run's settings",
  delete: "Delete",
  undo: "Undo",
  earlier: "Earlier",
  later: "Later",
  cancel: "Cancel",
  close: "Close",
  loading: "Loading\u2026",
  failed: "The list of runs could not be read.",
  noMatch: "No run matches.",
  emptyTitle: "No runs yet",
  empty: "Press Train. Every run is kept here, also after a restart.",
  differ: "Settings that differ",
  same: "The settings are the same.",
  gone: "This picture cannot be shown any more.",
  best: "Best values",
  bestMark: "best of these",
  axis: "Horizontal axis",
  more: "Rates, memory, speed and others",
  smoothed: "smoothed",
  noCurves: "Nothing recorded yet.",
  reading: "Reading a long log\u2026",
  comparing: "Loading the runs to compare\u2026",
};

export const COLUMNS = [
  { key: "title", label: "Run" },
  { key: "status", label: "Status" },
  { key: "data", label: "Data" },
  { key: "model", label: "Network" },
  { key: "best_value", label: "Best" },
  { key: "spark", label: "Course" },
  { key: "seconds", label: "Time" },
  { key: "created", label: "Started" },
];

/** Sentences with numbers in them. */
export const say = {
  /** @param {number} n */
  runs: (n) => `${count(n)} ${n === 1 ? "run" : "runs"}`,
  /** @param {number} n */
  compare: (n) => (n ? `${WORDS.compare} (${n})` : WORDS.compare),
  /**
   * @param {string} label
   * @param {string} mean
   * @param {string} sd
   * @param {number} n
   */
  repeats: (label, mean, sd, n) => `${label} ${mean} \u00b1 ${sd}: mean and standard deviation of ${count(n)} seeds.`,
  /**
   * @param {string} name
   * @param {number} n
   * @param {number} shown
   */
  onlyRight: (name, n, shown) =>
    `Only ${name} is right: ${n === 1 ? "1 picture" : `${count(n)} pictures`}${shown < n ? `, the first ${count(shown)}` : ""}`,
  /**
   * @param {string} truth
   * @param {string} wrong
   */
  taken: (truth, wrong) => `${truth}, taken for ${wrong}`,
  /** @param {number} n */
  comparing: (n) => `${count(n)} runs compared`,
  /** @param {number} place */
  place: (place) => (place ? `, number ${count(place + 1)} in the queue` : ", next in the queue"),
  /** @param {string} title */
  deleted: (title) => `${title} was deleted.`,
  /** @param {string} title */
  restored: (title) => `${title} is back.`,
  /**
   * @param {string} what
   * @param {string} why
   */
  didNot: (what, why) => `${what} did not work: ${why}`,
  /** @param {string} title */
  cloned: (title) => `The settings of ${title}. Change what you like, then press Train.`,
};
