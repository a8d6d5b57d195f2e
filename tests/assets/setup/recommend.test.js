import assert from "node:assert/strict";
import test from "node:test";
import { recommend } from "../../../assets/setup/recommend.js";

const row = (name, gflops, accuracy, parameters = 5e6) => ({ name, gflops, accuracy, parameters });
const ROWS = [
  row("tiny", 0.06, 67),
  row("small", 0.4, 77),
  row("middle", 4, 82, 3e7),
  row("large", 16, 84, 9e7),
  row("huge", 360, 88, 6e8),
  row("unknown", 0.01, null),
];
const names = (plan) => recommend(ROWS, plan).map(({ kind, row }) => `${kind}: ${row.name}`);

test("the more images, and the weaker the device, the smaller the networks", () => {
  assert.deepEqual(names({ isGpu: false, images: 244, memoryMib: 24_000 }), ["fast: small", "accurate: middle"]);
  assert.deepEqual(names({ isGpu: false, images: 20_000, memoryMib: 24_000 }), ["accurate: tiny"]);
  assert.deepEqual(names({ isGpu: true, images: 2000, memoryMib: 24_000 }), ["fast: middle", "accurate: large"]);
});

test("what does not fit the memory is not recommended, whatever its accuracy", () => {
  assert.deepEqual(names({ isGpu: true, images: 10, memoryMib: 2_000_000 }), ["fast: large", "accurate: huge"]);
  assert.deepEqual(names({ isGpu: true, images: 10, memoryMib: 24_000 }), ["fast: large"]);
  assert.deepEqual(names({ isGpu: true, images: 10, memoryMib: 1000 }), ["fast: small"]);
});

test("no network is recommended where none is fast enough, and few images make none larger", () => {
  assert.deepEqual(names({ isGpu: false, images: 1e8, memoryMib: 24_000 }), []);
  assert.deepEqual(
    names({ isGpu: false, images: 1, memoryMib: 24_000 }),
    names({ isGpu: false, images: 200, memoryMib: 24_000 }),
  );
  for (const { seconds } of recommend(ROWS, { isGpu: false, images: 5000, memoryMib: 24_000 }))
    assert.ok(seconds <= 60);
});
