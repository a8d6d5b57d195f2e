// What a page calls: mounting the live panel and charts, and window.FTLive to steer it.
//
//   mount(element, props)   once, by the gr.HTML of fine_tuner/ui/pages/live_panel.py
//   FTLive.show(run)        another run; the address follows
//   FTLive.go(query)        what an address like "?run=ID&axis=epoch" says, without loading the page again
//   FTLive.isActive()       whether any run is queued or running
//   FTLive.current()        id of the run that is shown, null if none
//   FTLive.state()          its state as last told, null if none
//   FTLive.refresh()        ask now; resolves when the answer is drawn
//   FTLive.lookForRuns()    ask for the list of runs now: one was made
//   FTLive.onChange(f)      f({run, state, runs}) after each answer that says something new about status or runs
//   FTLive.askUnseen(f)     while a run is at work and f() holds, ask on, seldom, though the page is hidden
//   FTLive.news()           what those listeners heard last, null if nothing yet
//   FTChart.preview(...)    see preview.js

import { h } from "../base/dom.js";
import { preview } from "../charts/preview.js";
import { learnMetrics } from "../words/live.js";
import { Panel } from "./panel.js";

/** @type {Panel | null} */
let panel = null;
const listeners = new Set();
let isAwaited = () => false;

/** @type {News | null} */
let last = null;

/** @param {News} news */
function tell(news) {
  last = news;
  for (const listener of listeners) listener(news);
}

/**
 * Put the live panel into `element`. A page has one.
 *
 * @param {HTMLElement} element
 * @param {any} props
 */
export function mount(element, props) {
  addStyle();
  panel?.end();
  learnMetrics(JSON.parse(JSON.stringify(props.metrics ?? {})));
  const place = /** @type {HTMLElement} */ (element.querySelector(".ft-live") ?? element);
  panel = new Panel(place, JSON.parse(JSON.stringify(props)), tell, () => isAwaited());
  return panel;
}

/** The style sheet, unless the page has it already. */
function addStyle() {
  const has = [...document.styleSheets].some((sheet) => sheet.href?.includes("/style.css"));
  if (!has)
    document.head.append(
      h("link", { rel: "stylesheet", href: String(new URL("../styles/style.css", import.meta.url)) }),
    );
}

window.FTLive = {
  show: (run) => (panel ? panel.show(run) : history.replaceState(null, "", `?run=${encodeURIComponent(run)}`)),
  go: (query) => panel?.go(query),
  isActive: () => Boolean(panel?.isActive),
  current: () => panel?.run ?? null,
  state: () => panel?.state ?? null,
  refresh: async () => {
    await panel?.poller.now();
    await panel?.board.settled();
  },
  lookForRuns: () => panel?.lookForRuns(),
  askUnseen: (condition) => {
    isAwaited = condition;
  },
  news: () => last,
  onChange: (listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
};
window.FTChart = { preview };
