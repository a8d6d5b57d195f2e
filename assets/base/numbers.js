// Arithmetic of the charts: smoothing, intervals, outliers. Pure functions over arrays of numbers; axes are in ticks.js.

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
    this.mean = 0;
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
    const given = -Math.expm1(-Math.max(1e-9, this.step === null ? 1 : step - this.step) / this.tau);
    this.weight += given * (1 - this.weight);
    const share = given / this.weight; // 1 at the first point, so that the mean of equal values is that value, to the bit
    const way = y - this.mean;
    this.mean = Number.isFinite(way) ? this.mean + share * way : (1 - share) * this.mean + share * y;
    this.step = step;
    return this.mean;
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
  if (!(total > 0) || !Number.isFinite(total) || reached >= total) return Math.max(reached, 1);
  let end = total;
  while (end / 2 >= reached && end / 2 >= 8) end /= 2;
  return end;
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
