// What was dropped on Data: a zip as it is; folders and pictures as one zip made here, file after file, uncompressed, so
// that it comes the way of every zip, with its limits and checks. Pictures are compressed already.

const MOST_FILES = 65_000; // and the size below: what a zip without extensions can hold
const MOST_BYTES = 4 * 2 ** 30 - 2 ** 26;
const HEAD = 30;
const ENTRY = 46;
const END = 22;
const UTF8 = 0x0800;
const DATE = 0x21; // 1 January 1980: the same files make the same zip, which is then kept once

/**
 * One file to bring, and its place; an error's `code` says what is wrong with the lot.
 *
 * @typedef {{ path: string, file: File }} Found
 */

/**
 * Everything that was dropped. Must be called while the drop is handled: its list is empty afterwards.
 *
 * @param {DataTransfer} dropped
 * @returns {Promise<{ name: string, files: Found[] }>} `name` of a single folder, else "".
 */
export async function filesOf(dropped) {
  const items = [...dropped.items].filter(({ kind }) => kind === "file");
  const entries = items.map((item) => item.webkitGetAsEntry?.()).filter((entry) => entry !== null);
  /** @type {Found[]} */
  const files = [];
  const [first] = entries;
  const name = entries.length === 1 && first?.isDirectory ? first.name : "";
  for (const entry of entries) await walk(/** @type {FileSystemEntry} */ (entry), name ? "" : undefined, files);
  files.sort((a, b) => (a.path < b.path ? -1 : 1));
  return { name, files };
}

/**
 * Files of an entry, into `files`; hidden ones are of no use to anybody.
 *
 * @param {FileSystemEntry} entry
 * @param {string | undefined} place What its path becomes; its name if not given.
 * @param {Found[]} files
 */
async function walk(entry, place, files) {
  const path = place ?? entry.name;
  if (entry.name.startsWith(".") || entry.name === "__MACOSX") return;
  if (entry.isFile) {
    const file = await new Promise((done, fail) => /** @type {FileSystemFileEntry} */ (entry).file(done, fail));
    files.push({ path, file });
    if (files.length > MOST_FILES) throw Object.assign(new Error(), { code: "many" });
    return;
  }
  const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
  for (;;) {
    /** @type {FileSystemEntry[]} */
    const some = await new Promise((done, fail) => reader.readEntries(done, fail)); // a hundred at a time
    if (!some.length) return;
    for (const one of some) await walk(one, path ? `${path}/${one.name}` : one.name, files);
  }
}

/**
 * Files as one zip; each is read once for its checksum, and again as it is sent, so that memory holds one at a time.
 *
 * @param {Found[]} files
 * @param {(done: number, total: number) => void} onProgress Told of bytes.
 */
export async function zipOf(files, onProgress = () => {}) {
  const total = files.reduce((sum, { file }) => sum + file.size, 0);
  if (total > MOST_BYTES) throw Object.assign(new Error(), { code: "large" });
  /** @type {BlobPart[]} */
  const parts = [];
  const entries = [];
  let [at, done] = [0, 0];
  for (const { path, file } of files) {
    const name = new TextEncoder().encode(path);
    const bytes = new Uint8Array(await file.arrayBuffer());
    const about = { crc: crc32(bytes), size: bytes.length, name };
    parts.push(header(about), name, file);
    entries.push({ ...about, at });
    at += HEAD + name.length + bytes.length;
    done += bytes.length;
    onProgress(done, total);
  }
  const start = at;
  for (const entry of entries) {
    parts.push(directory(entry), entry.name);
    at += ENTRY + entry.name.length;
  }
  parts.push(end(entries.length, start, at - start));
  return new Blob(parts, { type: "application/zip" });
}

/**
 * Numbers of two or four bytes, one after the other, the least byte first.
 *
 * @param {number} length
 * @param {[value: number, bytes: 2 | 4][]} numbers
 */
function packed(length, numbers) {
  const view = new DataView(new ArrayBuffer(length));
  let at = 0;
  for (const [value, bytes] of numbers) {
    if (bytes === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += bytes;
  }
  return view;
}

/**
 * Version, flags, method (stored), time, date, checksum, both sizes, length of the name, no extra field.
 *
 * @param {{ crc: number, size: number, name: Uint8Array }} file
 * @returns {[number, 2 | 4][]}
 */
const about = ({ crc, size, name }) => [
  [20, 2],
  [UTF8, 2],
  [0, 2],
  [0, 2],
  [DATE, 2],
  [crc, 4],
  [size, 4],
  [size, 4],
  [name.length, 2],
  [0, 2],
];

/** @param {{ crc: number, size: number, name: Uint8Array }} file */
const header = (file) => packed(HEAD, [[0x04034b50, 4], ...about(file)]);

/** @param {{ crc: number, size: number, name: Uint8Array, at: number }} file */
const directory = (file) =>
  packed(ENTRY, [[0x02014b50, 4], [20, 2], ...about(file), [0, 2], [0, 2], [0, 2], [0, 4], [file.at, 4]]);

/**
 * @param {number} count
 * @param {number} start
 * @param {number} size
 */
const end = (count, start, size) =>
  packed(END, [
    [0x06054b50, 4],
    [0, 2],
    [0, 2],
    [count, 2],
    [count, 2],
    [size, 4],
    [start, 4],
    [0, 2],
  ]);

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let value = n;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

/**
 * The checksum of zips.
 *
 * @param {Uint8Array} bytes
 */
export function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 255] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}
