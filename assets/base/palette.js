// Colours by meaning (Okabe-Ito, lighter in the dark), read from the style sheet so that they follow the theme.

const VARIABLES = {
  train: "--ftl-train",
  validation: "--ftl-validation",
  head: "--ftl-head",
  backbone: "--ftl-backbone",
  process: "--ftl-process",
  allocated: "--ftl-allocated",
  reserved: "--ftl-reserved",
  device: "--ftl-device",
  speed: "--ftl-speed",
  norm: "--ftl-norm",
  plan: "--ftl-plan",
  text: "--ftl-text",
  subdued: "--ftl-subdued",
  grid: "--ftl-grid",
  axis: "--ftl-axis",
  surface: "--ftl-surface",
};

/**
 * Concrete colours, as Plotly needs them, from the style of `element`.
 *
 * @param {Element} element
 * @returns {Palette}
 */
export function readPalette(element) {
  const style = getComputedStyle(element);
  const colors = Object.fromEntries(
    Object.entries(VARIABLES).map(([name, variable]) => [name, style.getPropertyValue(variable).trim() || "#777777"]),
  );
  return /** @type {Palette} */ ({ ...colors, font: style.fontFamily });
}

/** @param {string} hex */
function channels(hex) {
  const full = hex.length === 4 ? [...hex.slice(1)].map((c) => c + c).join("") : hex.slice(1);
  return [0, 2, 4].map((at) => Number.parseInt(full.slice(at, at + 2), 16));
}

/**
 * `#rrggbb` with an opacity.
 *
 * @param {string} hex
 * @param {number} opacity
 */
export function fade(hex, opacity) {
  return `rgba(${channels(hex).join(",")},${opacity})`;
}

/**
 * A colour between two.
 *
 * @param {string} from
 * @param {string} to
 * @param {number} share
 */
export function mix(from, to, share) {
  const [a, b] = [channels(from), channels(to)];
  return `#${a
    .map((c, i) =>
      Math.round(c + (b[i] - c) * share)
        .toString(16)
        .padStart(2, "0"),
    )
    .join("")}`;
}

/** @param {string} hex */
function toHsl(hex) {
  const [r, g, b] = channels(hex).map((c) => c / 255);
  const [low, high] = [Math.min(r, g, b), Math.max(r, g, b)];
  const span = high - low || 1e-9;
  const hue = high === r ? ((g - b) / span) % 6 : high === g ? (b - r) / span + 2 : (r - g) / span + 4;
  const light = (high + low) / 2;
  return [(hue * 60 + 360) % 360, span / (1 - Math.abs(2 * light - 1) || 1), light];
}

/** @param {number[]} hsl Hue in degrees, saturation and light from 0 to 1. */
function fromHsl([hue, saturation, light]) {
  const chroma = saturation * Math.min(light, 1 - light);
  /** @param {number} n */
  const channel = (n) => {
    const k = (n + hue / 30) % 12;
    return light - chroma * Math.max(-1, Math.min(k - 3, 9 - k, 1));
  };
  return `#${[0, 8, 4]
    .map((n) =>
      Math.round(channel(n) * 255)
        .toString(16)
        .padStart(2, "0"),
    )
    .join("")}`;
}

/**
 * A colour for each parameter group: the head's, the backbone's for the one farthest from it, hues between for others.
 *
 * @param {string[]} names
 * @param {Pick<Palette, "head" | "backbone">} palette
 * @returns {Record<string, string>}
 */
export function groupColors(names, palette) {
  const isLast = names.at(-1) === "head"; // stages are told from the input to the head, or the other way round
  const ordered = isLast ? [...names].reverse() : names;
  const last = Math.max(1, ordered.length - 1);
  const [from, to] = [toHsl(palette.head), toHsl(palette.backbone)];
  /** @param {number} share */
  const between = (share) => {
    const [hue, saturation, light] = from.map((a, i) => a + (to[i] - a) * share);
    return fromHsl([hue, 0.65 * saturation, light]);
  };
  return Object.fromEntries(
    ordered.map((name, i) => [name, i === 0 ? palette.head : i === last ? palette.backbone : between(i / last)]),
  );
}

/**
 * Call `changed` when Gradio switches between light and dark; returns the function that ends it.
 *
 * @param {() => void} changed
 */
export function onThemeChange(changed) {
  const observer = new MutationObserver(changed);
  for (const element of [document.body, document.documentElement]) {
    observer.observe(element, { attributes: true, attributeFilter: ["class", "data-theme"] });
  }
  return () => observer.disconnect();
}
