// Sentences of the set-up, the list of runs, sharing and measuring.

import assert from "node:assert/strict";
import { test } from "node:test";
import { say as memory } from "../../../assets/words/memory.js";
import { COLUMNS, say as runs } from "../../../assets/words/runs.js";
import { magnitude, say as setup } from "../../../assets/words/setup.js";
import { shareSay } from "../../../assets/words/share.js";

const read = (text) => text.replaceAll("\u00a0", " ").replaceAll("\u200a", "");

test("a large count is said in two or three digits", () => {
  assert.deepEqual(
    [3_504_872, 812_000, 640, Number.NaN].map((n) => read(magnitude(n))),
    ["3.5 M", "812 k", "640", "\u2013"],
  );
});

test("classes that are not shown are counted", () => {
  assert.equal(setup.classes(["ant", "bee", "fly"], ["ant", "bee"]), "3 classes: ant, bee and others (1)");
  assert.equal(setup.classes(["ant"], ["ant"]), "1 class: ant");
});

test("a plan without a measurement gives no time", () => {
  assert.equal(setup.length({ total_steps: 1 }), "1 step");
  const plan = { total_steps: 1200, seconds_estimate: 72, memory_mib_estimate: 1945.6 };
  assert.equal(read(setup.length(plan)), "1,200 steps \u00b7 about 1 min 12 s \u00b7 1.9 GiB");
});

test("a run knows its place in the queue", () => {
  assert.equal(runs.place(0), ", next in the queue");
  assert.equal(runs.place(2), ", number 3 in the queue");
  assert.equal(new Set(COLUMNS.map(({ key }) => key)).size, COLUMNS.length);
});

test("those who watch are counted, and few of them listed", () => {
  const people = (n) => Array.from({ length: n }, () => ({ minutes: "2 min", title: "ants" }));
  assert.equal(shareSay.watching([]), "Nobody is watching.");
  assert.equal(shareSay.watching(people(1)), "1 person is watching: for 2 min (ants).");
  assert.match(shareSay.watching(people(9)), /^9 people are watching: .* and more\.$/);
  assert.equal(shareSay.expiry(3600), "1 hour");
  assert.equal(read(shareSay.expiry(7500)), "2 h 5 min");
});

test("a batch that is not accumulated is said without a factor", () => {
  assert.deepEqual([memory.useBatch(1024, 1), memory.useBatch(64, 4)], ["Use batch 1,024", "Use batch 64 \u00d7 4"]);
});
