// How the live panel names metrics, and its sentences with numbers in them.

import assert from "node:assert/strict";
import { test } from "node:test";
import { learnMetrics, metricOf, metricTitle, say } from "../../../assets/words/live.js";

test("a metric is read as the app says, whatever split it is of", () => {
  const accuracy = { label: "accuracy", kind: "fraction", bounds: [0, 1] };
  learnMetrics({ accuracy });
  assert.deepEqual(metricOf("val/accuracy"), accuracy);
  assert.equal(metricTitle("test/accuracy"), "Accuracy");
});

test("an error of one of several numbers is read as the error, and called by the number", () => {
  learnMetrics({ mae: { label: "mean absolute error", kind: "number", bounds: [0, null] } });
  assert.deepEqual(metricOf("val/mae/km/h"), {
    label: "mean absolute error of km/h",
    kind: "number",
    bounds: [0, null],
  });
});

test("a rate is named by its parameter group", () => {
  assert.deepEqual(metricOf("train/lr/head"), { label: "head", kind: "rate", bounds: [0, null] });
  assert.equal(metricOf("train/lr").label, "learning rate");
});

test("a metric that the page does not know is shown as it is called, until a run tells of it; then that stays", () => {
  assert.deepEqual(metricOf("val/own_score"), { label: "own score", kind: "number", bounds: [null, null] });
  const own = { label: "score of ours", kind: "fraction", bounds: [0, 1] };
  learnMetrics({ "val/own_score": own });
  learnMetrics({ "val/own_score": { ...own, label: "another" } });
  assert.deepEqual(metricOf("val/own_score"), own);
});

test("one is said in the singular", () => {
  assert.match(say.hiddenAbove(1), /^1 point /);
  assert.match(say.hiddenAbove(1200), /^1,200 points /);
  assert.equal(say.of(3, 1000).replace(/\s/g, ""), "3/1,000");
  assert.equal(say.of(3, 0), "3");
});
