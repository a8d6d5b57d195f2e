// Errors at the fields, and folders suggested while a path is typed.

import { h, setText } from "../base/dom.js";

/**
 * @param {Element} field
 * @returns {HTMLInputElement | null}
 */
const inputOf = (field) => field.querySelector("input, textarea");

/**
 * Take away the marks of fields that are not in `errors`.
 *
 * @param {Record<string, string>} errors
 */
export function clearErrors(errors) {
  for (const mark of document.querySelectorAll(".ft-error")) {
    const field = mark.closest(".block.ft-field");
    if (field && field.id in errors) continue;
    mark.remove();
    if (!field) continue;
    field.removeAttribute("data-wrong");
    inputOf(field)?.removeAttribute("aria-invalid");
    inputOf(field)?.removeAttribute("aria-describedby");
  }
}

/**
 * Mark fields: element id -> message.
 *
 * @param {Record<string, string>} errors
 */
export function showErrors(errors) {
  for (const [id, message] of Object.entries(errors)) {
    const field = document.getElementById(id);
    if (!field) continue;
    const mark = field.querySelector(".ft-error") ?? h("p", { class: "ft-error", id: `${id}-error`, role: "alert" });
    if (!mark.isConnected) field.append(mark);
    setText(mark, message);
    field.setAttribute("data-wrong", "");
    inputOf(field)?.setAttribute("aria-invalid", "true");
    inputOf(field)?.setAttribute("aria-describedby", mark.id);
  }
}

/**
 * Say at fields left empty what was chosen for them: element id -> words.
 *
 * @param {Map<string, string>} words
 */
export function showReasons(words) {
  for (const line of document.querySelectorAll(".ft-chosen")) {
    const field = line.closest(".block.ft-field");
    if (!field || !words.has(field.id)) line.remove();
  }
  for (const [id, text] of words) {
    const field = id ? document.getElementById(id) : null;
    if (!field) continue;
    const line = field.querySelector(".ft-chosen") ?? h("p", { class: "ft-chosen" });
    if (!line.isConnected) field.append(line);
    setText(line, text);
  }
}

/**
 * Open what a header folds.
 *
 * @param {HTMLElement | null | undefined} header
 */
async function unfold(header) {
  if (header && !header.classList.contains("open")) header.click();
  await new Promise((done) => setTimeout(done, 120)); // what was folded is drawn then
}

/**
 * Bring the field with this id, of a section that is open, into view and give it the focus.
 *
 * @param {string} id
 */
export async function showFieldOf(id) {
  await unfold(null);
  const more = document.getElementById(id)?.closest(".ft-more");
  if (more) await unfold(more.querySelector(":scope > button"));
  const field = document.getElementById(id);
  field?.scrollIntoView({ block: "nearest" });
  if (field) inputOf(field)?.focus();
}

/** Bring the first marked field into view, unfolding what hides it. */
export async function focusFirstError() {
  const section = document.querySelector(".ft-section:has(> button.ft-wrong)");
  if (section) await unfold(section.querySelector(":scope > button"));
  if (!document.querySelector(".block.ft-field[data-wrong]")) await unfold(section?.querySelector(".ft-more > button"));
  const field = document.querySelector(".block.ft-field[data-wrong]");
  const more = field?.closest(".ft-more");
  if (more) await unfold(more.querySelector(":scope > button"));
  field?.scrollIntoView({ block: "nearest" });
  if (field) inputOf(field)?.focus();
}

// ------------------------------------------------------------------ folders
/** @type {Map<string, string[]>} */
const lists = new Map(); // folder -> names of its folders

/** Give the path fields of the page suggestions from the server's folders. */
export function suggestFolders() {
  const unlisted = "#ft-data-path input:not([list])";
  for (const input of /** @type {NodeListOf<HTMLInputElement>} */ (document.querySelectorAll(unlisted))) {
    const list = h("datalist", { id: "ft-folders" });
    document.getElementById("ft-folders")?.remove();
    document.body.append(list);
    input.setAttribute("list", list.id);
    const refresh = () => fill(list, input.value);
    input.addEventListener("input", refresh);
    input.addEventListener("focus", refresh);
  }
}

/**
 * @param {HTMLElement} list
 * @param {string} text
 */
async function fill(list, text) {
  const folder = text.includes("/") ? text.slice(0, text.lastIndexOf("/") + 1) : "";
  if (list.dataset.folder === folder) return;
  list.dataset.folder = folder;
  const found = await foldersIn(folder);
  if (list.dataset.folder === folder)
    list.replaceChildren(...found.map((/** @type {string} */ value) => h("option", { value })));
}

/** @param {string} path */
const closed = (path) => (path.endsWith("/") ? path : `${path}/`);

/**
 * Paths of the folders in `folder`; asked only for one that is known to be there, since a path half typed is none.
 *
 * @param {string} folder
 */
async function foldersIn(folder) {
  if (lists.has(folder)) return lists.get(folder);
  if (folder && !(await isThere(folder))) return [];
  const answer = await fetch(`api/folders?path=${encodeURIComponent(folder)}`).catch(() => null);
  const body = answer?.ok ? await answer.json() : { folders: [] };
  const paths = body.folders.map((/** @type {string} */ name) => folder + name);
  if (answer?.ok) lists.set(folder, paths);
  return paths;
}

/**
 * Whether a folder is one of those that may be read, or listed in one that is there.
 *
 * @param {string} folder
 */
async function isThere(folder) {
  const roots = (await foldersIn("")).map(closed);
  if (roots.includes(folder)) return true;
  if (!roots.some((/** @type {string} */ root) => folder.startsWith(root))) return false;
  const parent = folder.slice(0, folder.lastIndexOf("/", folder.length - 2) + 1);
  return (await foldersIn(parent)).some((/** @type {string} */ path) => closed(path) === folder);
}
