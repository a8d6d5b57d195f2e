// A message names a setting as its field is called.

import assert from "node:assert/strict";
import { test } from "node:test";
import { inLabels, learnLabels } from "../../../assets/words/labels.js";

learnLabels([
  { path: "optim.backbone_multiplier", label: "Rate of the pretrained part" },
  { path: "train.batch_size", label: "Batch size" },
]);

test("a dotted path becomes the label of its field, its value follows", () => {
  assert.equal(inLabels("Consider optim.backbone_multiplier=1."), "Consider “Rate of the pretrained part” 1.");
  assert.equal(inLabels("Lower train.batch_size (now 32)."), "Lower “Batch size” (now 32).");
});

test("what is no setting stays as it is", () => {
  const text = "photo.jpg in data.zip could not be read; see model.pth=1.";
  assert.equal(inLabels(text), text);
});
