// Which networks suit the device and the amount of data: a small and fast one, and the most accurate that fits.
//
// Both are the most accurate among those whose epoch takes no longer than a person waits for it. How long that is, is
// reckoned: the multiplications of a pass, three times (forward, and backward for inputs and weights), for each image, at
// the pace of an ordinary device. Measured: resnet18 on two cores 84e9 a second, networks of separable convolutions a
// third of that; resnet50 in half precision on an RTX 3080 about 5e12. The plan then measures what was chosen.

const PACE = { cpu: 60, gpu: 5000 }; // 1e9 multiplications a second
const WAIT = { fast: 5, accurate: 60 }; // seconds an epoch
const FEWEST = 200; // images an epoch is reckoned with: less data does not make larger networks worth it
const STATE_BYTES = 16; // of each parameter while AdamW trains it: weight, gradient, two moments
const STATE_SHARE = 0.15; // of the memory; the rest is for what the images leave behind

/**
 * The networks, each with the seconds that its epoch takes by this reckoning; one alone if both are the same.
 *
 * @param {NetworkRow[]} rows
 * @param {{ isGpu: boolean, images: number, memoryMib: number }} plan
 * @returns {{ kind: "fast" | "accurate", row: NetworkRow, seconds: number }[]}
 */
export function recommend(rows, { isGpu, images, memoryMib }) {
  const pace = isGpu ? PACE.gpu : PACE.cpu;
  const most = (STATE_SHARE * memoryMib * 2 ** 20) / STATE_BYTES;
  /** @param {NetworkRow} row */
  const seconds = (row) => (3 * /** @type {number} */ (row.gflops) * Math.max(images, FEWEST)) / pace;
  const known = rows.filter(({ gflops, accuracy, parameters }) => gflops && accuracy && parameters <= most);
  const found = /** @type {const} */ (["fast", "accurate"]).flatMap((kind) => {
    const [best] = known
      .filter((row) => seconds(row) <= WAIT[kind])
      .sort((a, b) => /** @type {number} */ (b.accuracy) - /** @type {number} */ (a.accuracy));
    return best ? [{ kind, row: best, seconds: seconds(best) }] : [];
  });
  return found.filter(({ row }, i) => found.findIndex((other) => other.row === row) === i);
}
