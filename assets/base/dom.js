// Building the page out of elements. Text goes in as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element with properties and children; `class`, `data-*`, `aria-*` and the like are attributes, `on` holds listeners.
 *
 * @param {keyof HTMLElementTagNameMap} tag
 * @param {Record<string, any>} properties
 * @param {...(Node | string | null | undefined)} children
 * @returns {any} The element; not by its tag's own type, since most are kept in fields that `build` fills.
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  apply(element, properties);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/**
 * The same for a drawing.
 *
 * @template {keyof SVGElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string | number>} attributes
 * @param {...(Node | string)} children
 * @returns {SVGElementTagNameMap[K]}
 */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

/**
 * @param {any} element
 * @param {Record<string, any>} properties
 */
function apply(element, properties) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined) continue;
    if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (name in element && !name.startsWith("aria")) element[name] = value;
    else element.setAttribute(name, value);
  }
}

/**
 * Set text only where it differs, so that selections and screen readers are left in peace.
 *
 * @param {Node} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** The element that has the focus. */
export const focused = () => /** @type {HTMLElement | null} */ (document.activeElement);

/**
 * Show or hide.
 *
 * @param {HTMLElement} element
 * @param {boolean} isShown
 */
export function toggle(element, isShown) {
  if (element.hidden === isShown) element.hidden = !isShown;
}

/**
 * Hand the user a file made here.
 *
 * @param {string} name
 * @param {string | Blob} data
 * @param {string} type
 */
export function download(name, data, type) {
  const url =
    typeof data === "string" && data.startsWith("data:") ? data : URL.createObjectURL(new Blob([data], { type }));
  const link = h("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  if (url.startsWith("blob:")) setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/**
 * Shapes that tell a status without colour: 16 x 16, drawn with the current colour.
 *
 * @type {Record<string, ["circle" | "path" | "rect", Record<string, string | number>][]>}
 */
const SHAPES = {
  queued: [
    ["circle", { cx: 8, cy: 8, r: 5.25, class: "line" }],
    ["path", { d: "M8 5.2V8l2 1.3", class: "line" }],
  ],
  running: [["path", { d: "M4.6 2.9 13 8l-8.4 5.1z", class: "fill" }]],
  paused: [["path", { d: "M4 3h3v10H4zM9 3h3v10H9z", class: "fill" }]],
  stopping: [["rect", { x: 3.5, y: 3.5, width: 9, height: 9, rx: 1, class: "line" }]],
  completed: [["path", { d: "M3 8.6 6.4 12 13 4.6", class: "bold" }]],
  stopped: [["rect", { x: 3.5, y: 3.5, width: 9, height: 9, rx: 1, class: "fill" }]],
  failed: [["path", { d: "M3.8 3.8l8.4 8.4M12.2 3.8l-8.4 8.4", class: "bold" }]],
  lost: [
    ["circle", { cx: 8, cy: 8, r: 5.25, class: "line", "stroke-dasharray": "2.4 2" }],
    ["path", { d: "M8 5v3.6M8 10.6v.6", class: "line" }],
  ],
};

/** @param {string} status */
export function statusShape(status) {
  const parts = (SHAPES[status] ?? SHAPES.queued).map(([tag, attributes]) => svg(tag, attributes));
  return svg("svg", { viewBox: "0 0 16 16", class: "ftl-shape", "aria-hidden": "true" }, ...parts);
}

/**
 * A short sample of a line as charts draw it.
 *
 * @param {{ color: string, dash?: string, width?: number, marker?: boolean }} look
 */
export function swatch({ color, dash, width = 2, marker = false }) {
  const line = svg("line", {
    x1: 1,
    y1: 5,
    x2: 21,
    y2: 5,
    stroke: color,
    "stroke-width": width,
    "stroke-linecap": "butt",
  });
  if (dash) line.setAttribute("stroke-dasharray", dash);
  /** @type {SVGElement[]} */
  const parts = [line];
  if (marker) parts.push(svg("circle", { cx: 11, cy: 5, r: 2.6, fill: color }));
  return svg("svg", { viewBox: "0 0 22 10", class: "ftc-swatch", "aria-hidden": "true" }, ...parts);
}
