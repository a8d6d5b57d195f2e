// The next steps of a run that lead elsewhere on the page: trying it, its results, a new run with what mends the failure.

import { ask } from "../base/poller.js";
import { showTab } from "../base/tabs.js";
import { fillFrom, openSection, press, showField } from "../setup/form.js";
import { say, WORDS } from "../words/setup.js";

/** Do what a button below a run asks for: see fine_tuner/runs/view/next_steps.py. */
export function hearOfNext() {
  document.addEventListener("ft-next", ({ detail: { run, step } }) => {
    if (step.action === "try") {
      document.dispatchEvent(new CustomEvent("ft-try", { detail: run }));
      showTab("ft-tab-try");
    } else if (step.action === "wrong") {
      document.dispatchEvent(new CustomEvent("ft-results", { detail: run }));
      showTab("ft-tab-results");
    } else changed(run, step);
  });
}

/**
 * Fill the set-up with the run's settings and those of the step; start it, or go to the field to be chosen.
 *
 * @param {string} run
 * @param {NextStep} step
 */
async function changed(run, { action, label, settings = {}, focus }) {
  const { argv } = await ask(`api/runs/${encodeURIComponent(run)}/settings`);
  const overrides = Object.entries(settings).map(([path, value]) => `${path}=${value}`);
  fillFrom([...argv, ...overrides], run, say.mended(label), () => {
    if (action === "start") press();
    else if (focus) showField(focus);
    else openSection(WORDS.firstSection, true);
  });
}
