// Words of the Data section, in one place so that a second language can follow.

import { count, plural } from "../base/format.js";

export const WORDS = {
  upload: "Upload a zip",
  uploadHint: "A zip of such a folder, from this computer",
  drop: "or drop a folder, pictures or a zip here",
  dropped: "pictures",
  reading: "Reading what was dropped",
  nothingDropped: "What was dropped holds no files. Drop a folder with pictures, pictures, or a zip.",
  tooMany: "More than 65,000 files were dropped. Put the folder below an allowed folder and write its path instead.",
  tooLarge: "More than 4 GB were dropped. Put the folder below an allowed folder and write its path instead.",
  notRead: "A file that was dropped cannot be read. Drop it once more, or choose another.",
  uploading: "Uploading",
  looking: "Looking it over",
  uploadFailed: "The zip could not be uploaded. Is the app still running? Try again.",
  cancel: "Cancel",
  sets: "torchvision's data sets",
  set: "Data set",
  root: "Folder that holds it, or shall hold it; empty: the app's cache",
  use: "Use it",
  kept: "Zips kept",
  remove: "Remove",
  recognised: "Recognised",
  notRight: "Not right? Correct task and layout.",
  sample: "sample pictures made by the app, for any task",
  check: "Check data",
  checkAgain: "Check again",
  download: "Download and check",
  preparing: "Starting\u2026",
  cancelled: "The check was cancelled.",
  changed: "The settings of the data have changed since this check.",
  failed: "The check could not be made.",
  noAnswer: "The app did not answer. Is it still running?",
  sound: "Nothing wrong was found.",
  balance: {
    classification: "Images of each class",
    multilabel: "Images with each label",
    segmentation: "Pixels of each class, training images",
  },
  numbers: "Numbers of the training images",
  columns: ["", "least", "mean", "most", "sd"],
  sizes: "Image sizes",
  noThumbnail: "cannot be shown",
  levels: { error: "Error", warning: "Warning", note: "Note" },
  splits: { train: "train", val: "validation", test: "test" },
};

export const say = {
  /**
   * @param {string} what
   * @param {number} done
   * @param {number} total
   */
  progress: (what, done, total) => (total ? `${what}: ${count(done)} of ${count(total)}` : `${what}: ${count(done)}`),
  /**
   * @param {number} done
   * @param {number} total
   */
  megabytes: (done, total, what = WORDS.uploading) =>
    `${what}: ${(done / 2 ** 20).toFixed(1)} of ${(total / 2 ** 20).toFixed(1)} MiB`,
  /**
   * @param {string} folder
   * @param {number} days
   * @param {unknown[]} uploads
   */
  kept: (folder, days, uploads) =>
    uploads.length
      ? `In ${folder}, for you alone. One that no run needs goes after ${days} days without use.`
      : `None. They would lie in ${folder}, for you alone.`,
  /**
   * @param {string} name
   * @param {number} bytes
   */
  zip: (name, bytes) => `${name}, ${(bytes / 2 ** 20).toFixed(1)} MiB with what was unpacked`,
  /** @param {DataSet} dataSet */
  set: ({ title, num_images: images, num_classes: classes, download_mib: size, tasks }) =>
    `${title}: ${plural(images, "image")}, ${plural(classes, "class", "classes")}, about ${count(size)} MiB to download. For ${tasks.join(" and ")}.`,
  /** @param {string} task */
  looksLike: (task) => `It looks made for ${task}.`,
  /** @param {string} task */
  choose: (task) => `Choose ${task}`,
  /** @param {string} task */
  was: (task) => `Task set to ${task}.`,
  /** @param {DataReport} report */
  result: (report) => {
    const found = ["error", "warning", "note"]
      .map((level) => ({ n: report.findings.filter((f) => f.level === level).length, level }))
      .filter(({ n }) => n)
      .map(({ n, level }) => plural(n, level))
      .join(", ");
    return `${found ? `${found}.` : WORDS.sound} ${plural(images(report), "image")} in ${report.seconds < 10 ? report.seconds.toFixed(1) : Math.round(report.seconds)} s.`;
  },
  /** @param {ImageSizes} sizes */
  size: ({ width, height }) =>
    width.min === width.max && height.min === height.max
      ? `All are ${width.min} \u00d7 ${height.min} px.`
      : `${width.min} to ${width.max} px wide (half below ${width.median}), ${height.min} to ${height.max} px high (half below ${height.median}).`,
  /** @param {{ width: number, height: number, images: number }[]} rows */
  common: (rows) =>
    `Most often ${rows
      .slice(0, 3)
      .map((r) => `${r.width} \u00d7 ${r.height} (${plural(r.images, "image")})`)
      .join(", ")}.`,
  /** @param {Record<string, number>} formats */
  formats: (formats) =>
    `Files: ${Object.entries(formats)
      .slice(0, 4)
      .map(([name, n]) => `${count(n)} ${name}`)
      .join(", ")}.`,
  /** @param {number} fraction */
  share: (fraction) => (fraction < 0.001 && fraction > 0 ? "< 0.1 %" : `${(fraction * 100).toFixed(1)} %`),
};

/** @param {DataReport} report */
export const images = (report) => Object.values(report.splits).reduce((sum, n) => sum + n, 0);
