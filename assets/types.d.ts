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
  timed?: number;
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
  /** Whether viewers may try its model; told to them alone. */
  can_try?: boolean;
  best_key?: string | null;
  best_value?: number | null;
  best_epoch?: number | null;
  spark: number[];
  spark_key: string;
  epoch?: number;
  epochs?: number;
}

/** A network as the picker lists it; `accuracy` in percent, of the task's kind. */
interface NetworkRow {
  name: string;
  parameters: number;
  gflops: number | null;
  size_mib: number | null;
  accuracy: number | null;
  is_cached: boolean;
}

/** When a run validated, and when that was written; see fine_tuner/runs/examples.py. */
interface ExampleValidation {
  name: string;
  step: number;
  epoch: number;
  made: number;
}

/** The pictures that a run keeps its answers of; what is true of each is of its kind. */
interface ExamplesAbout {
  kind: "class" | "labels" | "numbers" | "mask";
  names: string[];
  side: number;
  pictures: { file: string; true: unknown }[];
  points?: number[][];
  validations: ExampleValidation[];
  legend: { name: string; colour: string | null }[];
  made: number;
}

/** What a run said of them at a validation. */
interface ExamplesSaid {
  said: unknown[];
  points?: (number | string)[][];
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
  askUnseen(condition: () => boolean): void;
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

/** The charts of one run, as a chart asks them; see live/board.js. */
interface ChartBoard {
  run: string | null;
  title: string;
  state: Partial<RunState>;
  facts: RunFacts;
  curves: import("./charts/curves.js").Curves;
  settings: import("./base/settings.js").Settings;
  plotly: Plotly | null;
  palette: Palette;
  /** First and last place of the horizontal axis. */
  range: [number, number];
  readonly validates: boolean;
  readonly isActive: boolean;
  readonly scaleOfSteps: number;
  readonly axisLabel: string;
  curveFor(key: string): Curve | undefined;
  epochGrid(): number[];
  marks(): PlacedMark[];
  hover(place: number | null, chart: import("./charts/chart.js").Chart, how?: { isKey?: boolean }): void;
  zoom(x: number[] | null, y: number[] | null, id: string): void;
  resetZoom(id: string): void;
}

/** What a run says of itself before it trains, as far as the page reads it; see fine_tuner/runs/log/events.py. */
interface RunFacts {
  model?: string;
  device?: string;
  precision?: string;
  train_images?: number;
  val_images?: number;
  best_metric?: string;
  notices?: string[];
  groups?: string[];
  /** Planned rates of each group at `steps`, down to `lowest` where a metric decides. */
  schedule?: { steps: number[]; groups: Record<string, number[]>; lowest?: Record<string, number[]> };
  memory_forecast_mib?: number;
  metrics?: Record<string, MetricSpec>;
}

/** Something that happened at a step; a ghost is what another setting would have done. */
interface Mark {
  step: number;
  label: string;
  text?: string;
  time?: number;
  is_ghost?: boolean;
  isBest?: boolean;
}
type PlacedMark = Mark & { place: number };

/** An entry of a chart's legend; `dash` as in SVG. */
interface LegendEntry {
  id: string;
  label: string;
  color?: string;
  dash?: string;
  marker?: boolean;
  width?: number;
  hasValue?: boolean;
  isHidden?: boolean;
}

/** A line that a chart is to have: of the curve `key`, or with points of its own. */
interface LineSpec {
  id: string;
  /** Id of the legend entry that hides it; lines may share one. */
  legend: string;
  key?: string;
  /** Sorted places. */
  x?: number[];
  y?: (number | null)[];
  /** Lower and upper edge of a band around the line. */
  lo?: (number | null)[];
  hi?: (number | null)[];
  color: string;
  /** As in SVG. */
  dash?: string;
  shape?: string;
  symbol?: string;
  /** 0: only the band or the markers. */
  width?: number;
  opacity?: number;
  /** Opacity of the band. */
  fill?: number;
  marker?: boolean;
  kind?: string;
  /** Whether it is the smoothed curve. */
  smooth?: boolean;
  /** Whether least and greatest are drawn where the curve is thinned. */
  hasBand?: boolean;
  /** Images that a fraction is of: the line gets its 95 % band. */
  interval?: number;
  /** Whether the pointer reads it. */
  isReading?: boolean;
  /** Whether its outliers may be hidden. */
  isClipped?: boolean;
  /** Whether it is drawn anew with all new points. */
  isRebuilt?: boolean;
  /** False: no dot under the pointer. */
  hasDot?: boolean;
}

/** A line with its points; `at` and `bandAt` are its places among Plotly's traces, `done` the points taken so far. */
interface Line extends LineSpec {
  x: number[];
  y: (number | null)[];
  done?: number;
  at?: number;
  bandAt?: number;
  smoother?: import("./base/numbers.js").Smoother;
  isSparse?: boolean;
  markerSize?: number;
}

/** Points to append to a line. */
interface Addition {
  line: Line;
  x: number[];
  y: (number | null)[];
  lo?: (number | null)[];
  hi?: (number | null)[];
}

/** What a chart shows; see charts/specs.js. */
interface ChartSpec {
  id: string;
  title: string;
  /** Of its values, as base/format.js has them, unless its content says another. */
  kind: string;
  canLog?: boolean;
  key?: string;
  content(board: ChartBoard): ChartContent;
}

interface ChartContent {
  title: string;
  kind?: string;
  bounds: (number | null)[];
  /** Said while there are no points. */
  waiting?: string;
  lines: LineSpec[];
  entries: LegendEntry[];
  note?(): string;
  best?(): { x: number; y: number; color: string } | null;
  /** For a screen reader. */
  summary?(): string;
}

/** How a drawing is looked at. */
interface ChartView {
  range: [number, number];
  epochs: number[];
  axis: string;
  kind: string;
  bounds: (number | null)[];
  log: boolean;
  clip: boolean;
  zoomY: [number, number] | null;
  palette: Palette;
  /** Ids of legend entries. */
  hidden: Set<string>;
}

/** Who hears what a person does on a drawing. */
interface ChartListener {
  hover?(place: number | null, how?: { isKey?: boolean }): void;
  zoom?(range: { x: [number, number] | null; y: number[] | null }): void;
  reset?(): void;
  toggle?(id: string, isShown: boolean): void;
  key?(event: KeyboardEvent): void;
  hidden?(above: number, below: number): void;
}

/** Over a drawing, in shares of its width and height. */
interface OverlayDot {
  left: number;
  top: number;
  color: string;
}
interface OverlayMark {
  share: number;
  label: string;
  text?: string;
  is_ghost?: boolean;
  isBest?: boolean;
}

/** A chart that is drawn once; see charts/preview.js. */
interface PreviewSpec {
  id?: string;
  title?: string;
  kind?: string;
  axis?: string;
  height?: number;
  lines?: {
    label: string;
    color?: string;
    x: number[];
    y: (number | null)[];
    lo?: (number | null)[];
    hi?: (number | null)[];
    dash?: string;
    width?: number;
    marker?: boolean;
    opacity?: number;
    fill?: number;
  }[];
  epochs?: number[];
  marks?: { place: number; label: string; text?: string }[];
  range?: [number, number] | null;
  zoom?: [number, number] | null;
  pick?: ((place: number) => void) | null;
  zoomed?(range: [number, number] | null): void;
  hovered?(place: number | null): void;
  note?: string;
  unit?: string;
  log?: boolean;
  bounds?: (number | null)[];
}

/** Answer of `api/compare`; see fine_tuner/runs/view/compare.py. */
interface Compared {
  runs: { id: string; title: string; status: string; model: string; seconds: number }[];
  settings: { path: string; label: string; values: unknown[] }[];
  metrics: {
    key: string;
    label: string;
    best: (number | null)[];
    epochs: (number | null)[];
    higher_is_better: boolean;
    kind: string;
  }[];
  /** Over runs that differ in their seed alone. */
  repeats: { key: string; label: string; mean: number; sd: number; count: number }[];
  /** Of two runs: what they say of the same validation images. */
  paired?: {
    sentence: string;
    only_one?: number;
    only_other?: number;
    pictures?: { right: 0 | 1; index: [number, number]; true: string; said: [string, string] }[];
  };
}

/** What was said during a run. */
interface Message {
  time?: number;
  level: string;
  text: string;
  step?: number;
}

/** Where a run's time went; see fine_tuner/runs/view/time_spent.py. */
interface TimeShares {
  shares: { part: string; label: string; seconds: number; share: number }[];
  text: string;
}

/** Answer of `api/runs/ID`: what is known of a run besides its curves; see fine_tuner/ui/api/live.py. */
interface RunAbout {
  id: string;
  title: string;
  facts: RunFacts;
  messages: Message[];
  marks: Mark[];
  failure: { text: string; advice?: string; says_what_to_do?: boolean; log?: string[] } | null;
  can_resume: boolean;
  has_weights: boolean;
  time?: TimeShares | null;
  /** What to do next; see fine_tuner/runs/view/next_steps.py. */
  next?: { text: string; steps: NextStep[] } | null;
}

/** A setting that can change while a run trains; see fine_tuner/config/live_changes.py. */
interface LiveSetting {
  path: string;
  label: string;
  /** What a change does, as a sentence. */
  effect: string;
  example: string;
  at_most: number;
  is_whole: boolean;
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

type Role = "owner" | "viewer";

/** A link of a role, as texts for each address that leads here, the farthest reaching first. */
interface SharedLink {
  texts: string[];
  created: number;
  expires: number | null;
  /** Rows of 0 and 1. */
  qr: string[];
}

interface SharedRun {
  id: string;
  title: string;
  status: string;
  created: number;
  published: boolean;
  model: boolean;
  has_weights: boolean;
}

/** Answer of `api/share`; see fine_tuner/ui/access/sharing.py. */
interface SharingState {
  private: boolean;
  port: number;
  tunnel: { status: string; address: string; error: string };
  links: Record<Role, SharedLink | null>;
  expiries: (number | null)[];
  watching: { seconds: number; run: string }[];
  runs: SharedRun[];
}

/** What a trained network says of a picture; see fine_tuner/predict.py. */
interface Prediction {
  label?: string;
  labels?: string[];
  probabilities?: Record<string, number>;
  shares?: Record<string, number>;
  numbers?: Record<string, number>;
  overlay?: string;
  legend?: { name: string; colour: string | null }[];
}

/** A data set of torchvision on offer; see fine_tuner/data/readers/set_list.py. */
interface DataSet {
  name: string;
  title: string;
  num_images: number;
  num_classes: number;
  download_mib: number;
  tasks: string[];
}

/** Least, median and greatest of the images' sides, in pixels. */
interface ImageSizes {
  width: { min: number; median: number; max: number };
  height: { min: number; median: number; max: number };
}

/** What a check of the data found; see fine_tuner/data/checks/findings.py. */
interface DataReport {
  findings: { level: string }[];
  splits: Record<string, number>;
  seconds: number;
}

/** One evaluation of a run; see fine_tuner/ui/api/results.py. */
interface Evaluation {
  name: string;
  split: string;
  /** The folder or table that was evaluated; empty: the run's own images. */
  data: string;
  images: number;
  words: string;
  weights: { name: string; epoch?: number };
  is_current: boolean;
}

/** What a check of a loss found; see fine_tuner/losses/check/. */
interface LossReport {
  ok: boolean;
  entry: string;
  task: string;
  seconds: number;
  findings: LossFinding[];
  /** Value and gradient for each precision. */
  values?: Record<string, { error?: string; value?: number | string; gradient_norm?: number | string }>;
  /** What the code wrote. */
  printed?: string;
  inputs?: LossInputs | null;
  /** The loss's value where all answers are right, every second one, and none. */
  answers?: Record<string, number> | null;
  batch?: { origin: string; images: number[]; output: number[]; targets: number[]; targets_dtype: string };
  parameters?: { reached: number; trainable: number };
  cost?: { seconds: number; ratio: number; reference: string };
}

interface LossFinding {
  level: string;
  what: string;
  remedy: string;
  line?: number | null;
  source?: string;
}

/** A form in which a loss of the user's own can be given output and target, with an example. */
interface LossForm {
  inputs: string;
  name: string;
  output?: string;
  target?: string;
  /** Why the code does not fit it. */
  why?: string;
}

/** The forms that were tried, which was asked for, and which is used. */
interface LossInputs {
  asked: string;
  used: string;
  sentence: string;
  forms: LossForm[];
  isBefore?: boolean;
}

/** A loss that a file defines; see fine_tuner/losses/signature.py. */
interface LossEntry {
  name: string;
  arguments: LossArgument[];
}
interface LossArgument {
  name: string;
  default?: string | null;
}

/** Curves of a loss; see fine_tuner/losses/curves.py. */
interface LossCurve {
  name: string;
  task: string;
  formula: string;
  source: string;
  panels: LossPanel[];
}
interface LossPanel {
  key: string;
  x_label: string;
  value_label: string;
  gradient_label: string;
  x: number[];
  value: number[];
  gradient: number[];
}

/** What a precision takes, the network and its training apart; `parts` by names of words/memory.js. */
interface MemoryParts {
  dtype: string;
  base_mib: number;
  total_mib: number;
  parts?: Record<string, number>;
}

/** What a run will take of the device's memory; see fine_tuner/memory/forecast.py. */
interface MemoryForecast extends MemoryParts {
  fits?: boolean;
  words: string;
  compared: string;
  /** In the other precision. */
  other?: MemoryParts | null;
  limit_mib: number;
  used_mib: number;
}

/** A precision or a batch that was measured. */
interface MeasuredRow {
  problem?: string;
  images_per_second: number;
  peak_mib: number;
}

/** What a run with the settings in the form would do, as far as sentences say it; see fine_tuner/planning/plan.py. */
interface Plan {
  data: string;
  train_images: number;
  val_images: number;
  model: string;
  parameters: number;
  trainable_parameters: number;
  total_steps: number;
  steps_per_epoch: number;
  global_batch_size: number;
  batch_size: number;
  num_devices: number;
  /** Names of the machine's accelerators, by their numbers. */
  devices?: string[];
  seconds_estimate?: number | null;
  /** Whether other programs make it longer. */
  busy?: boolean;
  memory_mib_estimate?: number | null;
  device: string;
  precision: string;
  precision_support: string;
  precision_reason: string;
  is_channels_last: boolean;
}

/** A field of the set-up: dotted path of its setting, key of the input, id of its element, section, label. */
interface FormField {
  path: string;
  key: string;
  id: string;
  section: string;
  label: string;
}

/** A preset on offer above the form. */
interface Preset {
  name: string;
  title: string;
  hint: string;
  task: string;
  /** Whether it trains on the app's own pictures. */
  is_sample: boolean;
}

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
  /** What the fields of the run's length show. */
  time: { minutes: string; epochs: string };
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
  /** Id of the run that answers on the tab Try. */
  "ft-try-run": CustomEvent<string>;
  "ft-results": CustomEvent<string>;
}

interface Window {
  FTLive: Live;
  FTChart: { preview: (element: HTMLElement, value: object) => unknown };
  /** Plotly as the page loaded it: another component may replace `window.Plotly`. */
  FTPlotly?: Plotly;
  Plotly?: Plotly;
  /** What an event of the set-up takes to the server, completed by the page. */
  FTEarly: Map<HTMLInputElement, string> | null; // typed before the form's script was there
  FTStamp: (values: string[]) => string[];
  /** Hears what the editor for a loss of the user's own holds. */
  FTLoss: { typed(text: string | null): void };
  gradio_config?: { root: string };
}
