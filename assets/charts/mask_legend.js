// The colours of classes that are drawn over pictures; the class without a colour stays clear.

import { h } from "../base/dom.js";

/** @param {{ name: string, colour: string | null }[]} legend */
export function maskLegend(legend) {
  return legend
    .filter(({ colour }) => colour)
    .map(({ name, colour }) =>
      h("span", { class: "ft-mask-name" }, h("i", { style: `background:${colour}`, "aria-hidden": "true" }), name),
    );
}
