// Numbers for people: 0.0312, 1e-4, 94.8 %, 1.9 GiB, 1 min 12 s. Pure functions; nothing here touches the page.

const NBSP = "\u00a0";
export const NONE = "\u2013"; // an en dash where there is no number yet

/**
 * @param {unknown} value
 * @returns {value is number}
 */
const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

/**
 * What stands for a value that is no finite number.
 *
 * @param {unknown} value
 */
function odd(value) {
  if (value === Infinity) return "\u221e";
  if (value === -Infinity) return "\u2212\u221e";
  return Number.isNaN(value) ? "NaN" : NONE;
}

/** @param {string} digits */
const group = (digits) => digits.replace(/\B(?=(\d{3})+$)/g, ",");
/** @param {string} text */
const trim = (text) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);
/** @param {string} text */
const minus = (text) => text.replace(/^-/, "\u2212");

/**
 * `3.20e-5` -> `3.2e-5`.
 *
 * @param {number} value
 * @param {number} digits
 */
function exponential(value, digits) {
  const [mantissa, exponent] = value.toExponential(Math.max(0, digits - 1)).split("e");
  return minus(`${trim(mantissa)}e${Number(exponent)}`);
}

/**
 * Any number with `digits` significant digits: 0.0312, 2.30, 1,204, 3.2e-5. Its width is steady while it changes.
 *
 * @param {number | null | undefined} value
 * @param {number} digits
 */
export function number(value, digits = 3) {
  if (!isNumber(value)) return odd(value);
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size < 1e-3 || size >= 999_999.5) return exponential(value, digits);
  if (size >= 10 ** digits - 0.5) return minus(group(String(Math.round(value))));
  return minus(value.toPrecision(digits));
}

/**
 * The same without trailing zeros, for axes: 2.3, 0.05, 20k.
 *
 * @param {number | null | undefined} value
 * @param {number=} digits Significant ones where neighbours differ by less than the fourth: 0.693147.
 */
export function tick(value, digits) {
  if (!isNumber(value)) return odd(value);
  const size = Math.abs(value);
  if (digits !== undefined && size > 0)
    return size >= 1e-3 && size < 1e12 ? minus(trim(value.toPrecision(digits))) : exponential(value, digits);
  if (size >= 999_999.5) return minus(`${trim((value / 1e6).toPrecision(4))}M`);
  if (size >= 9_999.5) return minus(`${trim((value / 1e3).toPrecision(4))}k`);
  if (size >= 1000) return minus(group(String(Math.round(value))));
  if (size > 0 && size < 1e-3) return exponential(value, 3);
  return minus(trim(value.toPrecision(4)));
}

/**
 * A learning rate: 1e-3, 2.5e-4, 0.05.
 *
 * @param {number | null | undefined} value
 */
export function rate(value) {
  if (!isNumber(value)) return odd(value);
  if (value === 0) return "0";
  return Math.abs(value) < 0.00999 ? exponential(value, 3) : minus(trim(value.toPrecision(3)));
}

/**
 * A fraction as percent: 0.9478 -> 94.8 %. Never rounds up to 100 % what is less.
 *
 * @param {number | null | undefined} fraction
 */
export function percent(fraction) {
  if (!isNumber(fraction)) return odd(fraction);
  const value = fraction * 100;
  if (value > 99.9 && value < 99.995) return `${value.toFixed(2)}${NBSP}%`;
  if (value >= 99.995 && value < 100) return `99.99${NBSP}%`;
  return `${minus(value === 100 || value === 0 ? String(value) : value.toFixed(1))}${NBSP}%`;
}

/**
 * Memory given in MiB: 81 MiB, 1.9 GiB, 24 GiB.
 *
 * @param {number | null | undefined} value
 */
export function mebibytes(value) {
  if (!isNumber(value)) return odd(value);
  if (Math.abs(value) < 0.975 * 1024)
    return `${Math.abs(value) < 10 ? trim(value.toFixed(1)) : Math.round(value)}${NBSP}MiB`;
  const gibibytes = value / 1024;
  return `${gibibytes >= 99.95 ? Math.round(gibibytes) : trim(gibibytes.toFixed(1))}${NBSP}GiB`;
}

/**
 * A span of time: 12 s, 1 min 12 s, 14 min, 2 h 5 min, 3 d 4 h.
 *
 * @param {number | null | undefined} seconds
 */
export function duration(seconds) {
  if (!isNumber(seconds)) return odd(seconds);
  if (seconds < 0.95) return `<${NBSP}1${NBSP}s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole}${NBSP}s`;
  if (whole < 600) return pair(Math.floor(whole / 60), "min", whole % 60, "s");
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes}${NBSP}min`;
  if (minutes < 24 * 60) return pair(Math.floor(minutes / 60), "h", minutes % 60, "min");
  const hours = Math.round(seconds / 3600);
  return pair(Math.floor(hours / 24), "d", hours % 24, "h");
}

/**
 * @param {number} large
 * @param {string} largeUnit
 * @param {number} small
 * @param {string} smallUnit
 */
function pair(large, largeUnit, small, smallUnit) {
  const rest = small ? ` ${small}${NBSP}${smallUnit}` : "";
  return `${large}${NBSP}${largeUnit}${rest}`;
}

/**
 * A count with thousands: 12,345.
 *
 * @param {number | null | undefined} value
 */
export function count(value) {
  return isNumber(value) ? minus(group(String(Math.round(value)))) : odd(value);
}

/**
 * With a capital first letter.
 *
 * @param {string} text
 */
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/**
 * A count of things: 1 step, 12 steps.
 *
 * @param {number} n
 * @param {string} one
 */
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

/**
 * Images a second: 212 img/s, 8.4 img/s.
 *
 * @param {number | null | undefined} value
 */
export function speed(value) {
  if (!isNumber(value)) return odd(value);
  const text = value >= 99.5 ? group(String(Math.round(value))) : value.toPrecision(value >= 9.95 ? 3 : 2);
  return `${text}${NBSP}img/s`;
}

/**
 * How long ago, coarsely.
 *
 * @param {number | null | undefined} seconds
 */
export function ago(seconds) {
  if (!isNumber(seconds)) return "";
  if (seconds < 45) return "just now";
  if (seconds < 5400) return `${Math.max(1, Math.round(seconds / 60))}${NBSP}min ago`;
  if (seconds < 36 * 3600) return `${Math.round(seconds / 3600)}${NBSP}h ago`;
  return `${Math.round(seconds / 86400)}${NBSP}d ago`;
}

/** @type {Record<string, (value: number | null | undefined) => string>} */
const KINDS = {
  number,
  rate,
  count,
  speed,
  fraction: percent,
  memory: mebibytes,
  seconds: duration,
};

/**
 * A value of one of the kinds of `KINDS`, for a person.
 *
 * @param {string} kind
 * @param {number | null | undefined} given
 */
export function value(kind, given) {
  return (KINDS[kind] ?? number)(given);
}

/**
 * The same for an axis, where neighbours share their digits.
 *
 * @param {string} kind
 * @param {number} given
 * @param {number=} digits Significant ones, where fewer would not tell neighbours apart.
 */
export function axis(kind, given, digits) {
  if (kind === "fraction" && digits !== undefined) return `${tick(given * 100, digits)}${NBSP}%`;
  if (kind === "fraction") return `${trim((given * 100).toFixed(2))}${NBSP}%`;
  if (kind === "memory" && Math.abs(given) >= 1024) return `${trim((given / 1024).toFixed(2))}${NBSP}GiB`;
  if (kind === "memory" || kind === "rate" || kind === "seconds") return given === 0 ? "0" : value(kind, given);
  return tick(given, digits);
}

/**
 * A field of a CSV file: full precision, quoted where needed.
 *
 * @param {number | string | null | undefined} given
 */
export function csv(given) {
  if (given === null || given === undefined) return "";
  if (typeof given === "number") return Number.isFinite(given) ? String(Number(given.toPrecision(9))) : String(given);
  return /[",\n\r]/.test(given) ? `"${given.replaceAll('"', '""')}"` : given;
}
