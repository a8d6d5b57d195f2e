// Messages of the command line in the words of the page: a setting is called as its field is.

/** @type {Map<string, string>} dotted path -> label of its field */
const LABELS = new Map();

/**
 * Learn what fields are called; of several for one setting the first.
 *
 * @param {{ path: string, label: string }[]} fields
 */
export function learnLabels(fields) {
  for (const { path, label } of fields) if (!LABELS.has(path)) LABELS.set(path, label);
}

/**
 * A message with the labels of fields in place of dotted paths: `Consider optim.lr=0.1.` -> `Consider \u201cLearning
 * rate\u201d 0.1.`; paths that no field has stay.
 *
 * @param {string} text
 */
export function inLabels(text) {
  return text.replace(/\b([a-z_]+\.[a-z_]+)(?:=([^\s,;)]*[^\s,;.)]))?/g, (all, path, value) => {
    const label = LABELS.get(path);
    return label ? `\u201c${label}\u201d${value ? ` ${value}` : ""}` : all;
  });
}
