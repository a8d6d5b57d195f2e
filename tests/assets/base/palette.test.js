// Colours between colours.

import assert from "node:assert/strict";
import { test } from "node:test";
import { fade, groupColors, mix } from "../../../assets/base/palette.js";

const PALETTE = { head: "#d55e00", backbone: "#0072b2" };

test("a mix begins and ends at its colours", () => {
  assert.deepEqual(
    [0, 0.5, 1].map((share) => mix("#000000", "#ffffff", share)),
    ["#000000", "#808080", "#ffffff"],
  );
  assert.equal(fade("#f80", 0.5), "rgba(255,136,0,0.5)");
});

test("the head and the backbone keep their colours however many groups lie between, and all differ", () => {
  for (const names of [
    ["head", "backbone"],
    ["head", "layer4", "layer3", "layer2", "stem"],
  ]) {
    const colors = groupColors(names, PALETTE);
    assert.equal(colors.head, PALETTE.head);
    assert.equal(colors[names.at(-1)], PALETTE.backbone);
    assert.equal(new Set(Object.values(colors)).size, names.length);
    assert.ok(Object.values(colors).every((color) => /^#[0-9a-f]{6}$/.test(color)));
    assert.deepEqual(groupColors([...names].reverse(), PALETTE), colors, "told from the input to the head");
  }
});
