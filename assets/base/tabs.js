// Going from one tab of the page to another.

/**
 * Go to a tab of the page.
 *
 * @param {string} id
 */
export function showTab(id) {
  document.getElementById(`${id}-button`)?.click();
  scrollTo({ top: 0 });
}

/**
 * Show a run on the first tab.
 *
 * @param {string} id
 */
export function openRun(id) {
  window.FTLive.show(id);
  showTab("ft-tab-train");
}

/** @type {Record<string, number>} */
const STEPS = { ArrowLeft: -1, ArrowRight: 1 };

/** Let the arrow keys, Home and End go from tab to tab, as a list of tabs is expected to. */
export function followArrowKeys() {
  document.addEventListener("keydown", (event) => {
    const tab = /** @type {HTMLElement} */ (event.target).closest?.('#ft-tabs [role="tab"]');
    if (!tab || event.altKey || event.ctrlKey || event.metaKey) return;
    /** @type {HTMLElement[]} */
    const tabs = [
      .../** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("#ft-tabs [role='tab'][id^='ft-tab-']")),
    ];
    const at = tabs.findIndex((other) => other.id === tab.id);
    /** @type {Record<string, number>} */
    const ends = { Home: 0, End: tabs.length - 1 };
    const next = event.key in STEPS ? (at + STEPS[event.key] + tabs.length) % tabs.length : ends[event.key];
    if (at < 0 || next === undefined) return;
    event.preventDefault();
    tabs[next].click();
    tabs[next].focus();
  });
}
