// What the user set on the charts, in the address and back.

import assert from "node:assert/strict";
import { test } from "node:test";
import { fromQuery, toQuery } from "../../../assets/base/settings.js";

const QUERY = "?run=a-b&axis=epoch&smooth=55&clip=1&log=loss,lr&hide=loss.val&zoom=3~9.5&zoomy=loss:0.1~2&open=table";

test("settings survive the address, and so does what others put there", () => {
  const query = `${QUERY}&other=kept`;
  const again = toQuery(fromQuery(query), "?other=kept");
  assert.deepEqual(again.slice(1).split("&").sort(), query.slice(1).split("&").sort());
});

test("what is odd in an address falls back to the default", () => {
  const settings = fromQuery("?axis=x&smooth=900&zoom=9~3&zoomy=loss:1~,lr");
  assert.deepEqual([settings.axis, settings.smooth, settings.zoom, settings.zoomY], ["step", 30, null, {}]);
});

test("settings as by default leave the address empty", () => {
  assert.equal(toQuery(fromQuery(""), ""), "");
});
