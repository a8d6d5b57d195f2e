// Shapes that several scripts share: what the app answers, what a page keeps in `window`, as much of Plotly as is used.

/** One curve of a payload or of the page: `y` is null where a value is not finite; `lo`, `hi` only where it is thinned. */
interface Curve {
  level: number;
  x: number[];
  t: number[];
  y: (number | null)[];
  lo: (number | null)[] | null;
  hi: (number | null)[] | null;
}

/** Curves that share their points, as `api/live` tells them; see fine_tuner/runs/view/live.py. */
interface Portion {
  keys: string[];
  level: number;
  x: number[];
  t: number[];
  y: (number | null)[][];
  lo?: ((number | null)[] | null)[];
  hi?: ((number | null)[] | null)[];
}

/** Status and progress of a run, as `api/live` tells them; what has no value is left out. */
interface RunState {
  status: string;
  phase?: string;
  step?: number;
  total?: number;
  epoch?: number;
  epochs?: number;
  per_epoch?: number;
  rate?: number;
  eta?: number;
  eta_min?: boolean;
  seconds?: number;
  age?: number;
  best?: [key: string, value: number, epoch: number, text: string];
  text?: string;
  marks?: number;
  messages?: number;
  queue?: number;
  requests?: string[];
}

/** Answer of `api/live`. While a long log is read, `reading` says which part of it has been. */
interface LiveAnswer {
  cursor: string;
  reset: boolean;
  state: RunState;
  curves: Portion[];
  beat?: number;
  reading?: number;
}

/** A run as `api/runs` lists it. Times in seconds; `created` and `ended` since 1970. */
interface RunRow {
  id: string;
  title: string;
  status: string;
  created: number;
  ended?: number | null;
  seconds?: number;
  has_weights?: boolean;
  data: string;
  model: string;
  tags: string[];
  note: string;
  text: string;
  problem?: string;
  queue?: number | null;
  best_key?: string | null;
  best_value?: number | null;
  best_epoch?: number | null;
  spark: number[];
  spark_key: string;
  epoch?: number;
  epochs?: number;
}

/** How a metric is read; see fine_tuner/config/metric_specs.py. */
interface MetricSpec {
  label: string;
  kind: string;
  bounds: [number | null, number | null];
  higher_is_better?: boolean | null;
  /** The fraction of images that are right, so it has a binomial interval. */
  is_per_image?: boolean;
  /** An error in the unit of the numbers that are predicted. */
  is_in_target_units?: boolean;
}

/** What the app chose for a setting left empty, and why; see fine_tuner/tasks/defaults.py. */
interface Chosen {
  path: string;
  value: string | number;
  reason: string;
}

/** A button below a run; see fine_tuner/runs/view/next_steps.py. */
interface NextStep {
  action: string;
  label: string;
  settings?: Record<string, string | number>;
  focus?: string;
  epochs?: number;
}

/** What the live panel tells its listeners. */
interface News {
  run: string | null;
  state: RunState | null;
  runs: RunRow[];
}

/** What a page calls to steer the live panel; described in live/live.js. */
interface Live {
  show(run: string): void;
  go(query: string): Promise<void> | undefined;
  isActive(): boolean;
  current(): string | null;
  state(): RunState | null;
  refresh(): Promise<void>;
  lookForRuns(): Promise<void> | undefined;
  news(): News | null;
  onChange(listener: (news: News) => void): () => void;
}

/** As much of plotly.js as the charts call; data and layout are its own affair. */
interface Plotly {
  newPlot(element: Element, data: object[], layout: object, config?: object): Promise<unknown>;
  react(element: Element, data: object[], layout: object, config?: object): Promise<unknown>;
  extendTraces(element: Element, update: object, indices: number[]): Promise<unknown>;
  relayout(element: Element, layout: object): Promise<unknown>;
  update(element: Element, data: object, layout: object, indices?: number[]): Promise<unknown>;
  restyle(element: Element, data: object, indices?: number[]): Promise<unknown>;
  purge(element: Element): void;
  toImage(figure: object, options: object): Promise<string>;
}

/** What the user set on the charts; kept in the address. */
interface ChartSettings {
  run: string | null;
  axis: "step" | "epoch" | "time";
  /** 0 to 100 */
  smooth: number;
  clip: boolean;
  /** Ids of charts with a logarithmic axis. */
  log: string[];
  /** Ids of lines. */
  hide: string[];
  /** Ids of charts with their points as a table below. */
  table: string[];
  /** First and last step. */
  zoom: [number, number] | null;
  /** Range of the vertical axis by id of the chart. */
  zoomY: Record<string, [number, number]>;
  /** Ids of parts unfolded. */
  open: string[];
}

/** Concrete colours by meaning, and the font; see base/palette.js. */
type Palette = Record<
  | "train"
  | "validation"
  | "head"
  | "backbone"
  | "process"
  | "allocated"
  | "reserved"
  | "device"
  | "speed"
  | "norm"
  | "plan"
  | "text"
  | "subdued"
  | "grid"
  | "axis"
  | "surface"
  | "font",
  string
>;

/** State of the set-up as the server gives it; see `state_of` in fine_tuner/ui/form/form.py. */
interface FormState {
  errors: Record<string, string>;
  sections: Record<string, string>;
  wrong: string[];
  argv: string[] | null;
  command: string | null;
  check: string[] | null;
  hidden: string[];
  notice?: string;
  asked?: number;
  /** Number of the event that this answers, and ids of the fields that the answer gives a value. */
  event?: number;
  filled?: string[];
  place: string;
  task: string;
  /** What the form says of a loss of the user's own, and of the second one. */
  code?: {
    task: string;
    argv: string[] | null;
    parts: { section: string; file: string; entry: string; keep: string[] }[];
  } | null;
}

/** What the parts of the set-up tell each other; what each event says is in setup/form.js. */
interface PageEvents {
  addEventListener(type: string, listener: (event: CustomEvent) => void): void;
  removeEventListener(type: string, listener: (event: CustomEvent) => void): void;
  dispatchEvent(event: Event): boolean;
}

interface DocumentEventMap {
  /** Id of a run whose settings are to fill the set-up. */
  "ft-clone": CustomEvent<string>;
  "ft-next": CustomEvent<{ run: string; step: NextStep }>;
  "ft-try": CustomEvent<string>;
  "ft-results": CustomEvent<string>;
}

interface Window {
  FTLive: Live;
  FTChart: { preview: (element: HTMLElement, value: object) => unknown };
  /** Plotly as the page loaded it: another component may replace `window.Plotly`. */
  FTPlotly?: Plotly;
  Plotly?: Plotly;
  /** What an event of the set-up takes to the server, completed by the page. */
  FTStamp: (values: string[]) => string[];
  /** Hears what the editor for a loss of the user's own holds. */
  FTLoss: { typed(text: string | null): void };
  gradio_config?: { root: string };
}
