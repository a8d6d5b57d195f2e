// The map of pictures: what the network sees alike lies together. A lasso fills the grid beside it.

import { h, setText } from "../base/dom.js";
import { onThemeChange, readPalette } from "../base/palette.js";
import { addressOf, ask } from "../base/poller.js";
import { say, WORDS } from "../words/results.js";
import { part } from "./figures.js";

const SIDE = 420;
const MOST = 120; // pictures of one answer
const COLOURS = ["train", "validation", "head", "backbone", "process", "reserved", "device", "text"];

/**
 * @param {string} base `api/runs/ID/results/NAME`
 * @param {any} figures
 * @param {(title: string, query: string) => void} show Pictures of a query.
 */
export function pictureMap(base, figures, show) {
  const canvas = h("canvas", {
    class: "ft-res-map",
    width: 2 * SIDE,
    height: 2 * SIDE,
    role: "img",
    "aria-label": WORDS.map,
  });
  const words = h("p", { class: "ft-quiet", role: "status" }, WORDS.mapHelp);
  const root = part(WORDS.map, words, canvas, key(figures));
  /** @type {any} */
  let points = null;
  /** @type {[number, number][]} */
  let lasso = [];
  const draw = () => points && paint(canvas, points, lasso);
  ask(addressOf(`${base}/map`)).then(
    (found) => {
      points = found.places?.length ? found : null;
      if (!points) root.hidden = true;
      draw();
    },
    () => {
      root.hidden = true;
    },
  );
  const end = onThemeChange(() => (canvas.isConnected ? draw() : end()));
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return /** @type {[number, number]} */ ([
      ((event.clientX - box.left) / box.width) * 2.1 - 1.05,
      1.05 - ((event.clientY - box.top) / box.height) * 2.1,
    ]);
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    lasso = [place(event)];
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!lasso.length || !event.buttons) return;
    lasso.push(place(event));
    draw();
  });
  canvas.addEventListener("pointerup", () => {
    const inside = lasso.length > 2 ? within(points, lasso) : nearest(points, lasso[0]);
    lasso = [];
    draw();
    if (!inside.length) return;
    setText(words, say.lasso(inside.length, MOST));
    show(
      say.total(inside.length),
      inside
        .slice(0, MOST)
        .map((index) => `indices=${index}`)
        .join("&")
        .replace(/^/, "of=these&"),
    );
  });
  return root;
}

const position = ([x, y]) => [(SIDE * 2 * (x + 1.05)) / 2.1, (SIDE * 2 * (1.05 - y)) / 2.1];
const colourOf = (palette, k) => palette[COLOURS[k % COLOURS.length]];

function paint(canvas, { places, true: truth, wrong }, lasso) {
  const context = canvas.getContext("2d");
  const palette = readPalette(canvas);
  context.clearRect(0, 0, canvas.width, canvas.height);
  for (const [i, point] of places.entries()) {
    const [x, y] = position(point);
    context.globalAlpha = 0.75;
    context.fillStyle = colourOf(palette, truth?.[i] ?? 0);
    context.beginPath();
    context.arc(x, y, 5, 0, 7);
    context.fill();
    if (!wrong?.[i]) continue;
    context.globalAlpha = 1;
    context.strokeStyle = palette.text;
    context.lineWidth = 2;
    context.beginPath();
    context.arc(x, y, 9, 0, 7);
    context.stroke();
  }
  context.globalAlpha = 1;
  if (lasso.length < 2) return;
  context.strokeStyle = palette.text;
  context.setLineDash([6, 4]);
  context.beginPath();
  for (const point of lasso) context.lineTo(...position(point));
  context.closePath();
  context.stroke();
  context.setLineDash([]);
}

/** Indices of the pictures inside a closed line: by the number of its sides that a ray crosses. */
export function within({ places, index }, line) {
  const isIn = ([x, y]) => {
    let odd = false;
    for (let i = 0, j = line.length - 1; i < line.length; j = i++) {
      const [[x1, y1], [x2, y2]] = [line[i], line[j]];
      if (y1 > y !== y2 > y && x < ((x2 - x1) * (y - y1)) / (y2 - y1) + x1) odd = !odd;
    }
    return odd;
  };
  return index.filter((_, i) => isIn(places[i]));
}

function nearest({ places, index }, at) {
  if (!at) return [];
  const far = ([x, y]) => Math.hypot(x - at[0], y - at[1]);
  const best = places.reduce((found, point, i) => (far(point) < far(places[found]) ? i : found), 0);
  return far(places[best]) < 0.05 ? [index[best]] : [];
}

function key({ target, names }) {
  if (target !== "class" || names.length > COLOURS.length) return null;
  const palette = readPalette(document.body);
  const items = names.map((name, k) =>
    h("li", {}, h("i", { style: `background:${colourOf(palette, k)}`, "aria-hidden": "true" }), name),
  );
  return h(
    "ul",
    { class: "ft-res-keys" },
    ...items,
    h("li", {}, h("i", { class: "ft-res-ring", "aria-hidden": "true" }), WORDS.mistake),
  );
}
