// Which devices a setting means.

import assert from "node:assert/strict";
import test from "node:test";

import { devicesMeant } from "../../../assets/setup/devices.js";

test("numbers, names and all mean devices; a processor means none", () => {
  /** @param {string} wanted */
  const meant = (wanted) => [...devicesMeant(wanted, 3)];
  assert.deepEqual(meant("auto"), [0]);
  assert.deepEqual(meant("0, 2"), [0, 2]);
  assert.deepEqual(meant("cuda:1"), [1]);
  assert.deepEqual(meant("all"), [0, 1, 2]);
  assert.deepEqual(meant("cpu:2"), []);
});
