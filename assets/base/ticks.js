// Ranges and ticks of an axis. Whatever the values are, a range can be drawn and its ticks are few: no loop here runs over
// what a value says, only over a count that was bounded before.

/** Largest size of a number on an axis: differences of two of them are finite. */
const LARGEST = 1e300;
/** Least span of a range as a share of its numbers' size: ticks have twelve digits, so ten of them still differ. */
const LEAST_SPAN = 1e-9;
/** Most ticks of an axis; a screen has room for a third of it. */
export const MOST_TICKS = 200;

const STEPS = [1, 2, 2.5, 5, 10];
const SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400];

/**
 * Whether two values are apart as far as an axis can tell.
 *
 * @param {number} low
 * @param {number} high
 */
export function isApart(low, high) {
  return high - low > Math.max(Math.abs(low), Math.abs(high), 1e-290) * LEAST_SPAN;
}

/**
 * The range as it can be drawn: finite, ends in order and far enough apart for ticks between them; above 0 if `isLog`.
 *
 * @param {number[]} range
 * @param {boolean} isLog
 * @returns {[number, number]}
 */
export function drawable(range, isLog = false) {
  if (range.some(Number.isNaN)) return isLog ? [0.1, 1] : [0, 1];
  const ends = range.map((end) => Math.min(LARGEST, Math.max(-LARGEST, end)));
  let [low, high] = [Math.min(...ends), Math.max(...ends)];
  if (isLog) {
    if (!(high > 1 / LARGEST)) return [0.1, 1];
    low = low > 0 ? Math.max(low, 1 / LARGEST) : Math.max(high * 1e-3, 1 / LARGEST);
    return high / low > 1 + LEAST_SPAN ? [low, high] : [low * (1 - LEAST_SPAN), high * (1 + LEAST_SPAN)];
  }
  if (isApart(low, high)) return [low, high];
  const half = Math.max(Math.abs(low), Math.abs(high)) * LEAST_SPAN || 0.5;
  return [low - half, high + half];
}

/**
 * The distance of about `wanted` ticks over `span`, as suits the kind of number.
 *
 * @param {number} span
 * @param {number} wanted
 */
export function tickDistance(span, wanted, kind = "number") {
  const raw = span / Math.max(1, wanted);
  if (!(raw > 0)) return 1;
  if (kind === "seconds" && raw < 86400) return SECONDS.find((s) => s >= raw) ?? 86400;
  if (kind === "memory") return 2 ** Math.ceil(Math.log2(raw));
  const power = 10 ** Math.floor(Math.log10(raw));
  const factor = STEPS.find((f) => f * power >= raw * 0.999) ?? 10;
  const distance = factor * power;
  return kind === "count" ? Math.max(1, Math.ceil(distance)) : distance;
}

/**
 * Round numbers from `low` to `high`, about `wanted` of them; none where the range is too narrow for its numbers' size.
 *
 * @param {number} low
 * @param {number} high
 * @param {number} wanted
 * @param {string=} kind
 */
export function linearTicks(low, high, wanted, kind) {
  const distance = tickDistance(high - low, wanted, kind);
  const first = Math.ceil(low / distance - 1e-9);
  const count = Math.floor(high / distance + 1e-9) - first + 1;
  if (!(count >= 1 && count <= MOST_TICKS && isApart(low, high))) return [];
  return Array.from({ length: count }, (_, i) => Number(((first + i) * distance).toPrecision(12)));
}

/**
 * Powers of ten from `low` to `high` (both > 0), with 2 and 5 between where that leaves few.
 *
 * @param {number} low
 * @param {number} high
 */
export function logTicks(low, high) {
  const [from, to] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  if (!Number.isFinite(to - from)) return [];
  const every = Math.max(1, Math.ceil((to - from) / 6));
  const factors = Math.log10(high / low) <= 2.2 ? [1, 2, 5] : [1];
  const powers = Array.from({ length: Math.floor((to - from) / every) + 1 }, (_, i) => 10 ** (from + i * every));
  const ticks = powers.flatMap((power) => factors.map((factor) => Number((factor * power).toPrecision(6))));
  const inside = ticks.filter((t) => t >= low * 0.999 && t <= high * 1.001);
  return inside.length >= 2 ? inside : linearTicks(low, high, 4);
}

/**
 * Whole numbers from `low` to `high`, at most `most` of them: the powers of ten of an axis that counts in those.
 *
 * @param {number} low
 * @param {number} high
 * @param {number} most
 */
export function wholeTicks(low, high, most) {
  const [first, last] = [Math.ceil(low), Math.floor(high)];
  if (!(last >= first) || !Number.isFinite(last - first)) return [];
  const stride = Math.max(1, Math.ceil((last - first + 1) / Math.max(2, Math.min(most, MOST_TICKS))));
  return Array.from({ length: Math.floor((last - first) / stride) + 1 }, (_, i) => first + i * stride);
}

/**
 * A range with some air around [low, high], on round numbers so that it moves seldom.
 *
 * `bounds` are values that cannot be passed (0 and 1 for a fraction); null where there are none.
 *
 * @param {number[]} extent
 * @param {{ kind?: string, bounds?: (number | null)[], log?: boolean }} options
 * @returns {[number, number]}
 */
export function airyRange([low, high], { kind = "number", bounds = [null, null], log = false } = {}) {
  if (!(high >= low)) return log ? [0.1, 1] : [bounds[0] ?? 0, bounds[1] ?? 1];
  if (log) {
    [low, high] = drawable([low, high], true);
    const air = Math.max(0.05, (Math.log10(high) - Math.log10(low)) * 0.06);
    return drawable([10 ** (Math.log10(low) - air), 10 ** (Math.log10(high) + air)], true);
  }
  [low, high] = [Math.max(low, -LARGEST), Math.min(high, LARGEST)];
  if (low > 0 && (kind === "memory" || low < 0.25 * high)) return airyRange([0, high], { kind, bounds });
  const span = isApart(low, high) ? high - low : Math.abs(high) * 0.2 || 1;
  const distance = tickDistance(span, 5, kind) / 2;
  let bottom = low === 0 ? 0 : Math.floor((low - span * 0.04) / distance) * distance;
  let top = Math.ceil((high + span * 0.06) / distance) * distance;
  if (bounds[0] !== null && low >= bounds[0]) bottom = Math.max(bottom, bounds[0]);
  if (bounds[1] !== null && high <= bounds[1]) top = Math.min(top, bounds[1] + (bounds[1] - bottom) * 0.03);
  return drawable([bottom, top]);
}

/** Most ends of epochs that are lines on a chart; more would be a hatching. */
const MOST_EPOCHS = 40;

/**
 * The steps from `first` to `last` at which epochs end; none where there are too many to tell apart.
 *
 * @param {number} first
 * @param {number} last
 * @param {number} perEpoch Steps of an epoch.
 */
export function epochEnds(first, last, perEpoch) {
  const from = Math.ceil(first / perEpoch);
  const count = Math.floor(last / perEpoch) - from + 1;
  if (!(perEpoch > 0 && count >= 1 && count <= MOST_EPOCHS)) return [];
  return Array.from({ length: count }, (_, i) => (from + i) * perEpoch);
}
