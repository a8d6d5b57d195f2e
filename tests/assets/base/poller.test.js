// How often the app is asked: not at all while nobody sees the page, unless somebody waits to be told.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { Poller } from "../../../assets/base/poller.js";

const settled = () => new Promise((resolve) => setImmediate(resolve));

beforeEach(() => {
  globalThis.document = Object.assign(new EventTarget(), { hidden: false });
  globalThis.addEventListener = globalThis.removeEventListener = () => {};
});

afterEach(() => {
  delete globalThis.document;
});

/** Questions asked in `seconds`, with the page hidden after the first. */
async function askedUnseen(timers, isAwaited, seconds) {
  let asked = 0;
  const question = async () => {
    asked += 1;
  };
  const poller = new Poller({ question, offline: () => {}, isAwaited });
  poller.now();
  timers.tick(1);
  await settled();
  assert.equal(asked, 1);
  document.hidden = true;
  for (let second = 0; second < seconds; second++) {
    timers.tick(1000);
    await settled();
  }
  const unseen = asked - 1;
  document.hidden = false;
  document.dispatchEvent(new Event("visibilitychange"));
  timers.tick(1);
  await settled();
  assert.equal(asked, unseen + 2, "seen again, it asks at once");
  poller.end();
  return unseen;
}

test("a hidden page asks nothing, and every 15 seconds where the end of a run is awaited", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  assert.equal(await askedUnseen(t.mock.timers, () => false, 60), 0);
  assert.equal(await askedUnseen(t.mock.timers, () => true, 61), 5);
});
