// Tick boxes for the devices of a machine that has several, at the field that names them.

import { h } from "../base/dom.js";
import { WORDS } from "../words/setup.js";

/**
 * Numbers of the devices that the setting `devices` means.
 *
 * @param {string} wanted
 * @param {number} count
 * @returns {Set<number>}
 */
export function devicesMeant(wanted, count) {
  const words = wanted.split(",").map((word) => word.trim());
  if (words.includes("all")) return new Set(Array.from({ length: count }, (_, at) => at));
  const numbers = words.map((word) =>
    ["auto", "cuda", "xpu"].includes(word) ? "0" : word.replace(/^(cuda|xpu):/, ""),
  );
  return new Set(numbers.filter((word) => /^\d+$/.test(word)).map(Number));
}

/**
 * Draw them below the field, or take them away where there are not two.
 *
 * @param {string[]} names Of the machine's devices, by their numbers.
 * @param {string} wanted The setting.
 * @param {(wanted: string) => void} choose
 */
export function showDevices(names, wanted, choose) {
  const field = document.getElementById("ft-devices");
  const drawn = field?.querySelector(".ft-devices");
  if (drawn && drawn.children.length !== names.length) drawn.remove();
  if (!field || names.length < 2) return;
  const boxes = /** @type {HTMLElement} */ (drawn?.isConnected ? drawn : field.appendChild(draw(names, choose)));
  if (boxes.dataset.shown === wanted) return; // what was ticked since is on its way
  boxes.dataset.shown = wanted;
  const meant = devicesMeant(wanted, names.length);
  for (const [at, box] of boxes.querySelectorAll("input").entries()) box.checked = meant.has(at);
}

/**
 * @param {string[]} names
 * @param {(wanted: string) => void} choose
 */
function draw(names, choose) {
  const inputs = names.map(() => /** @type {HTMLInputElement} */ (h("input", { type: "checkbox" })));
  const labels = names.map((name, at) => h("label", {}, inputs[at], ` ${at} · ${name}`));
  const boxes = h("div", { class: "ft-devices", role: "group", "aria-label": WORDS.devices }, ...labels);
  boxes.addEventListener("change", () => {
    const ticked = inputs.flatMap((input, at) => (input.checked ? [at] : []));
    choose(ticked.join(",") || "auto");
  });
  return boxes;
}
