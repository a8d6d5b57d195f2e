// What the user set on the charts: kept in the address, so that a reload or a link shows the same; zoom included.

/** @type {Omit<ChartSettings, "run">} */
const DEFAULTS = {
  axis: "step", // step | epoch | time
  smooth: 30, // 0 to 100
  clip: false,
  log: [], // ids of charts with a logarithmic axis
  hide: [], // ids of lines
  table: [], // ids of charts with their points as a table below
  zoom: null, // [first, last] step
  zoomY: {}, // id of chart -> [low, high]
  open: [], // ids of parts unfolded
};
const AXES = /** @type {const} */ (["step", "epoch", "time"]);

/** @type {(text: string | null | undefined) => [number, number] | null} */
const asRange = (text) => {
  const [low, high] = (text ?? "").split("~").map(Number);
  return Number.isFinite(low) && Number.isFinite(high) && high > low ? [low, high] : null;
};
/** @param {string | null} text */
const asList = (text) => (text ? text.split(",").filter(Boolean) : []);
/** @param {number} x */
const digits = (x) => String(Number(x.toPrecision(6)));

/**
 * Settings in an address's query; whatever is odd in it falls back to the default.
 *
 * @param {string} query
 * @returns {ChartSettings}
 */
export function fromQuery(query) {
  const q = new URLSearchParams(query);
  const smooth = q.has("smooth") ? Number(q.get("smooth")) : DEFAULTS.smooth;
  /** @type {Record<string, [number, number]>} */
  const zoomY = {};
  for (const part of asList(q.get("zoomy"))) {
    const [id, range] = part.split(":");
    const found = asRange(range);
    if (found) zoomY[id] = found;
  }
  return {
    run: q.get("run"),
    axis: AXES.find((axis) => axis === q.get("axis")) ?? DEFAULTS.axis,
    smooth: smooth >= 0 && smooth <= 100 ? smooth : DEFAULTS.smooth,
    clip: q.get("clip") === "1",
    log: asList(q.get("log")),
    hide: asList(q.get("hide")),
    table: asList(q.get("table")),
    zoom: asRange(q.get("zoom")),
    zoomY,
    open: asList(q.get("open")),
  };
}

/**
 * The query with the settings in it; what is as by default is left out, and what others put there stays.
 *
 * @param {ChartSettings} settings
 * @param {string} query
 */
export function toQuery(settings, query) {
  const q = new URLSearchParams(query);
  /** @type {(name: string, text: string | null) => void} */
  const put = (name, text) => (text ? q.set(name, text) : q.delete(name));
  /** @param {[number, number]} range */
  const range = ([low, high]) => `${digits(low)}~${digits(high)}`;
  put("run", settings.run);
  put("axis", settings.axis === DEFAULTS.axis ? "" : settings.axis);
  put("smooth", settings.smooth === DEFAULTS.smooth ? "" : String(settings.smooth));
  put("clip", settings.clip ? "1" : "");
  put("log", settings.log.join(","));
  put("hide", settings.hide.join(","));
  put("table", settings.table.join(","));
  put("zoom", settings.zoom ? range(settings.zoom) : "");
  put(
    "zoomy",
    Object.entries(settings.zoomY)
      .map(([id, r]) => `${id}:${range(r)}`)
      .join(","),
  );
  put("open", settings.open.join(","));
  const text = q.toString().replaceAll("%2C", ",").replaceAll("%2F", "/").replaceAll("%3A", ":").replaceAll("%7E", "~");
  return text ? `?${text}` : "";
}

/** The settings of this page; `set` tells listeners what changed and writes the address (browsers limit how often). */
export class Settings {
  constructor() {
    this.values = fromQuery(location.search);
    /** @type {Set<(changes: Partial<ChartSettings>) => void>} */
    this.listeners = new Set();
    /** @type {number | undefined} */
    this.timer = undefined;
    addEventListener("pagehide", () => this.write());
  }

  /** @param {Partial<ChartSettings>} changes */
  set(changes) {
    Object.assign(this.values, changes);
    this.timer ??= setTimeout(() => this.write(), 250);
    for (const listener of this.listeners) listener(changes);
  }

  /**
   * Take all settings from an address's query.
   *
   * @param {string} query
   */
  load(query) {
    this.set(fromQuery(query));
    this.write();
  }

  /**
   * Put `name` into the list `what`, or take it out.
   *
   * @param {"log" | "hide" | "table" | "open"} what
   * @param {string} name
   * @param {boolean} isIn
   */
  mark(what, name, isIn) {
    const others = this.values[what].filter((other) => other !== name);
    this.set({ [what]: isIn ? [...others, name] : others });
  }

  /**
   * @param {"log" | "hide" | "table" | "open"} what
   * @param {string} name
   */
  has(what, name) {
    return this.values[what].includes(name);
  }

  write() {
    clearTimeout(this.timer);
    this.timer = undefined;
    const query = toQuery(this.values, location.search);
    if (query !== location.search) history.replaceState(history.state, "", location.pathname + query + location.hash);
  }
}
