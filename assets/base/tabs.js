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
