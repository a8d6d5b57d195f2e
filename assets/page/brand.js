// The name in the corner, and the switch between light and dark.

import { h, svg } from "../base/dom.js";
import { followArrowKeys } from "../base/tabs.js";
import { WORDS } from "../words/setup.js";

const STORED = "fine-tuner-theme";

/** @param {any} element */
export function mountBrand(element) {
  const shape = svg(
    "svg",
    { viewBox: "0 0 16 16", "aria-hidden": "true" },
    svg("circle", { cx: 8, cy: 8, r: 6, fill: "none", stroke: "currentColor", "stroke-width": 1.5 }),
    svg("path", { d: "M8 2a6 6 0 0 1 0 12z", fill: "currentColor" }),
  );
  const button = h(
    "button",
    {
      type: "button",
      id: "ft-theme",
      title: WORDS.theme,
      "aria-label": WORDS.theme,
      on: { click: () => set(!isDark()) },
    },
    shape,
  );
  element.querySelector("header").append(button);
  followArrowKeys();
  const stored = localStorage.getItem(STORED);
  if (stored && !new URLSearchParams(location.search).has("__theme")) set(stored === "dark");
}

const isDark = () => document.body.classList.contains("dark");

/** @param {boolean} dark */
function set(dark) {
  document.body.classList.toggle("dark", dark);
  localStorage.setItem(STORED, dark ? "dark" : "light");
}
