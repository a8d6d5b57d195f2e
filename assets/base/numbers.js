// Arithmetic of the charts: smoothing, intervals, ranges and ticks. Pure functions over arrays of numbers.

/**
 * Index of the first element of the sorted `xs` that is > `x`.
 *
 * @param {number[]} xs
 * @param {number} x
 */
export function upperBound(xs, x) {
  let low = 0;
  let high = xs.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (xs[middle] <= x) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * Exponential mean over steps, free of start-up bias: the weight of a point falls by e every `tau` steps.
 *
 * The weight follows the distance in steps, not the count of points, so that a thinned curve is smoothed as the whole
 * one is. Points that are no numbers leave it as it was.
 */
export class Smoother {
  /** @param {number} tau */
  constructor(tau) {
    this.tau = tau;
    this.sum = 0;
    this.weight = 0;
    /** @type {number | null} */
    this.step = null;
  }

  /**
   * @param {number} step
   * @param {number | null} y
   */
  push(step, y) {
    if (y === null || !Number.isFinite(y)) return null;
    if (!(this.tau > 0)) return y;
    const keep = Math.exp(-Math.max(1e-9, this.step === null ? 1 : step - this.step) / this.tau);
    this.sum = keep * this.sum + (1 - keep) * y;
    this.weight = keep * this.weight + (1 - keep);
    this.step = step;
    return this.sum / this.weight;
  }
}

/**
 * Steps over which `percent` (0 to 100) smooths a run of `total` steps; fine at the low end of the slider.
 *
 * @param {number} percent
 * @param {number} total
 */
export function smoothingSteps(percent, total) {
  return percent > 0 ? Math.max(0.3, (percent / 100) ** 2 * 0.4 * total) : 0;
}

/**
 * 95 % interval of a proportion `p` seen in `n` trials. Source: Wilson 1927.
 *
 * @param {number} p
 * @param {number} n
 */
export function wilson(p, n, z = 1.96) {
  if (!(n > 0) || !Number.isFinite(p)) return [p, p];
  const scale = 1 / (1 + (z * z) / n);
  const centre = scale * (p + (z * z) / (2 * n));
  const half = scale * z * Math.sqrt((p * (1 - p)) / n + (z * z) / (4 * n * n));
  return [Math.max(0, centre - half), Math.min(1, centre + half)];
}

/**
 * The `q` quantile of finite values; null if there are none.
 *
 * @param {number[]} values
 * @param {number} q
 */
export function quantile(values, q) {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  if (!sorted.length) return null;
  const place = (sorted.length - 1) * q;
  const low = Math.floor(place);
  return sorted[low] + (sorted[Math.min(low + 1, sorted.length - 1)] - sorted[low]) * (place - low);
}

/**
 * Bounds beyond which points are outliers: three times the central 90 % beyond it. Null where nothing is.
 *
 * @param {number[]} values
 * @returns {[number, number] | null}
 */
export function outlierBounds(values) {
  const low = quantile(values, 0.05);
  const high = quantile(values, 0.95);
  if (low === null || high === null || !(high > low)) return null;
  return [low - (high - low), high + (high - low)];
}

/**
 * Least of `total / 2**k` that holds `reached`: an axis that grows seldom and is always at least half full.
 *
 * @param {number} reached
 * @param {number} total
 */
export function growingEnd(reached, total) {
  if (!(total > 0) || reached >= total) return Math.max(reached, 1);
  let end = total;
  while (end / 2 >= reached && end / 2 >= 8) end /= 2;
  return end;
}

const STEPS = [1, 2, 2.5, 5, 10];
const SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400];

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
 * Round numbers from `low` to `high`, about `wanted` of them.
 *
 * @param {number} low
 * @param {number} high
 * @param {number} wanted
 * @param {string=} kind
 */
export function linearTicks(low, high, wanted, kind) {
  const distance = tickDistance(high - low, wanted, kind);
  const ticks = [];
  for (let i = Math.ceil(low / distance - 1e-9); i * distance <= high + distance * 1e-9; i++) {
    ticks.push(Number((i * distance).toPrecision(12)));
  }
  return ticks;
}

/**
 * Powers of ten from `low` to `high` (both > 0), with 2 and 5 between where that leaves few.
 *
 * @param {number} low
 * @param {number} high
 */
export function logTicks(low, high) {
  const from = Math.floor(Math.log10(low));
  const to = Math.ceil(Math.log10(high));
  const every = Math.max(1, Math.ceil((to - from) / 6));
  const factors = Math.log10(high / low) <= 2.2 ? [1, 2, 5] : [1];
  const ticks = [];
  for (let power = from; power <= to; power += every) {
    for (const factor of factors) ticks.push(Number((factor * 10 ** power).toPrecision(6)));
  }
  const inside = ticks.filter((t) => t >= low * 0.999 && t <= high * 1.001);
  return inside.length >= 2 ? inside : linearTicks(low, high, 4);
}

/**
 * [least, greatest] of the finite values at `from` to `to` of each array, widened by those given in `start`.
 *
 * @param {(number | null)[][]} arrays
 * @param {number} from
 * @param {number} to
 */
export function extent(arrays, from, to, start = [Infinity, -Infinity], above = -Infinity) {
  let [low, high] = start;
  for (const ys of arrays) {
    for (let i = from; i < Math.min(to, ys.length); i++) {
      const y = ys[i];
      if (y === null || !Number.isFinite(y) || y <= above) continue;
      if (y < low) low = y;
      if (y > high) high = y;
    }
  }
  return [low, high];
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
    const air = Math.max(0.05, (Math.log10(high) - Math.log10(low)) * 0.06);
    return [10 ** (Math.log10(low) - air), 10 ** (Math.log10(high) + air)];
  }
  if (low > 0 && (kind === "memory" || low < 0.25 * high)) return airyRange([0, high], { kind, bounds });
  const span = high - low || Math.abs(high) * 0.2 || 1;
  const distance = tickDistance(span, 5, kind) / 2;
  let bottom = low === 0 ? 0 : Math.floor((low - span * 0.04) / distance) * distance;
  let top = Math.ceil((high + span * 0.06) / distance) * distance;
  if (bounds[0] !== null && low >= bounds[0]) bottom = Math.max(bottom, bounds[0]);
  if (bounds[1] !== null && high <= bounds[1]) top = Math.min(top, bounds[1] + (bounds[1] - bottom) * 0.03);
  return [bottom, top];
}
