// A word from the browser when a long run ends while nobody looks. Permission is asked for once, at the start of such a run.

import { events } from "../setup/form.js";
import { shown } from "../setup/memory.js";
import { ACTIVE, STATUS } from "../words/live.js";

const LONG_SECONDS = 180;
const ASKED = "fine-tuner-asked-to-notify"; // a question that was closed without an answer is not asked again

/** Hear of starts and ends. */
export function hearOfEnds() {
  if (!("Notification" in window)) return;
  events.addEventListener("started", () => {
    const isLong = (shown.plan?.seconds_estimate ?? 0) >= LONG_SECONDS;
    if (!isLong || Notification.permission !== "default" || localStorage.getItem(ASKED)) return;
    localStorage.setItem(ASKED, "yes");
    Notification.requestPermission();
  });
  window.FTLive.askUnseen(() => Notification.permission === "granted");
  /** @type {Map<string, string>} */
  const before = new Map(); // run -> its status
  window.FTLive.onChange(({ run: onView, state, runs }) => {
    for (const run of runs) {
      const hasEnded = ACTIVE.has(before.get(run.id)) && !ACTIVE.has(run.status);
      before.set(run.id, run.status);
      const told = run.id === onView && state ? state : run; // of the run on view the list says less, and later
      const isLong = (told.seconds ?? 0) >= LONG_SECONDS;
      if (!hasEnded || !isLong || !document.hidden || Notification.permission !== "granted") continue;
      new Notification(`${run.title}: ${STATUS[run.status].toLowerCase()}`, { body: told.text, tag: run.id });
    }
  });
}
