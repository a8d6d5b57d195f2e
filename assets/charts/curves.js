// The points of one run as the page holds them: everything at a reset, then appended.

/**
 * One curve: `x` steps done, `t` seconds at work, `y` values (null: not finite), `lo` and `hi` where it is thinned.
 *
 * @param {number} level
 * @returns {Curve}
 */
function emptyCurve(level) {
  return { level, x: [], t: [], y: [], lo: level ? [] : null, hi: level ? [] : null };
}

/**
 * The same curve in wider buckets; a last one that is not full is dropped, since it comes again. Of rates the last counts.
 *
 * @param {Curve} curve
 * @param {number} level
 * @param {boolean} isRate
 */
function coarser(curve, level, isRate) {
  const width = 2 ** (level - curve.level);
  const made = emptyCurve(level);
  const [lo, hi] = [made.lo ?? [], made.hi ?? []];
  for (let from = 0; from + width <= curve.x.length; from += width) {
    /** @param {(number | null)[]} part */
    const values = (part) => part.slice(from, from + width).filter((y) => y !== null);
    const ys = values(curve.y);
    made.x.push(curve.x[from + width - 1]);
    made.t.push(curve.t[from + width - 1]);
    if (isRate) made.y.push(curve.y[from + width - 1]);
    else made.y.push(ys.length ? Number((ys.reduce((sum, y) => sum + y, 0) / ys.length).toPrecision(5)) : null);
    lo.push(ys.length ? values(curve.lo ?? curve.y).reduce((a, b) => Math.min(a, b)) : null);
    hi.push(ys.length ? values(curve.hi ?? curve.y).reduce((a, b) => Math.max(a, b)) : null);
  }
  return made;
}

/**
 * Append `more`; one by one, since a call takes no more than some 100,000 arguments.
 *
 * @template T
 * @param {T[]} values
 * @param {T[]} more
 */
function extend(values, more) {
  for (const value of more) values.push(value);
}

export class Curves {
  constructor() {
    /** @type {Map<string, Curve>} */
    this.byKey = new Map();
    this.total = 0;
    this.perEpoch = 0;
    this.clock = { x: [0], t: [0] };
  }

  clear() {
    this.byKey = new Map();
    this.total = 0;
    this.perEpoch = 0;
    this.clock = { x: [0], t: [0] };
  }

  /**
   * Whether a payload's buckets are finer than those held: then everything has to be asked for anew.
   *
   * @param {Pick<LiveAnswer, "reset" | "curves">} answer
   */
  isTooCoarse({ reset, curves }) {
    return !reset && curves.some(({ keys, level }) => keys.some((key) => (this.byKey.get(key)?.level ?? 0) > level));
  }

  /**
   * Take a payload's curves; returns the keys that got points, or null if everything is new.
   *
   * @param {Pick<LiveAnswer, "reset" | "curves" | "state">} answer
   */
  take({ reset, curves, state }) {
    const before = new Set(this.byKey.keys());
    if (reset) this.clear();
    let isMerged = false;
    this.total = state.total ?? this.total;
    this.perEpoch = state.per_epoch ?? this.perEpoch;
    const changed = new Set();
    for (const portion of curves) {
      portion.keys.forEach((key, at) => {
        const curve = this.byKey.get(key);
        if (curve && portion.level > curve.level) {
          this.byKey.set(key, coarser(curve, portion.level, key.startsWith("train/lr")));
          isMerged = true;
        }
        this.append(key, portion, at);
        changed.add(key);
      });
      this.tell(portion);
    }
    const isNew = reset || isMerged || [...changed].some((key) => !before.has(key));
    return isNew ? null : changed;
  }

  /**
   * @param {string} key
   * @param {Portion} portion
   * @param {number} at Place of the key in the portion.
   */
  append(key, portion, at) {
    const curve = this.byKey.get(key) ?? emptyCurve(portion.level);
    this.byKey.set(key, curve);
    extend(curve.x, portion.x);
    extend(curve.t, portion.t);
    extend(curve.y, portion.y[at]);
    if (curve.lo && curve.hi) {
      extend(curve.lo, portion.lo?.[at] ?? portion.y[at]);
      extend(curve.hi, portion.hi?.[at] ?? portion.y[at]);
    }
  }

  /**
   * Keep the clock: when which step was done. Of curves that begin together the one with most points tells it.
   *
   * @param {Portion} portion
   */
  tell({ x, t }) {
    const { clock } = this;
    const isFiner = x.length > clock.x.length && x[0] <= (clock.x[1] ?? Infinity);
    if (isFiner) this.clock = { x: [0, ...x], t: [0, ...t] };
    else {
      x.forEach((step, i) => {
        if (step > clock.x[clock.x.length - 1]) {
          clock.x.push(step);
          clock.t.push(t[i]);
        }
      });
    }
  }

  /** @param {string} key */
  get(key) {
    return this.byKey.get(key);
  }

  /** @param {string} prefix */
  keys(prefix) {
    return [...this.byKey.keys()].filter((key) => key.startsWith(prefix));
  }

  get lastStep() {
    let last = 0;
    for (const curve of this.byKey.values()) last = Math.max(last, curve.x.at(-1) ?? 0);
    return last;
  }

  get isEmpty() {
    return this.byKey.size === 0;
  }

  // ------------------------------------------------------------------ axes
  /**
   * Place on the axis of a point: its step, epoch or time.
   *
   * @param {string} axis
   * @param {number} step
   * @param {number} seconds At work until then; only the axis of time asks.
   */
  place(axis, step, seconds = Number.NaN) {
    if (axis === "epoch") return step / Math.max(1, this.perEpoch);
    return axis === "time" ? seconds : step;
  }

  /**
   * Places of points `from` on.
   *
   * @param {string} axis
   * @param {Curve} curve
   */
  places(axis, curve, from = 0) {
    if (axis === "time") return curve.t.slice(from);
    const divisor = axis === "epoch" ? Math.max(1, this.perEpoch) : 1;
    return divisor === 1 ? curve.x.slice(from) : curve.x.slice(from).map((step) => step / divisor);
  }

  /**
   * Place of a step that need not be recorded; steps to come are placed by the pace so far.
   *
   * @param {string} axis
   * @param {number} step
   */
  placeOfStep(axis, step) {
    return axis === "time" ? interpolate(this.clock.x, this.clock.t, step) : this.place(axis, step);
  }

  /**
   * Step at a place.
   *
   * @param {string} axis
   * @param {number} place
   */
  stepAt(axis, place) {
    if (axis === "time") return interpolate(this.clock.t, this.clock.x, place);
    return axis === "epoch" ? place * Math.max(1, this.perEpoch) : place;
  }
}

/**
 * y at `x` on the line through the sorted points, continued beyond them by their overall slope.
 *
 * @param {number[]} xs
 * @param {number[]} ys
 * @param {number} x
 */
export function interpolate(xs, ys, x) {
  const last = xs.length - 1;
  if (last < 1) return ys[0] ?? 0;
  if (x >= xs[last]) return ys[last] + (x - xs[last]) * ((ys[last] - ys[0]) / (xs[last] - xs[0] || 1));
  let low = 0;
  let high = last;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (xs[middle] <= x) low = middle;
    else high = middle;
  }
  const span = xs[high] - xs[low];
  return span > 0 ? ys[low] + ((x - xs[low]) / span) * (ys[high] - ys[low]) : ys[low];
}
