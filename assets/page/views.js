// The right side shows a run or the plan of the next one. It follows what the user does: a change of the set-up brings
// the plan, a start brings the run, and a run at work is not hidden by itself.

import { h } from "../base/dom.js";
import { hearOfRuns } from "../runs/runs.js";
import { current, events } from "../setup/form.js";
import { WORDS } from "../words/setup.js";
import { hearOfNext } from "./follow_step.js";
import { hearOfEnds } from "./notify.js";

const VIEWS = ["run", "plan"];

/** @param {any} element */
export function mountViews(element) {
  hearOfRuns();
  hearOfNext();
  hearOfEnds();
  const column = element.closest("#ft-right");
  const buttons = VIEWS.map((name) =>
    h(
      "button",
      { type: "button", class: "ft-view", "data-view": name, on: { click: () => show(name) } },
      WORDS.views[/** @type {"run" | "plan"} */ (name)],
    ),
  );
  element.querySelector(".ft-views").append(h("div", { role: "group", "aria-label": WORDS.viewsLabel }, ...buttons));

  /** @param {string} name */
  const show = (name) => {
    column.dataset.view = name;
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.view === name));
  };
  /** @type {string | null} */
  let argv = null; // of the form as it was first read
  events.addEventListener("state", () => {
    const now = JSON.stringify(current()?.argv);
    if (argv !== null && now !== argv && !window.FTLive.isActive()) show("plan");
    argv = now;
  });
  events.addEventListener("started", () => show("run"));
  /** @type {string | null | undefined} */
  let shown;
  window.FTLive.onChange(({ run, runs }) => {
    column.toggleAttribute("data-empty", runs.length === 0);
    if (run !== shown && run) show("run");
    else if (shown === undefined) show("plan");
    shown = run;
  });
  column.toggleAttribute("data-empty", true);
  show("plan");
}
